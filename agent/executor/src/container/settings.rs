//! Settings of a process beyond those that every process has.

use policy_engine::request::IndexList;
use policy_engine::request::linux::{
    IoPriority, IoPriorityClass, Personality, ProcessSettings, SchedulerFlag, SchedulerPolicy,
    SchedulerSettings,
};
use rustix::thread::CpuSet;
use serde::{Deserialize, Serialize};

use super::PlanError;
use crate::sys::scheduling::{IO_CLASS_SHIFT, SchedulerAttributes};

/// `PER_LINUX32` of `linux/personality.h`.
const LINUX32: i32 = 8;
/// The lowest and the highest nice value.
const NICE: std::ops::RangeInclusive<i8> = -20..=19;
/// The last of the I/O priorities of a class.
const IO_PRIORITY_MAX: u8 = 7;

/// The settings as the kernel has them; by default there is nothing to set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct SettingsPlan {
    /// What `personality(2)` is told.
    pub(crate) personality: Option<i32>,
    pub(crate) apparmor_profile: Option<String>,
    pub(crate) selinux_label: Option<String>,
    /// Class and priority.
    pub(crate) io_priority: Option<u16>,
    pub(crate) scheduler: Option<SchedulerAttributes>,
    /// The CPUs that the process may run on at first.
    pub(crate) initial_cpus: Option<Vec<usize>>,
    /// Those that its program may run on.
    pub(crate) cpus: Option<Vec<usize>>,
}

/// The plan of a process's settings. The personality is that of its container.
pub(super) fn compile(
    settings: &ProcessSettings,
    personality: Personality,
) -> Result<SettingsPlan, PlanError> {
    let cpus = |list: &Option<IndexList>| list.as_ref().map(cpus).transpose();
    Ok(SettingsPlan {
        personality: match personality {
            Personality::Linux => None,
            Personality::Linux32 => Some(LINUX32),
        },
        apparmor_profile: label(settings.apparmor_profile.as_ref())?,
        selinux_label: label(settings.selinux_label.as_ref())?,
        io_priority: settings.io_priority.map(io_priority).transpose()?,
        scheduler: settings.scheduler.as_ref().map(scheduler).transpose()?,
        initial_cpus: cpus(&settings.cpu_affinity.initial)?,
        cpus: cpus(&settings.cpu_affinity.last)?,
    })
}

fn label(label: Option<&String>) -> Result<Option<String>, PlanError> {
    match label {
        Some(label) if label.is_empty() || label.contains('\0') => Err(PlanError::Label),
        label => Ok(label.cloned()),
    }
}

fn cpus(list: &IndexList) -> Result<Vec<usize>, PlanError> {
    let cpus: Vec<usize> = list.ranges().flatten().map(usize::from).collect();
    match cpus.iter().find(|cpu| **cpu >= CpuSet::MAX_CPU) {
        Some(&cpu) => Err(PlanError::Cpu { cpu }),
        None => Ok(cpus),
    }
}

fn io_priority(asked: IoPriority) -> Result<u16, PlanError> {
    // `linux/ioprio.h`
    let class: u16 = match asked.class {
        IoPriorityClass::RealTime => 1,
        IoPriorityClass::BestEffort => 2,
        IoPriorityClass::Idle => 3,
    };
    if asked.priority > IO_PRIORITY_MAX {
        return Err(PlanError::IoPriority);
    }
    Ok(class << IO_CLASS_SHIFT | u16::from(asked.priority))
}

fn scheduler(asked: &SchedulerSettings) -> Result<SchedulerAttributes, PlanError> {
    // `linux/sched.h`
    let policy = match asked.policy {
        SchedulerPolicy::Other => 0,
        SchedulerPolicy::Fifo => 1,
        SchedulerPolicy::Rr => 2,
        SchedulerPolicy::Batch => 3,
        SchedulerPolicy::Iso => 4,
        SchedulerPolicy::Idle => 5,
        SchedulerPolicy::Deadline => 6,
    };
    let flag = |flag: &SchedulerFlag| match flag {
        SchedulerFlag::ResetOnFork => 1,
        SchedulerFlag::Reclaim => 2,
        SchedulerFlag::DlOverrun => 4,
        SchedulerFlag::KeepPolicy => 8,
        SchedulerFlag::KeepParams => 16,
        SchedulerFlag::UtilClampMin => 32,
        SchedulerFlag::UtilClampMax => 64,
    };
    if !NICE.contains(&asked.nice) {
        return Err(PlanError::Nice);
    }
    let flags = asked.flags.iter().fold(0, |bits, asked| bits | flag(asked));
    Ok(SchedulerAttributes::new(policy, flags, asked.nice.into(), asked.priority.into()).with_times(
        asked.runtime_ns,
        asked.deadline_ns,
        asked.period_ns,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_the_kernels_numbers() {
        let mut settings = ProcessSettings::default();
        let plan = |settings: &ProcessSettings| compile(settings, Personality::Linux);
        assert_eq!(plan(&settings), Ok(SettingsPlan::default()));
        settings.io_priority = Some(IoPriority { class: IoPriorityClass::BestEffort, priority: 3 });
        settings.cpu_affinity.last = Some("0-2,5".parse().unwrap());
        let planned = plan(&settings).unwrap();
        assert_eq!((planned.io_priority, planned.cpus), (Some(0x4003), Some(vec![0, 1, 2, 5])));
        assert_eq!(compile(&settings, Personality::Linux32).unwrap().personality, Some(8));

        settings.io_priority = Some(IoPriority { class: IoPriorityClass::Idle, priority: 8 });
        assert_eq!(plan(&settings), Err(PlanError::IoPriority));
        settings.io_priority = None;
        settings.cpu_affinity.last = Some("0,1024".parse().unwrap());
        assert_eq!(plan(&settings), Err(PlanError::Cpu { cpu: 1024 }));
        settings.cpu_affinity.last = None;
        for label in ["", "a\0b"] {
            settings.apparmor_profile = Some(label.to_owned());
            assert_eq!(plan(&settings), Err(PlanError::Label));
        }
        settings.apparmor_profile = None;
        let scheduler = |nice| SchedulerSettings {
            policy: SchedulerPolicy::Other,
            nice,
            priority: 0,
            flags: vec![SchedulerFlag::ResetOnFork, SchedulerFlag::KeepParams],
            runtime_ns: 0,
            deadline_ns: 0,
            period_ns: 0,
        };
        settings.scheduler = Some(scheduler(-20));
        assert_eq!(plan(&settings).unwrap().scheduler, Some(SchedulerAttributes::new(0, 17, -20, 0)));
        for nice in [-21, 20] {
            settings.scheduler = Some(scheduler(nice));
            assert_eq!(plan(&settings), Err(PlanError::Nice));
        }
    }
}
