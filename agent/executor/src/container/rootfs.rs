//! Copies of mounts that a container gets: its root and the sources of its bind mounts.
//!
//! They are made by the agent as detached trees, so that a container's process never sees a path of the guest.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use policy_engine::GuestPath;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, StatxFlags, openat2, statx};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};

use super::mounts::BindSource;
use crate::sys::mount_attributes::{Extent, restrict_mount};

const COPY: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE
    .union(OpenTreeFlags::OPEN_TREE_CLOEXEC)
    .union(OpenTreeFlags::AT_EMPTY_PATH);

/// A detached copy of the mounted root file system. No device node in its layers can be opened.
pub(super) fn copy_root(rootfs: BorrowedFd<'_>, path: &GuestPath) -> io::Result<OwnedFd> {
    // The permit names a path, and that is what policy judged: the descriptor must be of the same place.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let judged = openat2(CWD, path.as_str(), flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    if identity(judged.as_fd())? != identity(rootfs)? {
        return Err(Errno::STALE.into());
    }
    let tree = open_tree(rootfs, "", COPY | OpenTreeFlags::AT_RECURSIVE)?;
    restrict_mount(tree.as_fd(), MountAttrFlags::MOUNT_ATTR_NODEV, Extent::Tree)?;
    Ok(tree)
}

/// Device, inode and mount of an object.
fn identity(descriptor: BorrowedFd<'_>) -> io::Result<(u32, u32, u64, u64)> {
    let mask = StatxFlags::INO | StatxFlags::MNT_ID;
    let status = statx(descriptor, "", rustix::fs::AtFlags::EMPTY_PATH, mask)?;
    Ok((status.stx_dev_major, status.stx_dev_minor, status.stx_ino, status.stx_mnt_id))
}

/// A detached copy of a bind mount's source, which lies in one of `directories`; no symbolic link leads there.
pub(super) fn copy_source(source: &BindSource, directories: &[GuestPath]) -> io::Result<OwnedFd> {
    let path = source.path.as_path();
    let (directory, below) = directories
        .iter()
        .find_map(|directory| Some((directory, path.strip_prefix(directory.as_path()).ok()?)))
        .ok_or(Errno::ACCESS)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat2(CWD, directory.as_str(), flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let object = if below.as_os_str().is_empty() {
        directory
    } else {
        openat2(&directory, below, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?
    };
    let (recursive, extent) = match source.recursive {
        true => (OpenTreeFlags::AT_RECURSIVE, Extent::Tree),
        false => (OpenTreeFlags::empty(), Extent::One),
    };
    let tree = open_tree(&object, "", COPY | recursive)?;
    restrict_mount(tree.as_fd(), source.attributes, extent)?;
    Ok(tree)
}
