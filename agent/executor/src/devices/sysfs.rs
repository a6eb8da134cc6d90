//! Disks as sysfs shows them.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::DeviceNumber;

/// The most entries looked at in one directory of sysfs: far above what a bus can hold.
const ENTRIES_MAX: usize = 1024;
/// The most bytes of a file of sysfs that holds a number.
const NUMBER_BYTES_MAX: u64 = 64;

/// Why an address leads to no disk.
#[derive(Debug, thiserror::Error)]
pub enum FindDiskError {
    /// Nothing at that place, yet.
    #[error("there is no {0}")]
    Missing(&'static str),
    /// More than one: which one is meant cannot be told.
    #[error("there is more than one {0}")]
    Ambiguous(&'static str),
    /// A directory or file of sysfs could not be read.
    #[error("cannot read the device tree")]
    Read(#[source] io::Error),
    /// The device number is not a number.
    #[error("the disk has no valid device number")]
    Number,
}

impl FindDiskError {
    /// Whether the device may still appear.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

/// A disk or partition as sysfs shows it.
#[derive(Debug)]
pub(super) struct FoundDisk {
    /// Its name below `/dev`.
    pub(super) name: String,
    /// Its number.
    pub(super) number: DeviceNumber,
}

impl FoundDisk {
    /// The one disk in `directory`, which a driver makes for what it found.
    pub(super) fn only_one_in(directory: &Path) -> Result<Self, FindDiskError> {
        let (name, disk) = only_entry(directory, "disk", |_| true)?;
        Self::at(name, &disk)
    }

    /// The disk or partition called `name` with its directory.
    pub(super) fn at(name: String, directory: &Path) -> Result<Self, FindDiskError> {
        let text = read_short(&directory.join("dev")).map_err(FindDiskError::Read)?;
        let (major, minor) = text.split_once(':').ok_or(FindDiskError::Number)?;
        let number = |text: &str| text.parse().map_err(|_| FindDiskError::Number);
        Ok(Self { name, number: DeviceNumber::new(number(major)?, number(minor)?) })
    }
}

/// The one entry of `directory` whose name `matches`.
pub(super) fn only_entry(
    directory: &Path,
    what: &'static str,
    matches: impl Fn(&str) -> bool,
) -> Result<(String, PathBuf), FindDiskError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(FindDiskError::Missing(what));
        }
        entries => entries.map_err(FindDiskError::Read)?,
    };
    let mut found = None;
    for entry in entries.take(ENTRIES_MAX) {
        let entry = entry.map_err(FindDiskError::Read)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if matches(&name) && found.replace((name, entry.path())).is_some() {
            return Err(FindDiskError::Ambiguous(what));
        }
    }
    found.ok_or(FindDiskError::Missing(what))
}

/// The text of a file of sysfs that holds a number or two.
pub(super) fn read_short(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(file)?.take(NUMBER_BYTES_MAX).read_to_string(&mut text)?;
    text.truncate(text.trim_end().len());
    Ok(text)
}
