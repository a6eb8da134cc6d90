//! The directory of all containers' cgroups: one of this agent's own, so that neither another agent of a developer's
//! machine nor what one left behind is in the way.
//!
//! An agent holds a lock on its directory as long as it lives. One that nobody holds was left behind, and goes.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};

use super::NESTING_MAX;
use super::hierarchies::{Hierarchies, open_directory, remove_tree};
use super::location::{CONTROLLERS, enable};

const PREFIX: &str = "cce-";
/// Attempts to make the directory and lock it before somebody takes it for one that was left behind.
const ATTEMPTS: u32 = 8;

#[derive(Debug)]
struct Parent {
    name: String,
    /// Locked, one in each hierarchy.
    _directories: Vec<OwnedFd>,
}

static PARENT: Mutex<Option<Parent>> = Mutex::new(None);

/// This agent's directory in each hierarchy. The first call makes it and removes what agents that are gone have left.
pub(super) fn claim(hierarchies: &Hierarchies) -> io::Result<PathBuf> {
    let mut parent = PARENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(Parent { name, .. }) = &*parent {
        return Ok(PathBuf::from(name));
    }
    let base = hierarchies.unified.as_path();
    let legacy = hierarchies.legacy.iter().map(|hierarchy| hierarchy.mount.as_path());
    for mount in legacy.clone().chain([base]) {
        // What cannot be removed is in nobody's way.
        let _ = remove_abandoned(mount);
    }
    let number = getrandom::u64().map_err(io::Error::other)?;
    let name = format!("{PREFIX}{number:016x}");
    let path = base.join(&name);
    let mut directories = vec![make(&path)?];
    // Attack: a container that may make cgroups of its own makes them so deep that they cannot be removed.
    fs::write(path.join("cgroup.max.depth"), NESTING_MAX.to_string())?;
    enable(base, &CONTROLLERS);
    enable(&path, &CONTROLLERS);
    // Where one cannot be made, no limit holds, and each container says so.
    directories.extend(legacy.filter_map(|mount| make(&mount.join(&name)).ok()));
    *parent = Some(Parent { name: name.clone(), _directories: directories });
    Ok(PathBuf::from(name))
}

/// Whether a path below a mount point is that of an agent's directory, or below one.
pub(super) fn is_of_an_agent(relative: &Path) -> bool {
    let first = relative.components().next();
    first.is_some_and(|name| name.as_os_str().as_encoded_bytes().starts_with(PREFIX.as_bytes()))
}

/// Makes and locks a directory.
fn make(path: &Path) -> io::Result<OwnedFd> {
    for _ in 0..ATTEMPTS {
        fs::create_dir(path)?;
        // Another agent may have removed it before it was locked.
        if let Some(directory) = lock(path)?.filter(|_| path.exists()) {
            return Ok(directory);
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Locks a directory; `None` when somebody holds the lock, or it is gone.
fn lock(path: &Path) -> io::Result<Option<OwnedFd>> {
    let Ok(directory) = open_directory(path) else { return Ok(None) };
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(directory)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes the directories of agents that are gone. One in which processes run stays.
fn remove_abandoned(mount: &Path) -> io::Result<()> {
    for entry in fs::read_dir(mount)? {
        let name = entry?.file_name();
        if !name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let path = mount.join(&name);
        if let Ok(Some(_held)) = lock(&path) {
            let _ = remove_tree(&path, NESTING_MAX);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_removed() {
        let base = tempfile::TempDir::new().unwrap();
        let path = |name: &str| base.path().join(name);
        let held = make(&path("cce-held")).unwrap();
        fs::create_dir(path("other")).unwrap();
        fs::create_dir_all(path("cce-left/container")).unwrap();
        remove_abandoned(base.path()).unwrap();
        assert!(path("cce-held").exists() && path("other").exists());
        assert!(!path("cce-left").exists());
        drop(held);
        remove_abandoned(base.path()).unwrap();
        assert!(!path("cce-held").exists());
    }
}
