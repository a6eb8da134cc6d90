//! Limits of a container.

use std::fmt;
use std::io;

use policy_engine::request::Resources;

use super::{Cgroup, CgroupError};

/// A resource that can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Memory, and with it swap.
    Memory,
    /// CPU time per period.
    CpuQuota,
    /// The share of the CPU against others.
    CpuWeight,
    /// The number of processes.
    Pids,
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Memory => "memory",
            Self::CpuQuota => "cpu quota",
            Self::CpuWeight => "cpu weight",
            Self::Pids => "pids",
        })
    }
}

/// The kernel's default period of CPU quotas, in microseconds.
const CPU_PERIOD_DEFAULT_US: u64 = 100_000;

/// Sets the limits, and tells which of them this kernel does not have.
pub(super) fn apply(cgroup: &Cgroup, resources: &Resources) -> Result<Vec<Limit>, CgroupError> {
    let mut unenforced = Vec::new();
    for (limit, file, value) in settings(resources) {
        match cgroup.write(file, &value) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => unenforced.push(limit),
            Err(source) => return Err(CgroupError::Limit { limit, source }),
        }
    }
    Ok(unenforced)
}

/// The files to write, and what.
fn settings(resources: &Resources) -> Vec<(Limit, &'static str, String)> {
    let mut settings = Vec::new();
    if let Some(bytes) = resources.memory_limit_bytes {
        settings.push((Limit::Memory, "memory.max", bytes.to_string()));
    }
    if resources.cpu_quota_us.is_some() || resources.cpu_period_us.is_some() {
        let quota = resources.cpu_quota_us.map_or("max".to_owned(), |quota| quota.to_string());
        let period = resources.cpu_period_us.unwrap_or(CPU_PERIOD_DEFAULT_US);
        settings.push((Limit::CpuQuota, "cpu.max", format!("{quota} {period}")));
    }
    if let Some(shares) = resources.cpu_shares {
        settings.push((Limit::CpuWeight, "cpu.weight", weight(shares).to_string()));
    }
    if let Some(limit) = resources.pids_limit {
        settings.push((Limit::Pids, "pids.max", limit.to_string()));
    }
    settings
}

/// The weight (1 to 10,000) for shares of version 1 (2 to 262,144): the linear map that runc has made customary.
fn weight(shares: u64) -> u64 {
    let above = shares.clamp(2, 262_144).saturating_sub(2);
    above.saturating_mul(9999).checked_div(262_142).unwrap_or_default().saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_map_to_weights() {
        assert_eq!([0, 2, 1024, 262_144, u64::MAX].map(weight), [1, 1, 39, 10_000, 10_000]);
    }

    #[test]
    fn what_is_not_limited_is_not_written() {
        assert_eq!(settings(&Resources::default()), []);
        let resources = Resources { cpu_quota_us: Some(50_000), pids_limit: Some(7), ..Resources::default() };
        assert_eq!(
            settings(&resources),
            [
                (Limit::CpuQuota, "cpu.max", "50000 100000".to_owned()),
                (Limit::Pids, "pids.max", "7".to_owned())
            ]
        );
    }
}
