//! The cgroup file systems that runtimes see.

use std::fs;
use std::path::Path;

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};

const DIRECTORY: &str = "/sys/fs/cgroup";

/// Gives the calling thread mounts of its own.
fn unshare_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
}

/// Whether controllers are mounted by version 1.
pub(crate) fn is_hybrid() -> bool {
    fs::read_to_string("/proc/self/mountinfo").unwrap().contains(" - cgroup ")
}

/// Moves the process, which has one thread, to where cgroups are of version 2 alone.
pub(crate) fn leave_unified_alone() {
    unshare_mounts();
    unmount(DIRECTORY, UnmountFlags::DETACH).unwrap();
    mount("cgroup", DIRECTORY, "cgroup2", MountFlags::empty(), None).unwrap();
}

/// Moves the calling thread to where version 2 is not mounted beside version 1: some runtimes refuse both.
pub(crate) fn leave_legacy_alone() {
    unshare_mounts();
    unmount(Path::new(DIRECTORY).join("unified"), UnmountFlags::DETACH).unwrap();
}
