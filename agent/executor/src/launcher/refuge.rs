//! The launcher's own mount namespace: one empty, read-only directory tree with nothing of the guest in it.
//!
//! A container starts from a copy of it. The guest's files, other containers' layers and the launcher's own binary
//! are therefore not hidden from a container but absent, and no container holds somebody else's mount busy.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::CWD;
use rustix::mount::{
    MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags, mount_change, move_mount, unmount,
};

use crate::mounts::{Filesystem, INERT};
use crate::sys::mount_attributes::{Extent, restrict_mount};

/// Moves the calling process into a mount namespace that holds nothing but the refuge.
pub(super) fn enter() -> io::Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let refuge = empty_tree()?;
    // Any directory will do: it goes with the rest.
    move_mount(&refuge, "", CWD, "/proc", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    rustix::process::fchdir(&refuge)?;
    // The kernel's initial root cannot be exchanged: the guest has left it.
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    restrict_mount(refuge.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY, Extent::One)
}

/// A detached tmpfs with nothing in it.
fn empty_tree() -> io::Result<OwnedFd> {
    let tree = Filesystem::open("tmpfs")?.option("mode", "0555")?;
    tree.option("size", "4096")?.option("nr_inodes", "1")?.mount(INERT)
}
