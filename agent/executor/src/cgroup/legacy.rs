//! Control groups, version 1: the controllers that a developer's machine has there, which version 2 then lacks.
//!
//! The measured guest has none of this. A container has a directory in a hierarchy from when it is limited there, not
//! before: its processes are born in its cgroup of version 2 and have to be moved into each of these, which makes the
//! kernel wait for all its processors.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use super::NESTING_MAX;
use super::hierarchies::{make_parents, remove_parents, remove_tree};
use crate::mountinfo;

/// The controllers that containers are measured and limited by.
const CONTROLLERS: [&str; 8] = ["blkio", "cpu", "cpuacct", "cpuset", "hugetlb", "memory", "pids", "rdma"];
/// Settings that a cpuset needs before a process can enter it.
const CPUSET_FILES: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    controllers: Vec<&'static str>,
    pub(super) mount: PathBuf,
}

/// The whole hierarchies of version 1 in `mountinfo` (`proc_pid_mountinfo(5)`) that have such controllers.
pub(super) fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    let hierarchy = |(mount, options): (PathBuf, &str)| {
        let named = |controller: &&str| options.split(',').any(|option| option == *controller);
        let controllers: Vec<_> = CONTROLLERS.into_iter().filter(named).collect();
        (!controllers.is_empty()).then_some(Hierarchy { controllers, mount })
    };
    mountinfo::whole(mountinfo, "cgroup").filter_map(hierarchy).collect()
}

impl Hierarchy {
    /// Whether it has a controller.
    pub(super) fn has(&self, controller: &str) -> bool {
        self.controllers.contains(&controller)
    }

    /// The directory of the container at `relative`, if it was made.
    pub(super) fn directory(&self, relative: &Path) -> Option<PathBuf> {
        Some(self.mount.join(relative)).filter(|path| path.exists())
    }

    /// Makes the directory of the container at `relative`.
    pub(super) fn make(&self, relative: &Path) -> io::Result<PathBuf> {
        let path = self.mount.join(relative);
        let made = make_parents(&self.mount, relative, |directory| self.prepare(directory)).and_then(|()| {
            fs::create_dir(&path)?;
            self.prepare(&path).inspect_err(|_| drop(fs::remove_dir(&path)))
        });
        match made {
            Ok(()) => Ok(path),
            Err(error) => {
                remove_parents(&self.mount, relative);
                Err(error)
            }
        }
    }

    /// Gives a cpuset what the one above it has, without which no process can enter it.
    fn prepare(&self, directory: &Path) -> io::Result<()> {
        if !self.has("cpuset") || directory == self.mount {
            return Ok(());
        }
        for file in CPUSET_FILES {
            if fs::read_to_string(directory.join(file))?.trim().is_empty() {
                let above = directory.parent().ok_or(io::ErrorKind::NotFound)?;
                fs::write(directory.join(file), fs::read(above.join(file))?)?;
            }
        }
        Ok(())
    }

    /// Removes the directory of the container at `relative`, which has no process any more.
    pub(super) fn remove(&self, relative: &Path) -> io::Result<()> {
        if let Some(path) = self.directory(relative) {
            crate::retry::release(|| remove_tree(&path, NESTING_MAX))?;
            remove_parents(&self.mount, relative);
        }
        Ok(())
    }
}

/// Moves a process into a directory. One that has ended needs none.
pub(super) fn attach(directory: &Path, pid: Pid) -> io::Result<()> {
    match fs::write(directory.join("cgroup.procs"), pid.as_raw_nonzero().to_string()) {
        Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_found_where_they_are_mounted() {
        let mountinfo = "30 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                         32 31 0:30 / /sys/fs/cgroup/memory rw,relatime shared:4 - cgroup cgroup rw,memory\n\
                         33 31 0:30 /part /mnt rw - cgroup cgroup rw,pids\n\
                         40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                         41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let found = hierarchies(mountinfo);
        let controllers: Vec<_> = found.iter().map(|hierarchy| hierarchy.controllers.concat()).collect();
        assert_eq!(controllers, ["cpucpuacct", "memory"]);
        assert_eq!(found[0].mount, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
    }
}
