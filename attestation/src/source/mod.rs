//! Where reports come from. One file per source, one trait for all.

mod configfs_tsm;
#[cfg(feature = "emulated-psp")]
mod emulated;
mod sev_guest;

use std::path::Path;

pub use configfs_tsm::ConfigfsTsm;
#[cfg(feature = "emulated-psp")]
pub use emulated::{EmulatedPsp, ParseAddressError};
pub use sev_guest::SevGuest;

use crate::report::{ParseReportError, Report, ReportData};

/// Gives reports about the running guest. Calls block; the firmware takes milliseconds and serves one at a time.
pub trait ReportSource: Send + Sync {
    /// A report that carries `data` as `REPORT_DATA`.
    ///
    /// # Errors
    /// When the source is not there, refuses, or answers with anything but a report on `data`.
    fn report(&self, data: &ReportData) -> Result<Report, ReportError>;

    /// A short stable name, for logs.
    fn name(&self) -> &'static str;
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The device could not be opened.
    #[error("cannot open the sev-guest device")]
    OpenDevice(#[source] std::io::Error),
    /// The request was refused on its way: by the kernel, the hypervisor or the firmware's message layer.
    #[error("the report request failed (firmware error {firmware:#x}, hypervisor error {hypervisor:#x})")]
    Request {
        /// Lower half of `exitinfo2`.
        firmware: u32,
        /// Upper half of `exitinfo2`.
        hypervisor: u32,
        /// What the system call said.
        source: std::io::Error,
    },
    /// The firmware understood the request and refused it.
    #[error("the firmware refused the report request with status {0:#x}")]
    Status(u32),
    /// The firmware announced a report of another size.
    #[error("the firmware announced a report of {0} bytes")]
    Size(u32),
    /// A file of a configfs-tsm report could not be used.
    #[error("cannot {step} of the configfs-tsm report")]
    Configfs {
        /// The operation and the file.
        step: &'static str,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The kernel's report provider is not SEV-SNP.
    #[error("the configfs-tsm provider is {0:?}, not sev_guest")]
    Provider(String),
    /// Another writer used the same configfs-tsm entry meanwhile.
    #[error("the configfs-tsm entry was written by somebody else meanwhile")]
    Race,
    /// The emulated secure processor cannot be reached.
    #[cfg(feature = "emulated-psp")]
    #[error("cannot connect to the emulated secure processor")]
    Connect(#[source] std::io::Error),
    /// The emulated secure processor went away in the middle.
    #[cfg(feature = "emulated-psp")]
    #[error("cannot exchange messages with the emulated secure processor")]
    Exchange(#[source] std::io::Error),
    /// The answer is not a report.
    #[error("the answer is not a report")]
    Parse(#[from] ParseReportError),
    /// The answer is a report on other data: somebody replayed an old one.
    #[error("the report is not about the data asked for")]
    OtherData,
}

/// Why no hardware source is available.
#[derive(Debug, thiserror::Error)]
pub enum DetectSourceError {
    /// Neither device nor file system is there: not an SNP guest, or the kernel lacks the driver.
    #[error("neither /dev/sev-guest nor configfs-tsm is there: not an SEV-SNP guest, or no driver")]
    NoneFound,
}

/// The hardware source of this guest: the sev-guest device, else configfs-tsm.
///
/// There is no further fallback. An agent that took unsigned or emulated evidence when the device is missing would let
/// the host switch attestation off by hiding a device.
///
/// # Errors
/// When neither is there.
pub fn detect() -> Result<Box<dyn ReportSource>, DetectSourceError> {
    detect_at(Path::new(sev_guest::DEVICE), Path::new(configfs_tsm::FOLDER))
}

fn detect_at(device: &Path, tsm_folder: &Path) -> Result<Box<dyn ReportSource>, DetectSourceError> {
    if device.exists() {
        Ok(Box::new(SevGuest::at(device)))
    } else if tsm_folder.is_dir() {
        Ok(Box::new(ConfigfsTsm::at(tsm_folder)))
    } else {
        Err(DetectSourceError::NoneFound)
    }
}

/// Parses an answer and makes sure that it is about `data`.
fn report_on(data: &ReportData, bytes: &[u8]) -> Result<Report, ReportError> {
    let report = Report::parse(bytes)?;
    if report.report_data() == *data { Ok(report) } else { Err(ReportError::OtherData) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_goes_first_then_configfs_then_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("sev-guest");
        let tsm = folder.path().join("report");
        assert!(matches!(detect_at(&device, &tsm).err(), Some(DetectSourceError::NoneFound)));
        std::fs::create_dir(&tsm).unwrap();
        assert_eq!(detect_at(&device, &tsm).unwrap().name(), "configfs-tsm");
        std::fs::write(&device, []).unwrap();
        assert_eq!(detect_at(&device, &tsm).unwrap().name(), "sev-guest");
    }
}
