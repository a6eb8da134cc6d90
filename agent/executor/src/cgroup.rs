//! Control groups, version 2: one directory per container, `<mount>/cce-<agent>/<container id>`.
//!
//! A container's processes are born in its cgroup and cannot leave it: they see no writable cgroup file system. That
//! makes the cgroup the one list of all of them, to signal, measure and kill.
//!
//! Limits come from the host, which can starve the guest anyway: one that the kernel cannot enforce is named
//! ([`Container::unenforced_limits`](crate::container::Container::unenforced_limits)) and the container runs. A
//! developer's machine may have its controllers in version 1 ([`legacy`]).

pub(crate) mod devices;
#[cfg(feature = "handover")]
pub(crate) mod handover;
mod legacy;
mod limits;
mod oom;
mod parent;
mod stats;

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use policy_engine::ContainerId;
use policy_engine::request::Resources;
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;

use self::legacy::Legacy;
pub use self::limits::Limit;
pub(crate) use self::limits::NotSet;
pub use self::oom::OomWatch;
pub use self::stats::{CpuStats, IoStats, MemoryStats, PidsStats, Stats};
use crate::launcher::refuge::unescape;

/// Controllers that containers are measured and limited by.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];
/// How long the processes of a cgroup may take to end or to freeze.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// How deep cgroups may be nested in a container's; the kernel's own trees are not deeper in practice.
const NESTING_MAX: u32 = 16;

/// Why a container has no cgroup.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No cgroup file system of version 2 is mounted.
    #[error("no cgroup v2 file system is mounted")]
    Hierarchy(#[source] io::Error),
    /// The directory could not be made: the id is in use, or has been and was not cleaned up.
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
    path: PathBuf,
    directory: OwnedFd,
    /// Where controllers of version 1 have it.
    legacy: Vec<Legacy>,
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
    pub(crate) fn create(id: &ContainerId, resources: &Resources) -> Result<Limited, CgroupError> {
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").map_err(CgroupError::Hierarchy)?;
        let base =
            mount_point(&mountinfo).ok_or_else(|| CgroupError::Hierarchy(io::ErrorKind::NotFound.into()))?;
        let hierarchies = legacy::hierarchies(&mountinfo);
        let name = parent::claim(&base, &hierarchies).map_err(CgroupError::Create)?;
        let parent = base.join(&name);
        delegate_controllers(&base);
        delegate_controllers(&parent);
        let path = parent.join(id.as_str());
        fs::create_dir(&path).map_err(CgroupError::Create)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(errno) => {
                let _ = fs::remove_dir(&path);
                return Err(CgroupError::Create(errno.into()));
            }
        };
        // From here on dropping it removes it.
        let mut cgroup = Self { path, directory, legacy: Vec::new(), released: false };
        devices::restrict(cgroup.as_fd()).map_err(CgroupError::Devices)?;
        // Where one cannot be made, its limits are not enforced, and said so.
        let made = hierarchies.iter().map(|hierarchy| Legacy::create(hierarchy, &name, id.as_str()));
        cgroup.legacy = made.filter_map(Result::ok).collect();
        let unenforced = cgroup
            .limit(resources)
            .map_err(|NotSet { limit, source, .. }| CgroupError::Limit { limit, source })?;
        Ok(Limited { cgroup, unenforced })
    }

    /// Sets the limits that are given, all or none; the result names those that this kernel does not enforce.
    pub(crate) fn limit(&self, resources: &Resources) -> Result<Vec<Limit>, NotSet> {
        limits::set(self, resources)
    }

    /// Takes a process that was born here into the hierarchies of version 1 as well.
    pub(crate) fn adopt(&self, pid: Pid) -> io::Result<()> {
        self.legacy.iter().try_for_each(|legacy| legacy.attach(pid))
    }

    /// The directory that has a controller of version 1.
    fn legacy(&self, controller: &str) -> Option<&Path> {
        self.legacy.iter().find_map(|legacy| legacy.directory(controller))
    }

    /// Watches for processes that are killed for want of memory. Needs the context of a tokio runtime.
    pub(crate) fn watch_oom(&self) -> io::Result<OomWatch> {
        match OomWatch::unified(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                OomWatch::legacy(self.legacy("memory").ok_or(error)?)
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

    /// Runs `act` on every process. They must be frozen.
    pub(crate) fn for_each(&self, act: impl FnMut(Pid) -> io::Result<()>) -> io::Result<()> {
        let pids = self.read("cgroup.procs")?;
        pids.lines().filter_map(|line| line.parse().ok().and_then(Pid::from_raw)).try_for_each(act)
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
        self.legacy.iter().try_for_each(Legacy::remove)?;
        remove_tree(&self.path, NESTING_MAX)
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

/// Removes a directory of cgroups, innermost first.
fn remove_tree(path: &Path, nesting_left: u32) -> io::Result<()> {
    let nesting_left = nesting_left.checked_sub(1).ok_or(io::ErrorKind::QuotaExceeded)?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path(), nesting_left)?;
        }
    }
    fs::remove_dir(path)
}

/// Lets the children of a cgroup use the controllers that it has. One by one: each may be in version 1 instead.
fn delegate_controllers(directory: &Path) {
    for controller in CONTROLLERS {
        // What is missing afterwards is found out where a limit is set.
        let _ = fs::write(directory.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// The mount point of the first whole cgroup v2 file system in `mountinfo` (`proc_pid_mountinfo(5)`).
fn mount_point(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (file_system.starts_with("cgroup2 ") && root == "/").then(|| PathBuf::from(unescape(point)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_is_found_where_it_is_mounted() {
        let hybrid = "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_point(hybrid), Some("/sys/fs/cgroup/unified".into()));
        let part = "41 31 0:38 /part /mnt rw - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_point(part), None);
        assert_eq!(mount_point("nonsense"), None);
    }
}
