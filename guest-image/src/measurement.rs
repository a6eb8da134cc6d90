//! The launch measurement: what the secure processor reports about the kernel, the initrd and the command line.
//!
//! On SNP hardware QEMU puts the SHA-256 of the three into a table in a measured page, and the firmware (OVMF built with
//! a place for that table) refuses other ones. The measurement is then a chain of SHA-384 over the firmware, its data
//! pages with that table, and the first state of each virtual CPU; the `sev` crate computes it. Debian's OVMF has no
//! place for the table. Without `--firmware` the firmware is therefore [`table_page`]: one page that holds nothing but
//! the tables that say where things are. Its number binds the same three files and the CPUs, and no firmware code: it
//! is what the emulated launch reports. See `docs/decisions/0004-guest-image.md`.

mod specification;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use attestation::measurement::{BootFiles, CalculateMeasurementError, CpuType};
use serde::{Deserialize, Serialize};

use crate::digest::sha256_hex;
pub use specification::FirmwareError;

/// Virtual CPU of the measured launch: its signature is in the measured first state.
const VCPU_TYPE: CpuType = CpuType::EpycV4;

/// Why a measurement could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum MeasurementError {
    /// The firmware does not read, or the page that stands for it could not be written for `sev`.
    #[error("could not use the firmware `{}`", .path.display())]
    Firmware {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The command line has white space at an end, which `sev` would not hash.
    #[error("the command line starts or ends with white space")]
    CommandLine,
    /// A part does not read, or the firmware has no place for the table of digests.
    #[error("the launch digest could not be computed")]
    Digest(#[source] CalculateMeasurementError),
}

/// What the secure processor would report, and what it was computed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchMeasurement {
    /// The measurement: 48 bytes in hex.
    pub measurement: String,
    /// SHA-256 of the measured firmware in hex, or nothing where no firmware code is covered.
    pub firmware_sha256: Option<String>,
    /// Number of virtual CPUs.
    pub vcpus: u32,
    /// Type of the virtual CPUs.
    pub vcpu_type: String,
}

/// The parts of a launch, exactly as the hypervisor gets them.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The kernel image.
    pub kernel: &'a Path,
    /// The initrd.
    pub initrd: &'a Path,
    /// The kernel command line.
    pub command_line: &'a str,
    /// Number of virtual CPUs.
    pub vcpus: u32,
    /// The firmware, where there is one that holds the table of digests.
    pub firmware: Option<&'a Path>,
}

impl Launch<'_> {
    /// Computes the measurement.
    ///
    /// # Errors
    /// A part does not read, or the firmware holds no table of digests.
    pub fn measure(&self) -> Result<LaunchMeasurement, MeasurementError> {
        if self.command_line.trim() != self.command_line {
            return Err(MeasurementError::CommandLine);
        }
        let (digest, firmware_sha256) = match self.firmware {
            Some(firmware) => {
                let error = |source| MeasurementError::Firmware { path: firmware.to_owned(), source };
                (self.digest(firmware)?, Some(sha256_hex(&std::fs::read(firmware).map_err(error)?)))
            }
            None => {
                let error = |source| MeasurementError::Firmware { path: std::env::temp_dir(), source };
                let mut page = tempfile::NamedTempFile::new().map_err(error)?;
                page.write_all(&table_page()).map_err(error)?;
                (self.digest(page.path())?, None)
            }
        };
        let vcpu_type = VCPU_TYPE.to_string();
        Ok(LaunchMeasurement { measurement: digest, firmware_sha256, vcpus: self.vcpus, vcpu_type })
    }

    fn digest(&self, firmware: &Path) -> Result<String, MeasurementError> {
        let files =
            BootFiles { firmware, kernel: self.kernel, initrd: self.initrd, command_line: self.command_line };
        attestation::measurement::calculate(files, self.vcpus, VCPU_TYPE)
            .map(|measurement| hex::encode(measurement.as_bytes()))
            .map_err(MeasurementError::Digest)
    }
}

/// The same number again, computed without the `sev` crate from the bytes of the parts; `None` for a firmware stands for
/// the one without code.
pub(crate) fn recompute(
    firmware: Option<&[u8]>,
    kernel: &[u8],
    initrd: &[u8],
    command_line: &str,
    vcpus: u32,
) -> Result<String, FirmwareError> {
    let page = table_page();
    let firmware = firmware.unwrap_or(&page);
    specification::launch_digest(&specification::Parts { firmware, kernel, initrd, command_line, vcpus })
        .map(hex::encode)
}

/// GUIDs of OVMF's tables as they lie in memory (the first three fields little-endian).
mod guid {
    pub(super) const TABLE_FOOTER: [u8; 16] =
        *b"\xde\x82\xb5\x96\xb2\x1f\xf7\x45\xba\xea\xa3\x66\xc5\x5a\x08\x2d";
    pub(super) const HASH_TABLE: [u8; 16] =
        *b"\x1f\x37\x55\x72\x3b\x3a\x04\x4b\x92\x7b\x1d\xa6\xef\xa8\xd4\x54";
    pub(super) const RESET_BLOCK: [u8; 16] =
        *b"\xde\x71\xf7\x00\x7e\x1a\xcb\x4f\x89\x0e\x68\xc7\x7e\x2f\xb4\x4e";
    pub(super) const METADATA: [u8; 16] =
        *b"\x66\x65\x88\xdc\x4a\x98\x98\x47\xa7\x5e\x55\x85\xa7\xbf\x67\xcc";
}

const PAGE_SIZE: usize = 4096;
/// The reset vector's 32 bytes end a firmware; the tables lie before them.
const RESET_VECTOR_SIZE: usize = 32;
/// Where a processor starts.
const RESET_ADDRESS: u32 = 0xffff_fff0;
/// Guest physical addresses of the pages that the launch measures besides the firmware.
const SECRETS_ADDRESS: u32 = 0x0080_d000;
const CPUID_ADDRESS: u32 = 0x0080_e000;
const HASH_TABLE_ADDRESS: u32 = 0x0080_f000;

/// One page with OVMF's tables and no code: reset address, place of the digests' table, and the metadata that lists the
/// measured pages (secrets, CPUID, digests). Layout: edk2 `OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm` and
/// `OvmfSevMetadata.asm`.
fn table_page() -> Vec<u8> {
    const SECRETS: u32 = 2;
    const CPUID: u32 = 3;
    const KERNEL_HASHES: u32 = 0x10;
    let pages = [(SECRETS_ADDRESS, SECRETS), (CPUID_ADDRESS, CPUID), (HASH_TABLE_ADDRESS, KERNEL_HASHES)];
    let mut metadata = b"ASEV".to_vec();
    // Size of the header with its three entries, version, number of entries.
    for value in [16 + 3 * 12, 1, 3] {
        metadata.extend_from_slice(&u32::to_le_bytes(value));
    }
    for (address, kind) in pages {
        for value in [address, 4096, kind] {
            metadata.extend_from_slice(&value.to_le_bytes());
        }
    }

    let from_end = u32::try_from(PAGE_SIZE).unwrap_or(u32::MAX);
    let mut table = entry(&[from_end], guid::METADATA);
    table.extend(entry(&[HASH_TABLE_ADDRESS, 4096], guid::HASH_TABLE));
    table.extend(entry(&[RESET_ADDRESS], guid::RESET_BLOCK));
    let footer_size = table.len().saturating_add(18);
    table.extend_from_slice(&u16::try_from(footer_size).unwrap_or(u16::MAX).to_le_bytes());
    table.extend_from_slice(&guid::TABLE_FOOTER);

    // The metadata opens the page; the tables and the reset vector end it.
    let mut page = metadata;
    page.resize(PAGE_SIZE.saturating_sub(RESET_VECTOR_SIZE).saturating_sub(table.len()), 0);
    page.extend(table);
    page.resize(PAGE_SIZE, 0);
    page
}

/// An entry of the table: its values, its size, its GUID.
fn entry(values: &[u32], guid: [u8; 16]) -> Vec<u8> {
    let mut bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let size = bytes.len().saturating_add(18);
    bytes.extend_from_slice(&u16::try_from(size).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend_from_slice(&guid);
    bytes
}

#[cfg(test)]
mod tests;
