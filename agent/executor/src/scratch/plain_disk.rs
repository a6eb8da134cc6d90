//! A disk of the host's as it is. Only a policy that says so lets containers write there.

use std::io;

use policy_engine::request::BlockSource;
use rustix::fs::{CWD, FallocateFlags, Mode, OFlags};

use super::ext4_format::{self, FormatError};
use crate::devices::{Access, BlockDevice, OpenDeviceError};
use crate::mounts::descriptor_path;

/// Why a plain disk is no scratch.
#[derive(Debug, thiserror::Error)]
pub enum PlainDiskError {
    /// The disk does not open for writing.
    #[error("cannot open the disk")]
    Open(#[source] OpenDiskError),
    /// The file system could not be written.
    #[error("cannot make a file system on the disk")]
    Format(#[source] FormatError),
}

/// Why a disk is not one to write to.
#[derive(Debug, thiserror::Error)]
pub enum OpenDiskError {
    /// It does not open for writing.
    #[error("cannot open the device")]
    Device(#[source] OpenDeviceError),
    /// It is mounted, or another device stands on it.
    #[error("the device is in use")]
    InUse(#[source] io::Error),
}

/// Opens a disk to overwrite all of it.
///
/// Attack: the host names a device that the guest made itself, such as the decrypted side of another scratch.
pub(super) fn open_unused(source: &BlockSource) -> Result<BlockDevice, OpenDiskError> {
    let disk = BlockDevice::open(source, Access::ReadWrite).map_err(OpenDiskError::Device)?;
    // Without O_CREAT, O_EXCL claims a block device for as long as it is open.
    let flags = OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
    let claimed = rustix::fs::openat(CWD, descriptor_path(&disk), flags, Mode::empty());
    claimed.map_err(|error| OpenDiskError::InUse(error.into()))?;
    Ok(disk)
}

/// Gives the blocks of a disk back where it can do that; they read as zeros then. Nobody relies on it: of an encrypted
/// disk the key is gone, and of a plain one the host may have kept a copy.
pub(super) fn discard(disk: &BlockDevice) {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let _unsupported = rustix::fs::fallocate(disk, flags, 0, disk.size_bytes());
}

/// A disk with an empty file system.
#[derive(Debug)]
pub(crate) struct PlainDisk(BlockDevice);

impl PlainDisk {
    /// Makes an empty file system on the disk. What was on it is not looked at: the kernel parses nothing that the host
    /// wrote before.
    pub(super) fn create(source: &BlockSource) -> Result<Self, PlainDiskError> {
        let disk = open_unused(source).map_err(PlainDiskError::Open)?;
        ext4_format::format(disk.file(), disk.size_bytes()).map_err(PlainDiskError::Format)?;
        Ok(Self(disk))
    }

    /// The disk.
    pub(super) fn content(&self) -> &BlockDevice {
        &self.0
    }

    /// Gives its blocks back.
    pub(super) fn discard(self) {
        discard(&self.0);
    }
}
