//! Writable space of containers.
//!
//! In memory it is a tmpfs of bounded size: the CPU encrypts it. On a disk of the host's it is ext4 behind
//! dm-crypt, under a key that is drawn for this mount, handed to the kernel and forgotten. A disk without encryption is a
//! backing of its own, which policy judges as what it is: nothing falls back to it.

mod device_stack;
mod encrypted_disk;
mod ext4_format;
mod plain_disk;
mod space;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use policy_engine::request::{ScratchMount, ScratchUnmount};
use policy_engine::{Grant, GuestPath, Permit};
use rustix::fs::{AtFlags, Mode, OFlags};

use crate::mounts::{CONTAINER_PLACES, INERT, MountPoint, MountPointError};
use crate::rollback::{Rollback, carry_out, take_down};

pub use device_stack::DeviceStackError;
pub use encrypted_disk::EncryptDiskError;
pub use ext4_format::FormatError;
pub use plain_disk::{OpenDiskError, PlainDiskError};
pub(crate) use space::{Ground, Space};
pub use space::{RemoveSpaceError, SpaceError};

/// Why scratch is not mounted.
#[derive(Debug, thiserror::Error)]
pub enum ScratchMountError {
    /// There is no file system for it.
    #[error("cannot make the file system of the scratch")]
    Space(#[source] SpaceError),
    /// The directory for it could not be made.
    #[error("cannot make the mount point of the scratch")]
    MountPoint(#[source] MountPointError),
    /// The mount could not be attached to its directory.
    #[error("cannot attach the scratch's mount")]
    Attach(#[source] io::Error),
}

/// Why scratch is not gone.
#[derive(Debug, thiserror::Error)]
pub enum ScratchUnmountError {
    /// The permit is for another scratch.
    #[error("the permit names another scratch")]
    OtherScratch,
    /// It stays, or a part of what lies below it.
    #[error("cannot take down the scratch")]
    Space(#[source] RemoveSpaceError),
}

/// Mounted scratch.
#[derive(Debug)]
pub struct Scratch {
    grant: Grant<ScratchMount>,
    root: OwnedFd,
    point: MountPoint,
    ground: Ground,
}

impl Scratch {
    /// Where it is mounted.
    #[must_use]
    pub fn target(&self) -> &GuestPath {
        &self.grant.request().target
    }

    /// Its root directory. As long as a copy of it is open, the scratch does not unmount.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// Where an overlay writes, open.
#[derive(Debug)]
pub(crate) struct WriteDirectories {
    pub(crate) upper: OwnedFd,
    pub(crate) work: OwnedFd,
}

impl WriteDirectories {
    /// Makes the two directories that an overlay writes to, in the root of a scratch. They must not exist: two overlays
    /// over one pair would see each other's files.
    pub(crate) fn make(scratch: &OwnedFd, rollback: &mut Rollback) -> io::Result<Self> {
        // The upper directory's mode is that of the container's root.
        let upper = make_directory(scratch, "upper", Mode::from_raw_mode(0o755), rollback)?;
        let work = make_directory(scratch, "work", Mode::RWXU, rollback)?;
        Ok(Self { upper, work })
    }
}

fn make_directory(
    root: &OwnedFd,
    name: &'static str,
    mode: Mode,
    rollback: &mut Rollback,
) -> io::Result<OwnedFd> {
    let root = root.try_clone()?;
    rustix::fs::mkdirat(&root, name, mode)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(&root, name, flags, Mode::empty());
    rollback.add(move || {
        // A mount that failed half-way leaves the kernel's own directory in the work directory.
        match rustix::fs::unlinkat(&root, format!("{name}/work"), AtFlags::REMOVEDIR) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(rustix::fs::unlinkat(&root, name, AtFlags::REMOVEDIR)?)
    });
    let directory = directory?;
    rustix::fs::fchmod(&directory, mode)?;
    Ok(directory)
}

/// Prepares and mounts the scratch that the permit names.
///
/// # Errors
/// [`ScratchMountError`]; everything was undone, or the permit ended as *unknown*.
pub fn mount_scratch(permit: Permit<ScratchMount>) -> Result<Scratch, ScratchMountError> {
    let (grant, (root, point, ground)) = carry_out(permit, mount)?;
    Ok(Scratch { grant, root, point, ground })
}

/// Unmounts scratch that nothing uses any more; its content is gone.
///
/// # Errors
/// [`ScratchUnmountError`]; the permit ended as *unknown*.
pub fn unmount_scratch(permit: Permit<ScratchUnmount>, scratch: Scratch) -> Result<(), ScratchUnmountError> {
    take_down(permit, |request| unmount(request, scratch))
}

type Mounted = (OwnedFd, MountPoint, Ground);

fn mount(request: &ScratchMount, rollback: &mut Rollback) -> Result<Mounted, ScratchMountError> {
    let Space { root, ground } =
        Space::make(&request.backing, INERT, rollback).map_err(ScratchMountError::Space)?;
    let directory = MountPoint::create(&request.target, &CONTAINER_PLACES, rollback)
        .map_err(ScratchMountError::MountPoint)?;
    let point = directory.attach(root.as_fd(), rollback).map_err(ScratchMountError::Attach)?;
    Ok((root, point, ground))
}

fn unmount(request: &ScratchUnmount, scratch: Scratch) -> Result<(), ScratchUnmountError> {
    if scratch.target() != &request.target {
        return Err(ScratchUnmountError::OtherScratch);
    }
    // An open root keeps the mount busy.
    drop(scratch.root);
    scratch.ground.remove_below(scratch.point).map_err(ScratchUnmountError::Space)
}

#[cfg(test)]
mod tests;
