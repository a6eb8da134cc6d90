//! A layer as a copy in sealed memory, checked while it is copied.

use std::fs::File;
use std::io;

use layer_format::verity::{self, BLOCK_SIZE, HashDeviceError};
use policy_engine::RootHash;
use rustix::fs::{MemfdFlags, SealFlags};

use super::{MountDeviceError, VerifiedData};
use crate::devices::{BlockDevice, OpenDeviceError};
use crate::sys::loop_device;

/// The largest layer that is copied, in bytes: it takes as much of the machine's memory.
const LAYER_SIZE_MAX: u64 = 2 << 30;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyLayerError {
    /// Too large for memory.
    #[error("a layer of {size_bytes} bytes is too large to be copied, {LAYER_SIZE_MAX} is the most")]
    TooLarge {
        /// The size of the data area.
        size_bytes: u64,
    },
    /// No memory file.
    #[error("cannot create a memory file")]
    Create(#[source] io::Error),
    /// Reading or writing failed.
    #[error("cannot copy")]
    Transfer(#[source] HashDeviceError),
    /// The copy could not be made immutable.
    #[error("cannot seal the copy")]
    Seal(#[source] io::Error),
    /// No loop device for it.
    #[error("cannot attach the copy to a loop device")]
    Attach(#[source] io::Error),
    /// The loop device does not behave as one.
    #[error("cannot use the loop device")]
    Device(#[source] OpenDeviceError),
}

/// Copies the data in `area` and returns a block device over the copy. Each byte is read once: a disk that
/// changes under us cannot show the hash one thing and the mount another.
pub(super) fn create(
    area: &BlockDevice,
    data: &VerifiedData,
    root_hash: RootHash,
) -> Result<BlockDevice, MountDeviceError> {
    let copy = copy_verified(area, data, root_hash)?;
    attach(&copy).map_err(MountDeviceError::Copy)
}

/// A block device over sealed memory, which lives as long as the device is open or mounted.
pub(super) fn attach(sealed: &File) -> Result<BlockDevice, CopyLayerError> {
    let device = loop_device::attach_read_only(sealed, BLOCK_SIZE as u32).map_err(CopyLayerError::Attach)?;
    BlockDevice::from_file(device).map_err(CopyLayerError::Device)
}

fn copy_verified(
    area: &BlockDevice,
    data: &VerifiedData,
    root_hash: RootHash,
) -> Result<File, MountDeviceError> {
    let size_bytes = data.size_bytes();
    if size_bytes > LAYER_SIZE_MAX {
        return Err(MountDeviceError::Copy(CopyLayerError::TooLarge { size_bytes }));
    }
    let mut copy = memory_file().map_err(|error| MountDeviceError::Copy(CopyLayerError::Create(error)))?;
    let mut source = area.stream().map_err(MountDeviceError::Read)?;
    let expected = verity::RootHash::from_bytes(*root_hash.as_bytes());
    verity::copy_verified(&mut source, &mut copy, data.blocks, &data.salt, expected).map_err(|error| {
        match error {
            HashDeviceError::Mismatch { .. } => MountDeviceError::RootHashMismatch(root_hash),
            other => MountDeviceError::Copy(CopyLayerError::Transfer(other)),
        }
    })?;
    seal(&copy).map_err(|error| MountDeviceError::Copy(CopyLayerError::Seal(error)))?;
    Ok(copy)
}

/// Memory as a file that can be sealed.
pub(super) fn memory_file() -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::NOEXEC_SEAL;
    match rustix::fs::memfd_create("layer", flags) {
        // Kernels before 6.3 know no executable memory files to forbid.
        Err(rustix::io::Errno::INVAL) => {
            let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
            Ok(rustix::fs::memfd_create("layer", flags)?.into())
        }
        file => Ok(file?.into()),
    }
}

/// From here on not even this process changes the copy.
pub(super) fn seal(copy: &File) -> io::Result<()> {
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    Ok(rustix::fs::fcntl_add_seals(copy, seals)?)
}
