//! Control groups, version 1: the controllers that a developer's machine has there, which version 2 then lacks.
//!
//! The measured guest has none of this. A container's processes are born in its cgroup of version 2 and are moved into
//! these before they execute a program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use crate::launcher::refuge::unescape;

/// The controllers that containers are measured and limited by.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuacct", "cpuset", "memory", "pids"];
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
    let hierarchy = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let options = file_system.strip_prefix("cgroup ")?.split(' ').nth(1)?;
        let named = |controller: &&str| options.split(',').any(|option| option == *controller);
        let controllers: Vec<_> = CONTROLLERS.into_iter().filter(named).collect();
        (root == "/" && !controllers.is_empty())
            .then(|| Hierarchy { controllers, mount: PathBuf::from(unescape(point)) })
    };
    mountinfo.lines().filter_map(hierarchy).collect()
}

/// A container's directory in one hierarchy.
#[derive(Debug)]
pub(super) struct Legacy {
    controllers: Vec<&'static str>,
    path: PathBuf,
}

impl Legacy {
    /// Makes the directory `parent/name`. A hierarchy where that fails limits nothing.
    pub(super) fn create(hierarchy: &Hierarchy, parent: &str, name: &str) -> io::Result<Self> {
        let Hierarchy { controllers, mount } = hierarchy.clone();
        let parent = mount.join(parent);
        let path = parent.join(name);
        for (directory, above) in [(&parent, &mount), (&path, &parent)] {
            match fs::create_dir(directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            if controllers.contains(&"cpuset") {
                for file in CPUSET_FILES {
                    fs::write(directory.join(file), fs::read(above.join(file))?)?;
                }
            }
        }
        Ok(Self { controllers, path })
    }

    /// Where it is and what it controls, for [`at`](Self::at).
    #[cfg(feature = "handover")]
    pub(super) fn place(&self) -> (Vec<String>, PathBuf) {
        (self.controllers.iter().map(ToString::to_string).collect(), self.path.clone())
    }

    /// One that another process has made.
    #[cfg(feature = "handover")]
    pub(super) fn at((controllers, path): (Vec<String>, PathBuf)) -> Self {
        let controllers =
            CONTROLLERS.into_iter().filter(|known| controllers.iter().any(|name| name == known));
        Self { controllers: controllers.collect(), path }
    }

    /// Its directory, if it has the controller.
    pub(super) fn directory(&self, controller: &str) -> Option<&Path> {
        self.controllers.contains(&controller).then_some(self.path.as_path())
    }

    /// Moves a process here.
    pub(super) fn attach(&self, pid: Pid) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), pid.as_raw_nonzero().to_string())
    }

    /// Removes the directory, which has no process any more.
    pub(super) fn remove(&self) -> io::Result<()> {
        crate::retry::release(|| match fs::remove_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        })
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
