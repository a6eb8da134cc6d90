//! Limits of containers, as the OCI runtime specification has them.

mod block_io;
mod index_list;
mod named;

pub use block_io::{BlockIoResources, DeviceNumber, DeviceRate, DeviceWeight, ThrottleKind};
pub use index_list::{IndexList, ParseIndexListError};
pub use named::{
    HugepageLimit, HugepageSize, ParseHugepageSizeError, ParseUnifiedFileError, RdmaLimit, UnifiedFile,
    UnifiedSetting,
};

/// Limits of a container; `None` leaves the kernel's default, or what was set before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resources {
    /// Memory.
    pub memory: MemoryResources,
    /// CPU time.
    pub cpu: CpuResources,
    /// The number of processes.
    pub pids_limit: Option<Maximum>,
    /// Block devices.
    pub block_io: BlockIoResources,
    /// Huge pages, by their size.
    pub hugepages: Vec<HugepageLimit>,
    /// Devices for remote direct memory access.
    pub rdma: Vec<RdmaLimit>,
    /// Files of cgroup version 2 and what they are to have, in order, after everything else.
    pub unified: Vec<UnifiedSetting>,
}

/// The most of something, or no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maximum {
    /// So much.
    Limited(u64),
    /// As much as there is.
    Unlimited,
}

impl Maximum {
    /// What a number of an OCI configuration says: below zero there is no bound, and zero says nothing.
    #[must_use]
    pub fn from_oci(number: i64) -> Option<Self> {
        match u64::try_from(number) {
            Ok(0) => None,
            Ok(number) => Some(Self::Limited(number)),
            Err(_) => Some(Self::Unlimited),
        }
    }

    /// The bound, if there is one.
    #[must_use]
    pub fn limited(self) -> Option<u64> {
        match self {
            Self::Limited(number) => Some(number),
            Self::Unlimited => None,
        }
    }
}

/// Memory of a container, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryResources {
    /// The most that it may use.
    pub limit_bytes: Option<Maximum>,
    /// What it keeps when the guest is short of memory.
    pub reservation_bytes: Option<Maximum>,
    /// The most that it may use of memory and swap together.
    pub with_swap_bytes: Option<Maximum>,
    /// How readily its memory is swapped out, 0 to 100 (cgroup v1).
    pub swappiness: Option<u8>,
    /// Whether its processes wait for memory instead of being killed for want of it (cgroup v1).
    pub disable_oom_killer: Option<bool>,
    /// Whether a limit below what is in use is refused, instead of enforced by killing.
    pub check_before_update: bool,
}

/// CPU time of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuResources {
    /// Relative weight, 2 to 262,144 (cgroup v1 shares).
    pub shares: Option<u64>,
    /// CPU time per period, in microseconds.
    pub quota_us: Option<Maximum>,
    /// The period, in microseconds.
    pub period_us: Option<u64>,
    /// Unused quota that may be used in later periods, in microseconds.
    pub burst_us: Option<u64>,
    /// CPU time of real-time processes per real-time period, in microseconds (cgroup v1).
    pub realtime_runtime_us: Option<Maximum>,
    /// The real-time period, in microseconds (cgroup v1).
    pub realtime_period_us: Option<u64>,
    /// The CPUs that may be used.
    pub cpus: Option<IndexList>,
    /// The memory nodes that may be used.
    pub memory_nodes: Option<IndexList>,
    /// Whether it runs only when nobody else wants to.
    pub idle: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_below_zero_are_no_bound() {
        assert_eq!(Maximum::from_oci(-1), Some(Maximum::Unlimited));
        assert_eq!(Maximum::from_oci(i64::MIN), Some(Maximum::Unlimited));
        assert_eq!(Maximum::from_oci(0), None);
        assert_eq!(Maximum::from_oci(i64::MAX), Some(Maximum::Limited(i64::MAX.unsigned_abs())));
        assert_eq!(Maximum::Limited(3).limited(), Some(3));
        assert_eq!(Maximum::Unlimited.limited(), None);
    }
}
