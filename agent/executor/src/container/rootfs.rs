//! Mounts of a container that are made of what the guest has: its root, the sources of its bind mounts, and file systems
//! with a source.
//!
//! They are made by the agent as detached trees, so that a container's process never sees a path of the guest.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use policy_engine::GuestPath;
use policy_engine::request::linux::{MountSet, Propagation};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags, fstat, openat2, statx};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags};

use super::mounts::{BindSource, FilesystemSource, Peers, Source};
use crate::mounts::{Filesystem, detached_copy};
use crate::sys::mount_attributes::{Changes, Extent, change_mount, map_ids, set_propagation};

/// A detached copy of the mounted root file system. No device node in the layers of a confined one can be opened. What is
/// mounted there later appears in a slave alone, and nothing that a container mounts appears in the guest.
pub(super) fn copy_root(
    rootfs: BorrowedFd<'_>,
    path: &GuestPath,
    set: MountSet,
    propagation: Propagation,
) -> io::Result<OwnedFd> {
    // The permit names a path, and that is what policy judged: the descriptor must be of the same place.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let judged = openat2(CWD, path.as_str(), flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    if identity(judged.as_fd())? != identity(rootfs)? {
        return Err(Errno::STALE.into());
    }
    let tree = detached_copy(rootfs, Extent::Tree)?;
    let attributes = match set {
        MountSet::Confined => MountAttrFlags::MOUNT_ATTR_NODEV,
        MountSet::AsAsked => MountAttrFlags::empty(),
    };
    let spreading = match propagation {
        Propagation::Slave => MountPropagationFlags::DOWNSTREAM,
        Propagation::Private | Propagation::Shared | Propagation::Unbindable => {
            MountPropagationFlags::PRIVATE
        }
    };
    set_propagation(tree.as_fd(), spreading, Extent::Tree)?;
    change_mount(tree.as_fd(), Changes { clear: 0, set: attributes.bits() }, Extent::Tree)?;
    Ok(tree)
}

/// Device, inode and mount of an object.
fn identity(descriptor: BorrowedFd<'_>) -> io::Result<(u32, u32, u64, u64)> {
    let mask = StatxFlags::INO | StatxFlags::MNT_ID;
    let status = statx(descriptor, "", rustix::fs::AtFlags::EMPTY_PATH, mask)?;
    Ok((status.stx_dev_major, status.stx_dev_minor, status.stx_ino, status.stx_mnt_id))
}

/// What `source` speaks of, as a detached tree; a bind mount's lies in one of `directories`, and has its ids mapped by
/// the user namespace `ids` if it is to have.
pub(super) fn provide(
    source: &Source,
    directories: &[GuestPath],
    ids: Option<BorrowedFd<'_>>,
) -> io::Result<OwnedFd> {
    match source {
        Source::Bind(bind) => {
            let tree = copy_source(bind, directories)?;
            if let Some((ids, map)) = ids.zip(bind.id_map.as_ref()) {
                map_ids(tree.as_fd(), ids, map.extent)?;
            }
            Ok(tree)
        }
        Source::Filesystem(filesystem) => make(filesystem),
    }
}

/// A detached copy of a bind mount's source. Unless links are followed no symbolic link leads there. A link that is to be
/// made again is not copied, but opened.
fn copy_source(source: &BindSource, directories: &[GuestPath]) -> io::Result<OwnedFd> {
    let object = open_source(source, directories)?;
    if source.copy_symlink && FileType::from_raw_mode(fstat(&object)?.st_mode) == FileType::Symlink {
        return Ok(object);
    }
    let tree = detached_copy(&object, source.extent)?;
    match source.peers {
        Peers::None => set_propagation(tree.as_fd(), MountPropagationFlags::PRIVATE, source.extent)?,
        Peers::Receive => set_propagation(tree.as_fd(), MountPropagationFlags::DOWNSTREAM, source.extent)?,
        Peers::Share => {}
    }
    change_mount(tree.as_fd(), source.mount, Extent::One)?;
    change_mount(tree.as_fd(), source.tree, source.extent)?;
    Ok(tree)
}

fn open_source(source: &BindSource, directories: &[GuestPath]) -> io::Result<OwnedFd> {
    let path = source.path.as_path();
    let (directory, below) = directories
        .iter()
        .find_map(|directory| Some((directory, path.strip_prefix(directory.as_path()).ok()?)))
        .ok_or(Errno::ACCESS)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat2(CWD, directory.as_str(), flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    if below.as_os_str().is_empty() {
        return Ok(directory);
    }
    let resolve = if source.follow_links {
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS
    } else {
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS
    };
    let last = if source.copy_symlink { OFlags::NOFOLLOW } else { OFlags::empty() };
    loop {
        match openat2(&directory, below, OFlags::PATH | OFlags::CLOEXEC | last, Mode::empty(), resolve) {
            // The kernel could not rule out that a `..` raced with a rename.
            Err(Errno::AGAIN) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

/// Makes a file system, which is mounted nowhere yet.
fn make(source: &FilesystemSource) -> io::Result<OwnedFd> {
    let mut filesystem = Filesystem::open(&source.fstype)?;
    for (key, value) in &source.parameters {
        filesystem = if key == "lowerdir" && source.fstype == "overlay" && !value.contains('\\') {
            // A list in one text would be cut at 255 bytes.
            value.split(':').try_fold(filesystem, |overlay, lower| overlay.option("lowerdir+", lower))?
        } else {
            filesystem.parameter(key, value)?
        };
    }
    filesystem.mount(MountAttrFlags::from_bits_retain(source.attributes))
}
