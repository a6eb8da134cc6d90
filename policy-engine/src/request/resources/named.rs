//! Limits that name what they limit, in the kernel's words. The names become parts of file names and of what is written
//! to files: they are checked here.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::Maximum;

/// The longest name, in bytes.
const NAME_LENGTH_MAX: usize = 64;

/// A limit of huge pages of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HugepageLimit {
    /// Which pages.
    pub page_size: HugepageSize,
    /// How much, in bytes.
    pub limit_bytes: Maximum,
}

/// A size of huge pages as the kernel names it: `2MB`, `1GB`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HugepageSize(Arc<str>);

/// Why a text is not such a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a size of pages such as `2MB`")]
pub struct ParseHugepageSizeError;

impl FromStr for HugepageSize {
    type Err = ParseHugepageSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let units = ["KB", "MB", "GB"];
        let number = units.iter().find_map(|unit| text.strip_suffix(unit)).ok_or(ParseHugepageSizeError)?;
        let digits = (1..=9).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        if digits && !number.starts_with('0') { Ok(Self(text.into())) } else { Err(ParseHugepageSizeError) }
    }
}

impl fmt::Display for HugepageSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A limit of one device for remote direct memory access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RdmaLimit {
    device: Arc<str>,
    /// The most handles.
    pub handles: Option<u32>,
    /// The most objects.
    pub objects: Option<u32>,
}

impl RdmaLimit {
    /// A limit of the device that the kernel calls `device`; `None` if no device can be called that.
    #[must_use]
    pub fn new(device: &str, handles: Option<u32>, objects: Option<u32>) -> Option<Self> {
        is_name(device, b"_-.").then(|| Self { device: device.into(), handles, objects })
    }

    /// The name of the device.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }
}

/// A file of a cgroup of version 2 and what it is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnifiedSetting {
    /// The file.
    pub file: UnifiedFile,
    /// What is written to it, line by line.
    pub value: String,
}

/// The name of a file by which a controller of cgroup version 2 is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnifiedFile(Arc<str>);

/// Why a text does not name such a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a file of a controller such as `memory.high`")]
pub struct ParseUnifiedFileError;

/// Controllers of version 2.
const CONTROLLERS: [&str; 8] = ["cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma"];
/// Files of version 2 itself that limit something. The others would move, stop, kill or hide the processes of the
/// container behind the back of who keeps it.
const CORE_FILES: [&str; 2] = ["cgroup.max.depth", "cgroup.max.descendants"];

impl FromStr for UnifiedFile {
    type Err = ParseUnifiedFileError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (controller, file) = text.split_once('.').ok_or(ParseUnifiedFileError)?;
        let of_controller = CONTROLLERS.contains(&controller) && is_name(file, b"_-.");
        if CORE_FILES.contains(&text) || of_controller {
            Ok(Self(text.into()))
        } else {
            Err(ParseUnifiedFileError)
        }
    }
}

impl UnifiedFile {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` is a short word of ASCII letters, digits and `others`.
fn is_name(text: &str, others: &[u8]) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
    (1..=NAME_LENGTH_MAX).contains(&text.len()) && text.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_the_kernels_sizes() {
        for good in ["64KB", "2MB", "1GB", "16384MB"] {
            assert_eq!(good.parse::<HugepageSize>().unwrap().to_string(), good);
        }
        for bad in
            ["", "MB", "2", "2mb", "02MB", "0MB", "+2MB", "2 MB", "../2MB", "2MB\n", "1234567890KB", "2TB"]
        {
            assert!(bad.parse::<HugepageSize>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn files_are_of_controllers() {
        for good in
            ["memory.high", "io.bfq.weight", "hugetlb.2MB.rsvd.max", "cpu.weight.nice", "cgroup.max.depth"]
        {
            assert_eq!(good.parse::<UnifiedFile>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "memory",
            "memory.",
            ".max",
            "memory.max/../../x",
            "/memory.max",
            "../memory.max",
            "memory.max\0",
            "cgroup.procs",
            "cgroup.kill",
            "cgroup.freeze",
            "cgroup.type",
            "cgroup.subtree_control",
            "devices.allow",
            "unknown.max",
        ] {
            assert!(bad.parse::<UnifiedFile>().is_err(), "{bad:?}");
        }
        assert!(format!("memory.{}", "x".repeat(65)).parse::<UnifiedFile>().is_err());
    }

    #[test]
    fn devices_are_words() {
        assert_eq!(RdmaLimit::new("mlx5_0", Some(2), None).unwrap().device(), "mlx5_0");
        for bad in ["", "mlx5 0", "a\nb", "a=b"] {
            assert_eq!(RdmaLimit::new(bad, None, None), None, "{bad:?}");
        }
    }
}
