//! Writable space of containers, which nobody outside the guest can read.
//!
//! In memory it is a tmpfs of bounded size: the CPU encrypts it. On a disk of the host's it is ext4 behind
//! dm-crypt, under a key that is drawn for this mount, handed to the kernel and forgotten. There is no plain
//! scratch to fall back to.

mod encrypted_disk;
mod ext4_format;

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use policy_engine::request::{ScratchBacking, ScratchMount, ScratchUnmount};
use policy_engine::{Grant, GuestPath, Permit};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::mount::MountAttrFlags;

use crate::devices::BlockDevice;
use crate::mounts::{CONTAINER_PLACES, Filesystem, MountPoint, MountPointError};
use crate::rollback::Rollback;

use encrypted_disk::EncryptedDisk;

pub use encrypted_disk::EncryptDiskError;
pub use ext4_format::FormatError;

/// Containers write through the overlay above, never here.
const ATTRIBUTES: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Why scratch is not mounted.
#[derive(Debug, thiserror::Error)]
pub enum ScratchMountError {
    /// The encrypted disk could not be prepared.
    #[error("cannot prepare the encrypted disk")]
    EncryptedDisk(#[source] EncryptDiskError),
    /// The directory for it could not be made.
    #[error("cannot make the mount point of the scratch")]
    MountPoint(#[source] MountPointError),
    /// The kernel does not mount the file system.
    #[error("the kernel does not mount the scratch's file system")]
    Filesystem(#[source] io::Error),
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
    /// The mount stays.
    #[error("cannot unmount the scratch")]
    Unmount(#[source] io::Error),
    /// The mount is gone, its dm-crypt device stays.
    #[error("cannot remove the scratch's encrypted device")]
    RemoveDevice(#[source] io::Error),
}

/// Mounted scratch.
#[derive(Debug)]
pub struct Scratch {
    grant: Grant<ScratchMount>,
    root: OwnedFd,
    point: MountPoint,
    disk: Option<EncryptedDisk>,
}

impl Scratch {
    /// Where it is mounted.
    #[must_use]
    pub fn target(&self) -> &GuestPath {
        &self.grant.request().target
    }

    /// Makes the two directories that an overlay writes to. They must not exist: two overlays over one pair
    /// would see each other's files.
    pub(crate) fn make_write_directories(&self, rollback: &mut Rollback) -> io::Result<WriteDirectories> {
        // The upper directory's mode is that of the container's root.
        let upper = self.make_directory("upper", Mode::from_raw_mode(0o755), rollback)?;
        let work = self.make_directory("work", Mode::RWXU, rollback)?;
        Ok(WriteDirectories { upper, work })
    }

    fn make_directory(&self, name: &'static str, mode: Mode, rollback: &mut Rollback) -> io::Result<OwnedFd> {
        let root = self.root.try_clone()?;
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
}

/// Where an overlay writes, open.
#[derive(Debug)]
pub(crate) struct WriteDirectories {
    pub(crate) upper: OwnedFd,
    pub(crate) work: OwnedFd,
}

/// Prepares and mounts the scratch that the permit names.
///
/// # Errors
/// [`ScratchMountError`]; everything was undone, or the permit ended as *unknown*.
pub fn mount_scratch(permit: Permit<ScratchMount>) -> Result<Scratch, ScratchMountError> {
    let mut rollback = Rollback::default();
    match mount(permit.request(), &mut rollback) {
        Ok((root, point, disk)) => Ok(Scratch { grant: permit.done(), root, point, disk }),
        Err(error) => {
            rollback.settle(permit);
            Err(error)
        }
    }
}

/// Unmounts scratch that nothing uses any more; its content is gone.
///
/// # Errors
/// [`ScratchUnmountError`]; the permit ended as *unknown*.
pub fn unmount_scratch(permit: Permit<ScratchUnmount>, scratch: Scratch) -> Result<(), ScratchUnmountError> {
    match unmount(permit.request(), scratch) {
        Ok(()) => {
            permit.done();
            Ok(())
        }
        Err(error) => {
            permit.unknown();
            Err(error)
        }
    }
}

type Mounted = (OwnedFd, MountPoint, Option<EncryptedDisk>);

fn mount(request: &ScratchMount, rollback: &mut Rollback) -> Result<Mounted, ScratchMountError> {
    let (filesystem, disk) = match &request.backing {
        ScratchBacking::Memory { size_bytes } => (tmpfs(*size_bytes), None),
        ScratchBacking::EncryptedDisk { source } => {
            let disk = EncryptedDisk::create(source, rollback).map_err(ScratchMountError::EncryptedDisk)?;
            (ext4(disk.content()), Some(disk))
        }
    };
    let directory = MountPoint::create(&request.target, &CONTAINER_PLACES, rollback)
        .map_err(ScratchMountError::MountPoint)?;
    let root = filesystem.and_then(|fs| fs.mount(ATTRIBUTES)).map_err(ScratchMountError::Filesystem)?;
    let point = directory.attach(root.as_fd(), rollback).map_err(ScratchMountError::Attach)?;
    Ok((root, point, disk))
}

/// The file system that was made on the disk a moment ago.
fn ext4(content: &BlockDevice) -> io::Result<Filesystem> {
    Filesystem::open("ext4")?.descriptor("source", content)
}

/// A size of 0 means "no limit" to tmpfs; it becomes the smallest one.
fn tmpfs(size_bytes: u64) -> io::Result<Filesystem> {
    Filesystem::open("tmpfs")?.option("size", &size_bytes.max(1).to_string())?.option("mode", "0700")
}

fn unmount(request: &ScratchUnmount, scratch: Scratch) -> Result<(), ScratchUnmountError> {
    if scratch.target() != &request.target {
        return Err(ScratchUnmountError::OtherScratch);
    }
    // An open root keeps the mount busy.
    drop(scratch.root);
    scratch.point.unmount().map_err(ScratchUnmountError::Unmount)?;
    scratch.disk.map_or(Ok(()), |disk| disk.remove()).map_err(ScratchUnmountError::RemoveDevice)
}

#[cfg(test)]
mod tests;
