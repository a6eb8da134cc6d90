//! How a process runs: its execution domain, its CPUs, its priorities.

use std::io;

use nix::sys::personality::{self, Persona};
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::container::report::{AtStep as _, Failure, Step};
use crate::container::settings::SettingsPlan;
use crate::sys::scheduling::{set_io_priority, set_scheduler};

/// Confines the process to the CPUs that it is to begin on. It is in its cgroup since its birth: when that has none of
/// them, it cannot run elsewhere than there already.
pub(super) fn begin(settings: &SettingsPlan) -> Result<(), Failure> {
    match settings.initial_cpus.as_deref().map(confine) {
        None | Some(Ok(()) | Err(Errno::INVAL)) => Ok(()),
        Some(Err(errno)) => Err(errno).at(Step::CpuAffinity),
    }
}

/// Sets what the program is to run with.
pub(super) fn set(settings: &SettingsPlan) -> Result<(), Failure> {
    if let Some(domain) = settings.personality {
        personality::set(Persona::from_bits_retain(domain)).map_err(io::Error::from).at(Step::Personality)?;
    }
    if let Some(priority) = settings.io_priority {
        set_io_priority(priority).at(Step::IoPriority)?;
    }
    if let Some(cpus) = &settings.cpus {
        confine(cpus).at(Step::CpuAffinity)?;
    }
    if let Some(scheduler) = &settings.scheduler {
        set_scheduler(scheduler).at(Step::Scheduler)?;
    }
    Ok(())
}

fn confine(cpus: &[usize]) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        // The plan has none beyond, where `set` would panic.
        if cpu < CpuSet::MAX_CPU {
            set.set(cpu);
        }
    }
    sched_setaffinity(None, &set)
}
