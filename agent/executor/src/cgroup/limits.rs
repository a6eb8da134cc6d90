//! Limits of a container.

mod file;
mod settings;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::PathBuf;

use policy_engine::request::{Resources, UnifiedFile};

use self::file::Undo;
use self::settings::{Absent, Place, Setting, Write};

/// A resource that can be limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// Memory.
    Memory,
    /// What memory the container keeps.
    MemoryReservation,
    /// Memory and swap together.
    Swap,
    /// How readily memory is swapped out.
    Swappiness,
    /// That nothing is killed for want of memory.
    OomKiller,
    /// CPU time per period.
    CpuQuota,
    /// Quota that may be used later.
    CpuBurst,
    /// CPU time of real-time processes.
    CpuRealtime,
    /// The share of the CPU against others.
    CpuWeight,
    /// That the container runs only when nobody else wants to.
    CpuIdle,
    /// The number of processes.
    Pids,
    /// The CPUs that may be used.
    Cpus,
    /// The memory nodes that may be used.
    MemoryNodes,
    /// The share of block devices against others.
    IoWeight,
    /// Reads and writes of a block device per second.
    IoRate,
    /// Huge pages.
    Hugepages,
    /// Devices for remote direct memory access.
    Rdma,
    /// A file of version 2.
    Unified(UnifiedFile),
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Memory => "memory",
            Self::MemoryReservation => "memory reservation",
            Self::Swap => "swap",
            Self::Swappiness => "swappiness",
            Self::OomKiller => "oom killer",
            Self::CpuQuota => "cpu quota",
            Self::CpuBurst => "cpu burst",
            Self::CpuRealtime => "cpu realtime",
            Self::CpuWeight => "cpu weight",
            Self::CpuIdle => "cpu idle",
            Self::Pids => "pids",
            Self::Cpus => "cpus",
            Self::MemoryNodes => "memory nodes",
            Self::IoWeight => "io weight",
            Self::IoRate => "io rate",
            Self::Hugepages => "hugepages",
            Self::Rdma => "rdma",
            Self::Unified(file) => file.as_str(),
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

/// Where a controller has a container's directory.
pub(super) trait Directories {
    /// The directory of version 2.
    fn unified(&self) -> PathBuf;

    /// The directory of a controller of version 1; `None` where it is not in version 1.
    fn legacy(&self, controller: &str) -> io::Result<Option<PathBuf>>;
}

/// Controllers that are not given to every container, and that these limits need.
pub(super) fn rare_controllers(resources: &Resources) -> Vec<&'static str> {
    let in_unified = |controller: &str| {
        resources.unified.iter().any(|setting| setting.file.as_str().split('.').next() == Some(controller))
    };
    let needed =
        [("hugetlb", !resources.hugepages.is_empty()), ("rdma", !resources.rdma.is_empty()), ("misc", false)];
    let needed = needed.into_iter().filter(|(name, named)| *named || in_unified(name));
    needed.map(|(name, _)| name).collect()
}

/// Sets the limits, all or none, and tells which of them this kernel does not have.
pub(super) fn set(directories: &impl Directories, resources: &Resources) -> Result<Vec<Limit>, NotSet> {
    let untouched = |(limit, source)| NotSet { limit, source, undone: true };
    refuse_too_low(directories, resources).map_err(untouched)?;
    let mut unenforced = Vec::new();
    let mut steps = Vec::new();
    for setting in settings::compile(resources).map_err(untouched)? {
        let place =
            place(directories, &setting).map_err(|error| untouched((setting.limit.clone(), error)))?;
        match (place, setting.absent) {
            (Some((directory, writes)), _) => {
                steps.extend(writes.into_iter().map(|write| Step {
                    limit: setting.limit.clone(),
                    file: directory.join(write.file.as_ref()),
                    write,
                }));
            }
            (None, Absent::Named) if unenforced.contains(&setting.limit) => {}
            (None, Absent::Named) => unenforced.push(setting.limit),
            (None, Absent::Ignored) => {}
            (None, Absent::Refused) => {
                return Err(untouched((setting.limit, io::ErrorKind::NotFound.into())));
            }
        }
    }
    let mut done = Vec::new();
    match write_all(steps, &mut done) {
        Ok(()) => Ok(unenforced),
        Err((limit, source)) => {
            // All of them, also when one fails.
            let failed = done.into_iter().rev().filter_map(|undo| undo.carry_out().err()).count();
            Err(NotSet { limit, source, undone: failed == 0 })
        }
    }
}

/// Refuses limits below what is in use, where they were asked for with that condition: version 2 would kill for them.
fn refuse_too_low(directories: &impl Directories, resources: &Resources) -> Result<(), (Limit, io::Error)> {
    let memory = &resources.memory;
    let current = directories.unified().join("memory.current");
    let used = std::fs::read_to_string(current).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let Some(used) = used.filter(|_| memory.check_before_update) else { return Ok(()) };
    for (limit, maximum) in [(Limit::Memory, memory.limit_bytes), (Limit::Swap, memory.with_swap_bytes)] {
        if maximum.and_then(policy_engine::request::Maximum::limited).is_some_and(|bytes| bytes <= used) {
            return Err((limit, io::ErrorKind::ResourceBusy.into()));
        }
    }
    Ok(())
}

/// The first place where the kernel has the files of a setting.
fn place(directories: &impl Directories, setting: &Setting) -> io::Result<Option<(PathBuf, Vec<Write>)>> {
    for (place, writes) in &setting.places {
        let directory = match place {
            Place::Unified => Some(directories.unified()),
            Place::Legacy(controller) => directories.legacy(controller)?,
        };
        let has_it =
            |directory: &PathBuf| writes.first().is_some_and(|first| directory.join(&*first.file).exists());
        if let Some(directory) = directory.filter(has_it) {
            return Ok(Some((directory, writes.clone())));
        }
    }
    Ok(None)
}

/// A file to be written.
struct Step {
    limit: Limit,
    file: PathBuf,
    write: Write,
}

/// Writes in order. What the kernel finds invalid is tried again after the others, as long as that changes anything: a
/// limit of version 1 may be no higher than that of memory and swap together, whichever of them is raised or lowered,
/// and quotas, periods, bursts and weights depend on each other in such ways, too.
fn write_all(mut steps: Vec<Step>, done: &mut Vec<Undo>) -> Result<(), (Limit, io::Error)> {
    loop {
        let (before, mut invalid) = (steps.len(), Vec::new());
        let mut first_error = None;
        for step in steps {
            match step.write.carry_out(&step.file, done) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    first_error.get_or_insert((step.limit.clone(), error));
                    invalid.push(step);
                }
                Err(error) => return Err((step.limit, error)),
            }
        }
        match first_error {
            None => return Ok(()),
            Some(error) if invalid.len() == before => return Err(error),
            Some(_) => steps = invalid,
        }
    }
}
