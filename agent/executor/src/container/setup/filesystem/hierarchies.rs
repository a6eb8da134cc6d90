//! The control groups of version 1 as containers know them: a directory for each hierarchy.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, mkdirat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, UnmountFlags, unmount};
use rustix::process::fchdir;

use super::super::root::{attach_at, open_child};
use super::{new_instance, restrict};
use crate::container::plan::Virtual;
use crate::mounts::{Filesystem, detached_copy};
use crate::procfs::PrivateProcfs;
use crate::sys::mount_attributes::Extent;

/// The longest `/proc/<pid>/cgroup` that is read, in bytes: some dozen paths.
const OWN_LENGTH_MAX: u64 = 64 << 10;

/// Mounts them on `place`. Each shows the cgroup namespace of the process, or only what is below its cgroup.
pub(super) fn mount(
    place: &OwnedFd,
    hierarchies: &[String],
    own_only: bool,
    attributes: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let read_only = MountAttrFlags::MOUNT_ATTR_RDONLY;
    let parameters = [("source", "tmpfs"), ("mode", "0755"), ("size", "1m")];
    let parameters = parameters.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let directories = new_instance(Virtual::Tmpfs, &parameters, attributes.difference(read_only))?;
    attach_at(&directories, place)?;
    let own = if own_only { own_cgroups()? } else { String::new() };
    for controllers in hierarchies {
        let name = controllers.strip_prefix("name=").unwrap_or(controllers);
        mkdirat(&directories, name, Mode::from_raw_mode(0o755))?;
        let directory = open_child(&directories, name, OFlags::PATH | OFlags::DIRECTORY)?;
        let whole = hierarchy(controllers, attributes)?;
        attach_at(&whole, &directory)?;
        if let Some(path) = path_of(&own, controllers).filter(|path| !path.is_empty()) {
            narrow(&whole, path, &directory)?;
        }
        // Each controller of several is found by its own name as well.
        for controller in controllers.split(',').filter(|controller| *controller != controllers) {
            symlinkat(name, &directories, controller)?;
        }
    }
    restrict(&directories, attributes.intersection(read_only))?;
    Ok(directories)
}

/// The cgroups of the process, `cgroups(7)`.
fn own_cgroups() -> io::Result<String> {
    let text = PrivateProcfs::of_processes()?.read("self/cgroup", OWN_LENGTH_MAX)?;
    String::from_utf8(text).map_err(|_| Errno::ILSEQ.into())
}

/// The path of a cgroup, relative to the root of the hierarchy, in a text like `/proc/<pid>/cgroup`.
fn path_of<'a>(text: &'a str, controllers: &str) -> Option<&'a str> {
    let found = text.lines().find_map(|line| {
        let (named, path) = line.split_once(':')?.1.split_once(':')?;
        (named == controllers).then_some(path)
    });
    found.map(|path| path.trim_start_matches('/'))
}

/// Leaves of what is mounted on `place` the directory `path` alone: of the rest nothing is there, also not below.
fn narrow(whole: &OwnedFd, path: &str, place: &OwnedFd) -> io::Result<()> {
    let own = open_child(whole, path, OFlags::PATH | OFlags::DIRECTORY)?;
    let copy = detached_copy(&own, Extent::One)?;
    fchdir(whole)?;
    unmount(".", UnmountFlags::DETACH)?;
    attach_at(&copy, place)
}

fn hierarchy(controllers: &str, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let hierarchy = Filesystem::open("cgroup")?.option("source", "cgroup")?;
    let named = |hierarchy: Filesystem, controller: &str| match controller.strip_prefix("name=") {
        Some(name) => hierarchy.option("name", name),
        None => hierarchy.flag(controller),
    };
    controllers.split(',').try_fold(hierarchy, named)?.mount(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_are_found_by_their_controllers() {
        let text = "12:cpu,cpuacct:/a/b\n3:memory:/\n1:name=systemd:/s:1\n0::/u\n";
        assert_eq!(path_of(text, "cpu,cpuacct"), Some("a/b"));
        assert_eq!(path_of(text, "memory"), Some(""));
        assert_eq!(path_of(text, "name=systemd"), Some("s:1"));
        assert_eq!(path_of(text, "cpu"), None);
        assert_eq!(path_of("", "memory"), None);
    }
}
