//! Where a container's cgroup is, and making its directory in version 2.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use policy_engine::ContainerId;
use policy_engine::request::linux::CgroupsPath;
use rustix::fs::{FlockOperation, flock};

use super::hierarchies::{Hierarchies, make_parents, open_directory, remove_parents};
use super::parent;

/// Controllers of version 2 that every container is measured and limited by.
pub(super) const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

/// The path of a container's cgroup below the mount point of each hierarchy.
pub(super) fn relative_path(
    hierarchies: &Hierarchies,
    id: &ContainerId,
    asked: Option<&CgroupsPath>,
) -> io::Result<PathBuf> {
    match asked {
        None => Ok(parent::claim(hierarchies)?.join(id.as_str())),
        Some(CgroupsPath::Relative(path)) => Ok(parent::claim(hierarchies)?.join(path.below_root())),
        // Attack: the cgroup of another container, or one below it, which would end with that.
        Some(CgroupsPath::Absolute(path)) if parent::is_of_an_agent(path.below_root()) => {
            Err(io::ErrorKind::PermissionDenied.into())
        }
        Some(CgroupsPath::Absolute(path)) => Ok(path.below_root().to_owned()),
    }
}

/// Makes a container's directory. One that is there is taken only if it was `asked` for and no process is in it.
pub(super) fn make(mount: &Path, relative: &Path, asked: bool) -> io::Result<OwnedFd> {
    let path = mount.join(relative);
    let made = make_below(mount, relative, asked);
    let directory = made.and_then(|made| {
        let directory = take(&path, asked);
        if made && directory.is_err() {
            let _ = fs::remove_dir(&path);
        }
        directory
    });
    directory.inspect_err(|_| remove_parents(mount, relative))
}

/// Makes the directories; whether the last of them was not there.
fn make_below(mount: &Path, relative: &Path, asked: bool) -> io::Result<bool> {
    if asked {
        make_parents(mount, relative, |directory| {
            enable(directory, &CONTROLLERS);
            Ok(())
        })?;
    }
    match fs::create_dir(mount.join(relative)) {
        Ok(()) => Ok(true),
        Err(error) if asked && error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens the directory. One that others could ask for as well has to be empty, and is locked until it is not.
fn take(path: &Path, asked: bool) -> io::Result<OwnedFd> {
    let directory = open_directory(path)?;
    if asked {
        flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
        let events = fs::read_to_string(path.join("cgroup.events"))?;
        if !events.lines().any(|line| line == "populated 0") {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
    }
    Ok(directory)
}

/// Lets the children of a cgroup use controllers that it has.
///
/// What is missing afterwards is found out where a limit is set: a controller may be in version 1 instead.
pub(super) fn enable(directory: &Path, controllers: &[&str]) {
    let words = |file: &str| fs::read_to_string(directory.join(file)).unwrap_or_default();
    let (offered, enabled) = (words("cgroup.controllers"), words("cgroup.subtree_control"));
    let has = |words: &str, name: &str| words.split_ascii_whitespace().any(|word| word == name);
    for name in controllers.iter().filter(|name| has(&offered, name) && !has(&enabled, name)) {
        // One by one: where one is refused, the others are not.
        let _ = fs::write(directory.join("cgroup.subtree_control"), format!("+{name}"));
    }
}

/// Enables controllers on the whole way to a container.
pub(super) fn enable_on_the_way(mount: &Path, relative: &Path, controllers: &[&str]) {
    let parents: Vec<&Path> = relative.ancestors().skip(1).collect();
    for parent in parents.iter().rev() {
        enable(&mount.join(parent), controllers);
    }
}
