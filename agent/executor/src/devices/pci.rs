//! Virtio disks by their place on the PCI bus.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::DeviceNumber;

/// The root bus of a guest.
const ROOT_BUS: &str = "/sys/devices/pci0000:00";
/// The most entries looked at in one directory of sysfs: far above what a bus can hold.
const ENTRIES_MAX: usize = 1024;

/// Why a PCI path leads to no disk.
#[derive(Debug, thiserror::Error)]
pub enum ResolvePciPathError {
    /// No device at that place, yet.
    #[error("there is no {0}")]
    Missing(&'static str),
    /// More than one: which one is meant cannot be told.
    #[error("there is more than one {0}")]
    Ambiguous(&'static str),
    /// A directory of sysfs could not be read.
    #[error("cannot read the device tree")]
    Read(#[source] io::Error),
    /// The device number is not a number.
    #[error("the disk has no valid device number")]
    Number,
}

impl ResolvePciPathError {
    /// Whether the device may still appear.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

/// A disk as sysfs shows it.
#[derive(Debug)]
pub(super) struct Disk {
    /// Its name below `/dev`.
    pub(super) name: String,
    /// Its number.
    pub(super) number: DeviceNumber,
}

/// Finds the virtio disk at `slots`, slot numbers from the root bus down.
pub(super) fn resolve(slots: &[u8]) -> Result<Disk, ResolvePciPathError> {
    resolve_below(Path::new(ROOT_BUS), slots)
}

fn resolve_below(root_bus: &Path, slots: &[u8]) -> Result<Disk, ResolvePciPathError> {
    let mut device = root_bus.to_owned();
    for slot in slots {
        // Bus numbers are the firmware's, so only slot and function are compared: `0000:01:05.0`.
        let suffix = format!(":{slot:02x}.0");
        let is_device = |name: &str| name.len() == 12 && name.ends_with(&suffix);
        device = only_entry(&device, "PCI device in the slot", is_device)?.1;
    }
    let (_, virtio) = only_entry(&device, "virtio device", |name| name.starts_with("virtio"))?;
    let (name, block) = only_entry(&virtio.join("block"), "disk", |_| true)?;
    Ok(Disk { name, number: read_number(&block.join("dev"))? })
}

/// The one entry of `directory` that `matches`.
fn only_entry(
    directory: &Path,
    what: &'static str,
    matches: impl Fn(&str) -> bool,
) -> Result<(String, PathBuf), ResolvePciPathError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ResolvePciPathError::Missing(what));
        }
        entries => entries.map_err(ResolvePciPathError::Read)?,
    };
    let mut found = None;
    for entry in entries.take(ENTRIES_MAX) {
        let entry = entry.map_err(ResolvePciPathError::Read)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if matches(&name) && found.replace((name, entry.path())).is_some() {
            return Err(ResolvePciPathError::Ambiguous(what));
        }
    }
    found.ok_or(ResolvePciPathError::Missing(what))
}

fn read_number(file: &Path) -> Result<DeviceNumber, ResolvePciPathError> {
    let mut text = String::new();
    let file = fs::File::open(file).map_err(ResolvePciPathError::Read)?;
    file.take(64).read_to_string(&mut text).map_err(ResolvePciPathError::Read)?;
    let (major, minor) = text.trim_end().split_once(':').ok_or(ResolvePciPathError::Number)?;
    let number = |text: &str| text.parse().map_err(|_| ResolvePciPathError::Number);
    Ok(DeviceNumber::new(number(major)?, number(minor)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(bus: &Path, path: &str, name: &str, number: &str) {
        let block = bus.join(path).join("block").join(name);
        fs::create_dir_all(&block).unwrap();
        fs::write(block.join("dev"), number).unwrap();
    }

    #[test]
    fn a_disk_is_found_by_slot_at_each_depth() {
        let bus = tempfile::tempdir().unwrap();
        disk(bus.path(), "0000:00:05.0/virtio2", "vda", "254:0\n");
        disk(bus.path(), "0000:00:02.0/0000:01:05.0/virtio3", "vdb", "254:16\n");
        let found = resolve_below(bus.path(), &[5]).unwrap();
        assert_eq!((found.name.as_str(), found.number.to_string().as_str()), ("vda", "254:0"));
        let found = resolve_below(bus.path(), &[2, 5]).unwrap();
        assert_eq!((found.name.as_str(), found.number.to_string().as_str()), ("vdb", "254:16"));
    }

    #[test]
    fn what_is_missing_or_not_clear_is_no_disk() {
        let bus = tempfile::tempdir().unwrap();
        disk(bus.path(), "0000:00:05.0/virtio2", "vda", "254:0");
        disk(bus.path(), "0000:00:05.0/virtio2", "vdb", "254:16");
        disk(bus.path(), "0000:00:06.0/virtio4", "vdc", "none");
        fs::create_dir_all(bus.path().join("0000:00:07.0")).unwrap();
        let resolve = |slots: &[u8]| resolve_below(bus.path(), slots);
        assert!(matches!(resolve(&[5]), Err(ResolvePciPathError::Ambiguous("disk"))));
        assert!(matches!(resolve(&[6]), Err(ResolvePciPathError::Number)));
        assert!(matches!(resolve(&[7]), Err(ResolvePciPathError::Missing("virtio device"))));
        assert!(matches!(resolve(&[8]), Err(ResolvePciPathError::Missing("PCI device in the slot"))));
    }
}
