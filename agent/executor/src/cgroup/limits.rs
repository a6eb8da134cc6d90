//! Limits of a container.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use policy_engine::request::Resources;

use super::Cgroup;

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
    /// The CPUs that may be used.
    Cpus,
    /// The memory nodes that may be used.
    MemoryNodes,
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Memory => "memory",
            Self::CpuQuota => "cpu quota",
            Self::CpuWeight => "cpu weight",
            Self::Pids => "pids",
            Self::Cpus => "cpus",
            Self::MemoryNodes => "memory nodes",
        })
    }
}

/// A limit that could not be set.
#[derive(Debug)]
pub(crate) struct NotSet {
    pub(crate) limit: Limit,
    pub(crate) source: io::Error,
    /// Whether those that were set before it are again as they were.
    pub(crate) undone: bool,
}

/// What to write for one limit.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    limit: Limit,
    unified: (&'static str, String),
    /// The controller, and in order what to write.
    legacy: (&'static str, Vec<(&'static str, String)>),
}

/// Sets the limits, all or none, and tells which of them this kernel does not have.
pub(super) fn set(cgroup: &Cgroup, resources: &Resources) -> Result<Vec<Limit>, NotSet> {
    let mut unenforced = Vec::new();
    let mut former: Vec<(PathBuf, String)> = Vec::new();
    for setting in settings(resources) {
        match set_one(cgroup, &setting, &mut former) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => unenforced.push(setting.limit),
            Err(source) => {
                let undone = former.iter().rev().all(|(file, value)| overwrite(file, value).is_ok());
                return Err(NotSet { limit: setting.limit, source, undone });
            }
        }
    }
    Ok(unenforced)
}

/// Sets one limit, where its controller is; each value that is replaced goes into `former`.
fn set_one(cgroup: &Cgroup, setting: &Setting, former: &mut Vec<(PathBuf, String)>) -> io::Result<()> {
    let mut replace = |directory: &Path, file: &str, value: &str| {
        let file = directory.join(file);
        let old = fs::read_to_string(&file)?.trim_end().to_owned();
        overwrite(&file, &value.replace(KEPT, old.split(' ').next().unwrap_or("max")))?;
        former.push((file, old));
        Ok(())
    };
    let (file, value) = &setting.unified;
    match (replace(&cgroup.path, file, value), cgroup.legacy(setting.legacy.0)) {
        (Err(error), Some(directory)) if io::Error::kind(&error) == io::ErrorKind::NotFound => {
            setting.legacy.1.iter().try_for_each(|(file, value)| replace(directory, file, value))
        }
        (result, _) => result,
    }
}

fn overwrite(file: &Path, value: &str) -> io::Result<()> {
    io::Write::write_all(&mut fs::OpenOptions::new().write(true).open(file)?, value.as_bytes())
}

/// Stands for the first word of what a file has.
const KEPT: &str = "<kept>";

fn settings(resources: &Resources) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut add = |limit, unified, controller, legacy| {
        settings.push(Setting { limit, unified, legacy: (controller, legacy) });
    };
    if let Some(bytes) = resources.memory_limit_bytes {
        let value = bytes.to_string();
        add(Limit::Memory, ("memory.max", value.clone()), "memory", vec![("memory.limit_in_bytes", value)]);
    }
    if resources.cpu_quota_us.is_some() || resources.cpu_period_us.is_some() {
        let quota = resources.cpu_quota_us.map(|quota| quota.to_string());
        let period = resources.cpu_period_us.map(|period| period.to_string());
        // A period that is not given stays.
        let words = [Some(quota.clone().unwrap_or(KEPT.to_owned())), period.clone()];
        let unified = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let legacy = [("cpu.cfs_period_us", period), ("cpu.cfs_quota_us", quota)];
        let legacy = legacy.into_iter().filter_map(|(file, value)| Some((file, value?))).collect();
        add(Limit::CpuQuota, ("cpu.max", unified), "cpu", legacy);
    }
    if let Some(shares) = resources.cpu_shares {
        let legacy = vec![("cpu.shares", shares.to_string())];
        add(Limit::CpuWeight, ("cpu.weight", weight(shares).to_string()), "cpu", legacy);
    }
    if let Some(limit) = resources.pids_limit {
        let value = limit.to_string();
        add(Limit::Pids, ("pids.max", value.clone()), "pids", vec![("pids.max", value)]);
    }
    let sets = [
        (Limit::Cpus, "cpuset.cpus", &resources.cpus),
        (Limit::MemoryNodes, "cpuset.mems", &resources.memory_nodes),
    ];
    for (limit, file, set) in sets {
        if let Some(set) = set {
            let value = set.to_string();
            add(limit, (file, value.clone()), "cpuset", vec![(file, value)]);
        }
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
        let unified = |resources: Resources| {
            settings(&resources).into_iter().map(|setting| setting.unified).collect::<Vec<_>>()
        };
        let both = Resources { cpu_quota_us: Some(50_000), pids_limit: Some(7), ..Resources::default() };
        assert_eq!(unified(both), [("cpu.max", "50000".to_owned()), ("pids.max", "7".to_owned())]);
        let period = Resources { cpu_period_us: Some(20_000), ..Resources::default() };
        assert_eq!(unified(period), [("cpu.max", "<kept> 20000".to_owned())]);
    }
}
