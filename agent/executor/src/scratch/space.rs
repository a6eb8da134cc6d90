//! A file system to write to, mounted nowhere yet.

use std::io;
use std::os::fd::OwnedFd;

use policy_engine::request::{BlockSource, ScratchBacking};
use rustix::mount::MountAttrFlags;

use super::encrypted_disk::{EncryptDiskError, EncryptedDisk};
use super::plain_disk::{PlainDisk, PlainDiskError};
use crate::devices::BlockDevice;
use crate::mounts::{Filesystem, MountPoint};
use crate::patience::{DISK_WORK, Patience, SilentDiskError};
use crate::rollback::Rollback;

/// Why there is no space to write to.
#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    /// The disk does not answer, or has not answered before.
    #[error("the disk cannot be waited for")]
    Silent(#[from] SilentDiskError),
    /// The encrypted disk could not be prepared. There is nothing to fall back to.
    #[error("cannot prepare the encrypted disk")]
    EncryptedDisk(#[source] EncryptDiskError),
    /// The plain disk could not be prepared.
    #[error("cannot prepare the disk")]
    PlainDisk(#[source] PlainDiskError),
    /// More memory than the guest has.
    #[error("{size_bytes} bytes of memory are more than the guest's {memory_bytes}")]
    Memory {
        /// What was asked for.
        size_bytes: u64,
        /// What the guest has.
        memory_bytes: u64,
    },
    /// The kernel does not mount the file system.
    #[error("the kernel does not mount the file system")]
    Filesystem(#[source] io::Error),
    /// What was mounted lies on another device than the one that was prepared.
    #[error("the file system is not on the device that was prepared for it")]
    OtherDevice,
}

/// What lies under a space and goes with it.
#[derive(Debug)]
pub(crate) enum Ground {
    /// Guest memory.
    Memory,
    /// A disk under encryption.
    EncryptedDisk(BlockSource, EncryptedDisk),
    /// A disk as it is.
    PlainDisk(BlockSource, PlainDisk),
}

impl Ground {
    /// Unmounts the file system on it and takes it down, for which a disk has to write what it was given.
    pub(crate) fn remove_below(self, point: MountPoint) -> Result<(), RemoveSpaceError> {
        let unmount = move || point.unmount().map_err(RemoveSpaceError::Unmount);
        match self {
            Self::Memory => unmount(),
            Self::EncryptedDisk(source, disk) => {
                DISK_WORK.take_down(&source.to_string(), Patience::WHOLE_DISK, move || {
                    unmount()?;
                    disk.remove().map_err(RemoveSpaceError::Devices)
                })
            }
            Self::PlainDisk(source, disk) => {
                DISK_WORK.take_down(&source.to_string(), Patience::WHOLE_DISK, move || {
                    unmount()?;
                    disk.discard();
                    Ok(())
                })
            }
        }
    }
}

/// Why a space is not gone.
#[derive(Debug, thiserror::Error)]
pub enum RemoveSpaceError {
    /// The disk does not answer: what is left is not known.
    #[error("the disk cannot be waited for")]
    Silent(#[from] SilentDiskError),
    /// The file system stays mounted.
    #[error("cannot unmount the file system")]
    Unmount(#[source] io::Error),
    /// The file system is gone, the encrypted device below it stays.
    #[error("cannot remove the encrypted device")]
    Devices(#[source] io::Error),
}

/// An empty file system that nothing is mounted on.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) root: OwnedFd,
    pub(crate) ground: Ground,
}

impl Space {
    /// Makes what `backing` names. A disk is encrypted exactly when the backing says so: that is what policy judged.
    pub(crate) fn make(
        backing: &ScratchBacking,
        attributes: MountAttrFlags,
        rollback: &mut Rollback,
    ) -> Result<Self, SpaceError> {
        match backing {
            ScratchBacking::Memory { size_bytes } => {
                let root = tmpfs(*size_bytes)?.mount(attributes).map_err(SpaceError::Filesystem)?;
                Ok(Self { root, ground: Ground::Memory })
            }
            ScratchBacking::EncryptedDisk { source } => on_disk(source, rollback, move |source, rollback| {
                let disk = EncryptedDisk::create(&source, rollback).map_err(SpaceError::EncryptedDisk)?;
                let root = mount(disk.content(), attributes)?;
                Ok(Self { root, ground: Ground::EncryptedDisk(source, disk) })
            }),
            ScratchBacking::PlainDisk { source } => on_disk(source, rollback, move |source, _| {
                let disk = PlainDisk::create(&source).map_err(SpaceError::PlainDisk)?;
                let root = mount(disk.content(), attributes)?;
                Ok(Self { root, ground: Ground::PlainDisk(source, disk) })
            }),
        }
    }
}

fn on_disk(
    source: &BlockSource,
    rollback: &mut Rollback,
    work: impl FnOnce(BlockSource, &mut Rollback) -> Result<Space, SpaceError> + Send + 'static,
) -> Result<Space, SpaceError> {
    let named = source.clone();
    let work = move |rollback: &mut Rollback| work(named, rollback);
    DISK_WORK.make(&source.to_string(), Patience::WHOLE_DISK, rollback, work)
}

/// Mounts the file system that was made on the device a moment ago.
fn mount(content: &BlockDevice, attributes: MountAttrFlags) -> Result<OwnedFd, SpaceError> {
    let root = ext4(content).and_then(|ext4| ext4.mount(attributes)).map_err(SpaceError::Filesystem)?;
    let mounted = rustix::fs::fstat(&root).map_err(|error| SpaceError::Filesystem(error.into()))?;
    if content.number().is_of(mounted.st_dev) { Ok(root) } else { Err(SpaceError::OtherDevice) }
}

pub(super) fn ext4(content: &BlockDevice) -> io::Result<Filesystem> {
    Filesystem::open("ext4")?.descriptor("source", content)
}

/// A size of 0 means "no limit" to tmpfs; it becomes the smallest one.
fn tmpfs(size_bytes: u64) -> Result<Filesystem, SpaceError> {
    let memory = rustix::system::sysinfo();
    let memory_bytes = memory.totalram.saturating_mul(u64::from(memory.mem_unit));
    if size_bytes > memory_bytes {
        return Err(SpaceError::Memory { size_bytes, memory_bytes });
    }
    Filesystem::open("tmpfs")
        .and_then(|tmpfs| tmpfs.option("size", &size_bytes.max(1).to_string()))
        .and_then(|tmpfs| tmpfs.option("mode", "0700"))
        .map_err(SpaceError::Filesystem)
}
