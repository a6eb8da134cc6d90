//! A written image, read back: its parts are what its reference values say, and measure to what they say.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    cpio,
    digest::sha256_hex,
    measurement::{self, FirmwareError},
    reference::{ModuleDigest, PartDigest, ReferenceValues},
};

/// Where the initrd keeps its modules.
const MODULES: &str = "lib/modules/";

/// Why an image is not what it says.
#[derive(Debug, thiserror::Error)]
pub enum VerificationError {
    /// A file of the image is missing.
    #[error("could not read `{}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The reference values are none.
    #[error("the reference values do not parse")]
    ReferenceValues(#[source] serde_json::Error),
    /// A part has other bytes.
    #[error("the {part} has SHA-256 {found}, the reference values say {expected}")]
    Part {
        /// Which part.
        part: &'static str,
        /// The digest of what is there.
        found: String,
        /// What the reference values say.
        expected: String,
    },
    /// The initrd is no archive.
    #[error("the initrd does not read")]
    Initrd(#[from] cpio::ReadError),
    /// The initrd has other modules than the reference values, or loads them in another order.
    #[error("the initrd has other modules than the reference values say")]
    Modules,
    /// The command line is one of the other flavour.
    #[error("the command line is not that of an image for {0}")]
    Flavour(String),
    /// The reference values were computed for another firmware.
    #[error("the reference values were computed for another firmware")]
    OtherFirmware,
    /// The firmware cannot be measured.
    #[error("could not measure the firmware")]
    Firmware(#[from] FirmwareError),
    /// The parts measure to something else.
    #[error("the parts measure to {found}, the reference values say {expected}")]
    Measurement {
        /// What was computed.
        found: String,
        /// What the reference values say.
        expected: String,
    },
}

/// Verifies the image in `folder`, with the firmware that it was measured with, if there was one. The measurement is
/// computed from the bytes of the parts by the specifications, without the code that wrote it.
///
/// # Errors
/// A file is missing, or is not what the reference values say.
pub fn verify(folder: &Path, firmware: Option<&Path>) -> Result<ReferenceValues, VerificationError> {
    let reference: ReferenceValues = serde_json::from_slice(&read(&folder.join("reference-values.json"))?)
        .map_err(VerificationError::ReferenceValues)?;
    let [kernel, initrd, command_line] =
        ["vmlinuz", "initrd.img", "cmdline"].map(|name| read(&folder.join(name)));
    let (kernel, initrd, command_line) = (kernel?, initrd?, command_line?);
    for (part, bytes, expected) in [
        ("kernel", &kernel, &reference.kernel),
        ("initrd", &initrd, &reference.initrd),
        ("command line", &command_line, &reference.command_line),
    ] {
        compare(part, bytes, expected)?;
    }
    let igvm = sha256_hex(&read(&folder.join("guest.igvm"))?);
    if igvm != reference.igvm.sha256 {
        return Err(VerificationError::Part {
            part: "IGVM file",
            found: igvm,
            expected: reference.igvm.sha256,
        });
    }
    verify_modules(&initrd, &reference)?;
    let command_line = String::from_utf8_lossy(&command_line);
    let flavour = format!("cce.image={}", reference.flavour);
    if !command_line.split(' ').any(|word| word == flavour) {
        return Err(VerificationError::Flavour(reference.flavour));
    }

    let firmware = firmware.map(read).transpose()?;
    if firmware.as_deref().map(sha256_hex) != reference.measurement.firmware_sha256 {
        return Err(VerificationError::OtherFirmware);
    }
    let vcpus = reference.measurement.vcpus;
    let found = measurement::recompute(firmware.as_deref(), &kernel, &initrd, &command_line, vcpus)?;
    if found != reference.measurement.measurement {
        let expected = reference.measurement.measurement;
        return Err(VerificationError::Measurement { found, expected });
    }
    Ok(reference)
}

/// A file of an initrd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Its path in the guest, without a slash in front; that of a directory ends with one.
    pub path: String,
    /// Permission bits.
    pub permissions: u32,
    /// Its size and digest; nothing for a directory.
    pub content: Option<PartDigest>,
}

/// Everything that is in the initrd of the image in `folder`, in its order.
///
/// # Errors
/// The initrd is missing or damaged.
pub fn list(folder: &Path) -> Result<Vec<ListedFile>, VerificationError> {
    let initrd = read(&folder.join("initrd.img"))?;
    let listed = cpio::read(&initrd)?.into_iter().map(|entry| {
        let is_directory = entry.mode & 0o170_000 == 0o040_000;
        ListedFile {
            path: if is_directory { format!("{}/", entry.path) } else { entry.path.to_owned() },
            permissions: entry.mode & 0o7777,
            content: (!is_directory).then(|| PartDigest::new(entry.content)),
        }
    });
    Ok(listed.collect())
}

fn read(path: &Path) -> Result<Vec<u8>, VerificationError> {
    fs::read(path).map_err(|source| VerificationError::Read { path: path.to_owned(), source })
}

fn compare(part: &'static str, bytes: &[u8], expected: &PartDigest) -> Result<(), VerificationError> {
    let found = PartDigest::new(bytes);
    if found == *expected {
        return Ok(());
    }
    Err(VerificationError::Part { part, found: found.sha256, expected: expected.sha256.clone() })
}

/// The modules of the initrd, in the order in which they are loaded, are those of the reference values, and of the
/// image's own manifest.
fn verify_modules(initrd: &[u8], reference: &ReferenceValues) -> Result<(), VerificationError> {
    let files: BTreeMap<_, _> =
        cpio::read(initrd)?.into_iter().map(|entry| (entry.path, entry.content)).collect();
    let file = |path: &str| files.get(path).copied().unwrap_or_default();
    let order = String::from_utf8_lossy(file("lib/modules/load-order"));
    // `virtio_scsi.ko virtio:d00000008v*`: what follows a name is the hardware that it is for.
    let names = order.lines().filter_map(|line| line.split_ascii_whitespace().next());
    let loaded = names.map(|name| ModuleDigest {
        name: name.trim_end_matches(".ko").to_owned(),
        sha256: sha256_hex(file(&format!("{MODULES}{name}"))),
    });
    let there = files.keys().filter(|path| path.starts_with(MODULES) && path.ends_with(".ko")).count();
    let manifest = serde_json::from_slice(file("etc/image.json"));
    let modules = &reference.image.modules;
    if loaded.eq(modules.iter().cloned())
        && there == modules.len()
        && manifest.is_ok_and(|manifest: crate::reference::ImageManifest| manifest == reference.image)
    {
        return Ok(());
    }
    Err(VerificationError::Modules)
}

#[cfg(test)]
mod tests;
