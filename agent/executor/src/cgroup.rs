//! Control groups, version 2: one directory per container, `<mount>/cce-<agent>/<container id>`.
//!
//! A container's processes are born in its cgroup and cannot leave it: it is the root of what they see of cgroup file
//! systems, if they see one. That makes it, with the cgroups that they make in it, the one list of all of them, to
//! signal, measure and kill.
//!
//! Limits come from the host, which can starve the guest anyway: one that the kernel cannot enforce is named
//! ([`Container::unenforced_limits`](crate::container::Container::unenforced_limits)) and the container runs. A
//! developer's machine may have its controllers in version 1 ([`legacy`]); killing and pausing need none.

pub(crate) mod devices;
#[cfg(feature = "handover")]
pub(crate) mod handover;
mod hierarchies;
mod legacy;
mod limits;
mod location;
mod oom;
mod parent;
mod stats;

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use policy_engine::request::{CreateContainer, Resources};
use rustix::process::Pid;

use self::hierarchies::{Hierarchies, remove_parents, remove_tree};
pub use self::limits::Limit;
pub(crate) use self::limits::NotSet;
pub use self::oom::OomWatch;
pub use self::stats::{
    CpuStats, HugepageStats, IoStats, MemoryStats, PidsStats, Pressure, PressureStats, Stats, Waiting,
};

/// How long the processes of a cgroup may take to end or to freeze.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// How deep a container's cgroup and those in it may be nested.
const NESTING_MAX: u32 = 16;
/// How often processes are looked for that are to be moved: each time, all but those born meanwhile are.
const MOVE_ATTEMPTS: u32 = 64;

/// Why a container has no cgroup.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No cgroup file system of version 2 is mounted.
    #[error("no cgroup v2 file system is mounted")]
    Hierarchy(#[source] io::Error),
    /// The directory could not be made: the id or the path is in use, or has been and was not cleaned up.
    #[error("the cgroup could not be made")]
    Create(#[source] io::Error),
    /// The device filter could not be attached. Without it a container could reach the guest's disks.
    #[error("the device filter could not be attached")]
    Devices(#[source] io::Error),
    /// A limit that the kernel enforces could not be set.
    #[error("the limit `{limit}` could not be set")]
    Limit {
        /// Which.
        limit: Limit,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The cgroup of a container. Dropping it kills what runs there and tries to remove it.
#[derive(Debug)]
pub(crate) struct Cgroup {
    hierarchies: &'static Hierarchies,
    /// The path below the mount point of each hierarchy.
    relative: PathBuf,
    /// In version 2.
    path: PathBuf,
    directory: OwnedFd,
    /// Dropping it does nothing.
    released: bool,
}

/// A cgroup with its limits.
#[derive(Debug)]
pub(crate) struct Limited {
    pub(crate) cgroup: Cgroup,
    /// Limits that were asked for and that this kernel does not enforce.
    pub(crate) unenforced: Vec<Limit>,
}

impl Cgroup {
    /// Makes the cgroup of a container, with its device filter and limits.
    pub(crate) fn create(request: &CreateContainer) -> Result<Limited, CgroupError> {
        let hierarchies = hierarchies::get().map_err(CgroupError::Hierarchy)?;
        let asked = request.linux.cgroups_path.as_ref();
        let relative = location::relative_path(hierarchies, &request.container_id, asked);
        let relative = relative.map_err(CgroupError::Create)?;
        let directory = location::make(&hierarchies.unified, &relative, asked.is_some());
        let directory = directory.map_err(CgroupError::Create)?;
        let path = hierarchies.unified.join(&relative);
        // From here on dropping it removes it.
        let cgroup = Self { hierarchies, relative, path, directory, released: false };
        devices::restrict(cgroup.as_fd(), &request.linux).map_err(CgroupError::Devices)?;
        let unenforced = cgroup
            .limit(&request.resources)
            .map_err(|NotSet { limit, source, .. }| CgroupError::Limit { limit, source })?;
        Ok(Limited { cgroup, unenforced })
    }

    /// Sets the limits that are given, all or none; the result names those that this kernel does not enforce.
    pub(crate) fn limit(&self, resources: &Resources) -> Result<Vec<Limit>, NotSet> {
        let rare = limits::rare_controllers(resources);
        if !rare.is_empty() {
            location::enable_on_the_way(&self.hierarchies.unified, &self.relative, &rare);
        }
        limits::set(self, resources)
    }

    /// Takes a process that was born here into the hierarchies of version 1 where the container is limited.
    pub(crate) fn adopt(&self, pid: Pid) -> io::Result<()> {
        self.legacy_directories().try_for_each(|directory| legacy::attach(&directory, pid))
    }

    /// Whether there is anything to [`adopt`](Self::adopt) a process for.
    pub(crate) fn adopts(&self) -> bool {
        self.legacy_directories().next().is_some()
    }

    fn legacy_directories(&self) -> impl Iterator<Item = PathBuf> {
        self.hierarchies.legacy.iter().filter_map(|found| found.directory(&self.relative))
    }

    /// The directory that has a controller of version 1, if it was made.
    fn legacy(&self, controller: &str) -> Option<PathBuf> {
        let hierarchy = self.hierarchies.legacy.iter().find(|hierarchy| hierarchy.has(controller))?;
        hierarchy.directory(&self.relative)
    }

    /// The directory that has a controller of version 1, with all processes; `None` where it is not in version 1.
    fn make_legacy(&self, controller: &str) -> io::Result<Option<PathBuf>> {
        let mut hierarchies = self.hierarchies.legacy.iter();
        let Some(hierarchy) = hierarchies.find(|hierarchy| hierarchy.has(controller)) else {
            return Ok(None);
        };
        if let Some(directory) = hierarchy.directory(&self.relative) {
            return Ok(Some(directory));
        }
        let directory = hierarchy.make(&self.relative)?;
        // A process that is born meanwhile is where its parent is: seen the next time, if that was not moved yet.
        let mut moved = HashSet::new();
        for _ in 0..MOVE_ATTEMPTS {
            let mut others = 0_u32;
            self.for_each(|pid| {
                if !moved.insert(pid) {
                    return Ok(());
                }
                others = others.saturating_add(1);
                legacy::attach(&directory, pid)
            })?;
            if others == 0 {
                return Ok(Some(directory));
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Watches for processes that are killed for want of memory. Needs the context of a tokio runtime.
    pub(crate) fn watch_oom(&self) -> io::Result<OomWatch> {
        match OomWatch::unified(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                OomWatch::legacy(&self.make_legacy("memory")?.ok_or(error)?)
            }
            other => other,
        }
    }

    /// Kills every process, also those that are just being born.
    pub(crate) fn kill(&self) -> io::Result<()> {
        self.write("cgroup.kill", "1")
    }

    /// Stops every process where it is. When that fails, they go on.
    pub(crate) fn freeze(&self) -> io::Result<()> {
        self.write("cgroup.freeze", "1")?;
        let frozen = self.wait_for_event("frozen 1");
        if frozen.is_err() {
            self.thaw()?;
        }
        frozen
    }

    /// Lets every process go on.
    pub(crate) fn thaw(&self) -> io::Result<()> {
        self.write("cgroup.freeze", "0")
    }

    /// Runs `act` on every process, also in cgroups that the container has made. A list without gaps needs them frozen.
    pub(crate) fn for_each(&self, mut act: impl FnMut(Pid) -> io::Result<()>) -> io::Result<()> {
        let mut directories = vec![(self.path.clone(), NESTING_MAX)];
        while let Some((directory, nesting_left)) = directories.pop() {
            let pids = match fs::read_to_string(directory.join("cgroup.procs")) {
                Ok(pids) => pids,
                // Its threads are those of processes that the cgroup above lists, or it is gone.
                Err(error) if is_threaded_or_gone(&error) && directory != self.path => String::new(),
                Err(error) => return Err(error),
            };
            pids.lines()
                .filter_map(|line| line.parse().ok().and_then(Pid::from_raw))
                .try_for_each(&mut act)?;
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            let nesting_left = nesting_left.checked_sub(1).ok_or(io::ErrorKind::QuotaExceeded)?;
            let nested = entries
                .filter_map(Result::ok)
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            directories.extend(nested.map(|entry| (entry.path(), nesting_left)));
        }
        Ok(())
    }

    /// The measurements that this kernel takes.
    pub(crate) fn stats(&self) -> Stats {
        stats::read(self)
    }

    /// Waits until no process is left, at most ten seconds, and removes the cgroup and what is nested in it.
    pub(crate) fn remove(mut self) -> io::Result<()> {
        self.wait_for_event("populated 0")?;
        self.remove_directories()?;
        self.released = true;
        Ok(())
    }

    fn remove_directories(&self) -> io::Result<()> {
        self.hierarchies.legacy.iter().try_for_each(|hierarchy| hierarchy.remove(&self.relative))?;
        remove_tree(&self.path, NESTING_MAX)?;
        remove_parents(&self.hierarchies.unified, &self.relative);
        Ok(())
    }

    fn wait_for_event(&self, event: &str) -> io::Result<()> {
        let start = Instant::now();
        while !self.read("cgroup.events")?.lines().any(|line| line == event) {
            if start.elapsed() > SETTLE_TIMEOUT {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    fn read(&self, file: &str) -> io::Result<String> {
        fs::read_to_string(self.path.join(file))
    }

    fn write(&self, file: &str, value: &str) -> io::Result<()> {
        fs::OpenOptions::new().write(true).open(self.path.join(file))?.write_all(value.as_bytes())
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if !self.released {
            // A container without an owner must not run on; its directory may stay behind when that takes time.
            let _ = self.kill();
            let _ = self.wait_for_event("populated 0");
            let _ = self.remove_directories();
        }
    }
}

impl limits::Directories for Cgroup {
    fn unified(&self) -> PathBuf {
        self.path.clone()
    }

    fn legacy(&self, controller: &str) -> io::Result<Option<PathBuf>> {
        self.make_legacy(controller)
    }
}

fn is_threaded_or_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(nix::libc::EOPNOTSUPP | nix::libc::ENODEV | nix::libc::ENOENT))
}
