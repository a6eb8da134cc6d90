//! The mounted cgroup file systems.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags, XattrFlags};
use rustix::io::Errno;

use super::legacy::{self, Hierarchy};
use crate::mountinfo;

/// The hierarchies of this machine.
#[derive(Debug)]
pub(super) struct Hierarchies {
    /// Where version 2 is mounted.
    pub(super) unified: PathBuf,
    /// Hierarchies of version 1 that have controllers.
    pub(super) legacy: Vec<Hierarchy>,
}

static HIERARCHIES: OnceLock<Hierarchies> = OnceLock::new();

/// Those of this machine, looked for once: nobody but the agent can change its mounts, and it does not change these.
pub(super) fn get() -> io::Result<&'static Hierarchies> {
    if let Some(found) = HIERARCHIES.get() {
        return Ok(found);
    }
    let mountinfo = fs::read_to_string("/proc/self/mountinfo")?;
    let unified = unified(&mountinfo).ok_or(io::ErrorKind::NotFound)?;
    Ok(HIERARCHIES.get_or_init(|| Hierarchies { unified, legacy: legacy::hierarchies(&mountinfo) }))
}

/// The mount point of the first whole cgroup v2 file system in `mountinfo` (`proc_pid_mountinfo(5)`).
fn unified(mountinfo: &str) -> Option<PathBuf> {
    mountinfo::whole(mountinfo, "cgroup2").map(|(point, _)| point).next()
}

/// Marks a directory that was made on the way to a container's.
const MADE: &str = "trusted.cce-made";

/// Makes the directories on the way from `mount` to `relative`, and marks them. `prepare` is called with each of them
/// but the last, before the next is made.
pub(super) fn make_parents(
    mount: &Path,
    relative: &Path,
    prepare: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let mut directory = mount.to_owned();
    for component in relative.parent().into_iter().flatten() {
        prepare(&directory)?;
        directory.push(component);
        match fs::create_dir(&directory) {
            Ok(()) => mark(&directory)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    prepare(&directory)
}

/// Marks a directory that was just made.
fn mark(directory: &Path) -> io::Result<()> {
    rustix::fs::setxattr(directory, MADE, &[], XattrFlags::CREATE).map_err(|errno| {
        let _ = fs::remove_dir(directory);
        errno.into()
    })
}

/// Removes the marked directories on the way to `relative`, innermost first, up to one that is in use.
pub(super) fn remove_parents(mount: &Path, relative: &Path) {
    for parent in relative.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
        let directory = mount.join(parent);
        let mut nothing = [0; 1];
        match rustix::fs::getxattr(&directory, MADE, &mut nothing) {
            // It was not made, or is gone already.
            Err(Errno::NOENT) => {}
            Ok(_) if fs::remove_dir(&directory).is_ok() => {}
            _ => return,
        }
    }
}

/// Opens a directory, which is no symbolic link.
pub(super) fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// Removes a directory of cgroups, innermost first.
pub(super) fn remove_tree(path: &Path, nesting_left: u32) -> io::Result<()> {
    let nesting_left = nesting_left.checked_sub(1).ok_or(io::ErrorKind::QuotaExceeded)?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path(), nesting_left)?;
        }
    }
    fs::remove_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_is_found_where_it_is_mounted() {
        let hybrid = "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(unified(hybrid), Some("/sys/fs/cgroup/unified".into()));
        let part = "41 31 0:38 /part /mnt rw - cgroup2 cgroup2 rw\n";
        assert_eq!(unified(part), None);
        assert_eq!(unified("nonsense"), None);
    }
}
