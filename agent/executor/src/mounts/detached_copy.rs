//! Copies of mounts that are attached nowhere yet.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::mount::{OpenTreeFlags, open_tree};

use crate::sys::mount_attributes::Extent;

/// A copy of what is mounted at an open place, from that place on.
pub(crate) fn detached_copy(place: impl AsFd, extent: Extent) -> io::Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let flags = match extent {
        Extent::One => flags,
        Extent::Tree => flags | OpenTreeFlags::AT_RECURSIVE,
    };
    open_tree(place, "", flags).map_err(io::Error::from)
}
