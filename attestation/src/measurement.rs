//! Calculates the launch measurement that a report must carry for given boot files.

use std::path::Path;

use sev::measurement::snp::{SnpMeasurementArgs, snp_calc_launch_digest};
pub use sev::measurement::vcpu_types::CpuType;
use sev::measurement::vmsa::{GuestFeatures, VMMType};

use crate::report::Measurement;

/// `SEV_FEATURES`: SNP and nothing else, as KVM sets it by default.
const GUEST_FEATURES: GuestFeatures = GuestFeatures(1);

/// What QEMU boots.
#[derive(Clone, Copy, Debug)]
pub struct BootFiles<'a> {
    /// OVMF built for SEV-SNP with a place for kernel hashes (`OvmfPkg/AmdSev`).
    pub firmware: &'a Path,
    /// Kernel image, given with `-kernel`.
    pub kernel: &'a Path,
    /// Initial file system, given with `-initrd`.
    pub initrd: &'a Path,
    /// Kernel command line, given with `-append`.
    pub command_line: &'a str,
}

/// Why there is no launch measurement.
#[derive(Debug, thiserror::Error)]
pub enum CalculateMeasurementError {
    /// A file cannot be read, or the firmware has no SEV metadata or no place for kernel hashes.
    #[error("cannot calculate the launch digest (is the firmware built for SEV-SNP with kernel hashes?)")]
    Calculate(#[source] Box<sev::error::MeasurementError>),
    /// The digest has another length than the 48 bytes that it has.
    #[error("the launch digest has {given} bytes")]
    Length {
        /// Bytes given.
        given: usize,
    },
}

/// The SNP launch digest of a guest that QEMU starts with `kernel-hashes=on` and `vcpus` processors of type `cpu`.
///
/// # Errors
/// When a file cannot be read, or the firmware cannot measure a kernel.
pub fn calculate(
    files: BootFiles<'_>,
    vcpus: u32,
    cpu: CpuType,
) -> Result<Measurement, CalculateMeasurementError> {
    let digest = snp_calc_launch_digest(SnpMeasurementArgs {
        vcpus,
        vcpu_type: cpu,
        ovmf_file: files.firmware.to_owned(),
        guest_features: GUEST_FEATURES,
        kernel_file: Some(files.kernel.to_owned()),
        initrd_file: Some(files.initrd.to_owned()),
        append: Some(files.command_line),
        ovmf_hash_str: None,
        vmm_type: Some(VMMType::QEMU),
    })
    .map_err(|source| CalculateMeasurementError::Calculate(Box::new(source)))?;
    let bytes: Vec<u8> =
        digest.try_into().map_err(|source| CalculateMeasurementError::Calculate(Box::new(source)))?;
    <[u8; Measurement::LEN]>::try_from(bytes.as_slice())
        .map(Measurement::new)
        .map_err(|_| CalculateMeasurementError::Length { given: bytes.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_firmware_that_measures_a_kernel_there_is_no_measurement() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, [0; 4096]).unwrap();
        let missing = folder.path().join("missing");
        for firmware in [&missing, &file] {
            let files = BootFiles { firmware, kernel: &file, initrd: &file, command_line: "" };
            assert!(calculate(files, 1, CpuType::EpycV4).is_err());
        }
    }
}
