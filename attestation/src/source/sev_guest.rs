//! `/dev/sev-guest`: the kernel's encrypted message channel to the firmware.

mod ioctl;

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use super::{ReportError, ReportSource, report_on};
use crate::report::layout::REPORT_LEN;
use crate::report::{Report, ReportData};

/// The device node.
pub(super) const DEVICE: &str = "/dev/sev-guest";

/// Reports by the `SNP_GET_REPORT` request, at VMPL 0.
#[derive(Debug)]
pub struct SevGuest {
    device: PathBuf,
}

impl Default for SevGuest {
    fn default() -> Self {
        Self::at(Path::new(DEVICE))
    }
}

impl SevGuest {
    /// Uses the device node at `device`. It is opened for each report, so nothing stays open between.
    #[must_use]
    pub fn at(device: &Path) -> Self {
        Self { device: device.to_owned() }
    }
}

impl ReportSource for SevGuest {
    fn report(&self, data: &ReportData) -> Result<Report, ReportError> {
        let device =
            File::options().read(true).write(true).open(&self.device).map_err(ReportError::OpenDevice)?;
        let mut request = ioctl::ReportRequest { user_data: *data.as_bytes(), vmpl: 0, reserved: [0; 28] };
        let mut response = ioctl::ReportResponse::zeroed();
        ioctl::get_report(device.as_fd(), &mut request, &mut response).map_err(|refusal| {
            ReportError::Request {
                firmware: refusal.firmware,
                hypervisor: refusal.hypervisor,
                source: refusal.errno.into(),
            }
        })?;
        if response.status != 0 {
            return Err(ReportError::Status(response.status));
        }
        if usize::try_from(response.size) != Ok(REPORT_LEN) {
            return Err(ReportError::Size(response.size));
        }
        report_on(data, &response.report)
    }

    fn name(&self) -> &'static str {
        "sev-guest"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_is_an_error() {
        let source = SevGuest::at(Path::new("/nonexistent/sev-guest"));
        let refused = source.report(&ReportData::new([7; 64])).unwrap_err();
        assert!(matches!(refused, ReportError::OpenDevice(_)));
    }

    #[test]
    fn a_file_that_is_not_the_device_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = SevGuest::at(file.path()).report(&ReportData::new([7; 64])).unwrap_err();
        assert!(matches!(refused, ReportError::Request { firmware: u32::MAX, hypervisor: u32::MAX, .. }));
    }
}
