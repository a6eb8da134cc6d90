//! Read-only layers, of which no byte is used that the policy's digest does not cover.
//!
//! Where the kernel has a device mapper, dm-verity checks each block whenever it is read, so a disk that the
//! host changes later gives read errors and never other content. Where it has none (a developer's machine),
//! the layer is copied into sealed memory, hashed on the way, and the copy is mounted: slower, never weaker.

mod sealed;
mod verified_copy;
mod verity_device;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use layer_format::verity::{BLOCK_SIZE, ParseSuperblockError, VeritySuperblock};
use policy_engine::request::{DeviceTarget, LayerFilesystem, MountDevice, MountSealedLayer, UnmountDevice};
use policy_engine::{Grant, Permit, RootHash};
use rustix::mount::MountAttrFlags;

use crate::devices::{self, Access, BlockDevice, MapDeviceError, MappedDevice, OpenDeviceError};
use crate::mounts::{Filesystem, MountPoint, MountPointError};
use crate::rollback::Rollback;

pub use sealed::{SealLayerError, SealedLayer, mount_sealed_layer};
pub use verified_copy::CopyLayerError;

/// Why a layer is not mounted. A [`RootHash`] in it is one that the policy approved.
#[derive(Debug, thiserror::Error)]
pub enum MountDeviceError {
    /// The disk does not open.
    #[error("cannot open the layer's disk")]
    Open(#[source] OpenDeviceError),
    /// The data area is empty, no whole number of blocks, or leaves no room for the superblock behind it.
    #[error("a data area of {hash_offset_bytes} bytes does not fit a disk of {size_bytes} bytes")]
    HashOffset {
        /// Where the superblock was said to start.
        hash_offset_bytes: u64,
        /// The size of the disk.
        size_bytes: u64,
    },
    /// The superblock could not be read.
    #[error("cannot read the dm-verity superblock")]
    ReadSuperblock(#[source] io::Error),
    /// There is no usable superblock.
    #[error("the dm-verity superblock is not usable")]
    Superblock(#[source] ParseSuperblockError),
    /// The superblock speaks of another data area than the request.
    #[error(
        "the dm-verity superblock covers {superblock_bytes} bytes, the data area has {hash_offset_bytes}"
    )]
    DataSize {
        /// Bytes that the superblock covers.
        superblock_bytes: u64,
        /// Bytes of the data area.
        hash_offset_bytes: u64,
    },
    /// The dm-verity device could not be made.
    #[error("cannot make the dm-verity device")]
    Map(#[source] MapDeviceError),
    /// The permit is for other content than the guest has.
    #[error("the guest does not have the content with the root hash {0}")]
    OtherContent(RootHash),
    /// The content of the disk is not what the policy names.
    #[error("the layer's content does not match the root hash {0}")]
    RootHashMismatch(RootHash),
    /// The disk fails.
    #[error("cannot read the layer")]
    Read(#[source] io::Error),
    /// The layer could not be copied into memory.
    #[error("cannot copy the layer into memory")]
    Copy(#[source] CopyLayerError),
    /// The directory for it could not be made.
    #[error("cannot make the layer's mount point")]
    MountPoint(#[source] MountPointError),
    /// The kernel does not mount the file system.
    #[error("the kernel does not mount the layer's file system")]
    Filesystem(#[source] io::Error),
    /// The mount could not be attached to its directory.
    #[error("cannot attach the layer's mount")]
    Attach(#[source] io::Error),
}

/// Why a layer is not gone.
#[derive(Debug, thiserror::Error)]
pub enum UnmountDeviceError {
    /// The permit is for another layer.
    #[error("the permit names another layer")]
    OtherLayer,
    /// The mount stays.
    #[error("cannot unmount the layer")]
    Unmount(#[source] io::Error),
    /// The mount is gone, its dm-verity device stays.
    #[error("cannot remove the layer's dm-verity device")]
    RemoveDevice(#[source] io::Error),
}

/// A mounted layer.
#[derive(Debug)]
pub struct Layer {
    right: Right,
    root: OwnedFd,
    point: MountPoint,
    /// The dm-verity device beneath; a copy in memory goes with its mount.
    verity: Option<MappedDevice>,
}

/// What the layer was mounted by, and so where its content is.
#[derive(Debug)]
enum Right {
    Disk(Grant<MountDevice>),
    Sealed(Grant<MountSealedLayer>),
}

impl Layer {
    /// Where it is mounted.
    #[must_use]
    pub fn target(&self) -> &DeviceTarget {
        match &self.right {
            Right::Disk(grant) => &grant.request().target,
            Right::Sealed(grant) => &grant.request().target,
        }
    }

    /// The digest of its content.
    #[must_use]
    pub fn root_hash(&self) -> RootHash {
        match &self.right {
            Right::Disk(grant) => grant.request().root_hash,
            Right::Sealed(grant) => grant.request().root_hash,
        }
    }

    /// The root directory of its mount.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// Mounts the layer that the permit names.
///
/// # Errors
/// [`MountDeviceError`]; everything was undone, or the permit ended as *unknown*.
pub fn mount_device(permit: Permit<MountDevice>) -> Result<Layer, MountDeviceError> {
    let mut rollback = Rollback::default();
    match mount(permit.request(), &mut rollback) {
        Ok(Mounted { root, point, verity }) => {
            Ok(Layer { right: Right::Disk(permit.done()), root, point, verity })
        }
        Err(error) => {
            rollback.settle(permit);
            Err(error)
        }
    }
}

/// Unmounts a layer that nothing uses any more, and removes its dm-verity device.
///
/// # Errors
/// [`UnmountDeviceError`]; the permit ended as *unknown*.
pub fn unmount_device(permit: Permit<UnmountDevice>, layer: Layer) -> Result<(), UnmountDeviceError> {
    match unmount(permit.request(), layer) {
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

fn unmount(request: &UnmountDevice, layer: Layer) -> Result<(), UnmountDeviceError> {
    if layer.target() != &request.target {
        return Err(UnmountDeviceError::OtherLayer);
    }
    // An open root keeps the mount busy.
    drop(layer.root);
    layer.point.unmount().map_err(UnmountDeviceError::Unmount)?;
    layer.verity.map_or(Ok(()), |device| device.remove()).map_err(UnmountDeviceError::RemoveDevice)
}

struct Mounted {
    root: OwnedFd,
    point: MountPoint,
    verity: Option<MappedDevice>,
}

fn mount(request: &MountDevice, rollback: &mut Rollback) -> Result<Mounted, MountDeviceError> {
    let disk = BlockDevice::open(&request.source, Access::ReadOnly).map_err(MountDeviceError::Open)?;
    let superblock = read_superblock(&disk, request.hash_offset_bytes)?;
    let mapper = devices::mapper().map_err(MountDeviceError::Map)?;
    let (content, verity) = match mapper {
        Some(mapper) => {
            let (device, content) =
                verity_device::create(&mapper, &disk, &superblock, request.root_hash, rollback)?;
            (content, Some(device))
        }
        None => (verified_copy::create(&disk, &superblock, request.root_hash)?, None),
    };
    let (root, point) = mount_content(&content, request.filesystem, &request.target, rollback)?;
    Ok(Mounted { root, point, verity })
}

/// Mounts content that is verified, or is verified whenever it is read.
fn mount_content(
    content: &BlockDevice,
    filesystem: LayerFilesystem,
    target: &DeviceTarget,
    rollback: &mut Rollback,
) -> Result<(OwnedFd, MountPoint), MountDeviceError> {
    let directory = MountPoint::create(target.path(), &[DeviceTarget::DIRECTORY], rollback)
        .map_err(MountDeviceError::MountPoint)?;
    let root = mount_filesystem(filesystem, content).map_err(MountDeviceError::Filesystem)?;
    let point = directory.attach(root.as_fd(), rollback).map_err(MountDeviceError::Attach)?;
    Ok((root, point))
}

/// Reads the superblock and holds it against what the request and the disk say. It stays a claim: a wrong one
/// leads to another root hash.
fn read_superblock(disk: &BlockDevice, hash_offset_bytes: u64) -> Result<VeritySuperblock, MountDeviceError> {
    let size_bytes = disk.size_bytes();
    let block_size = BLOCK_SIZE as u64;
    let fits = hash_offset_bytes > 0
        && hash_offset_bytes.is_multiple_of(block_size)
        && hash_offset_bytes.checked_add(block_size).is_some_and(|end| end <= size_bytes);
    if !fits {
        return Err(MountDeviceError::HashOffset { hash_offset_bytes, size_bytes });
    }
    let mut bytes = [0; VeritySuperblock::SIZE];
    disk.read_exact_at(&mut bytes, hash_offset_bytes).map_err(MountDeviceError::ReadSuperblock)?;
    let superblock = VeritySuperblock::parse(&bytes).map_err(MountDeviceError::Superblock)?;
    let superblock_bytes = superblock.data_size_bytes();
    if superblock_bytes == hash_offset_bytes {
        Ok(superblock)
    } else {
        Err(MountDeviceError::DataSize { superblock_bytes, hash_offset_bytes })
    }
}

/// Mounts verified content. Containers run from the overlay above and never from this mount, so it grants
/// nothing: the overlay's own flags decide over devices, privileged programs and execution.
fn mount_filesystem(kind: LayerFilesystem, content: &BlockDevice) -> io::Result<OwnedFd> {
    let filesystem = Filesystem::open(kind.name())?.descriptor("source", content)?.flag("ro")?;
    let filesystem = match kind {
        // A journal on a read-only device cannot be replayed, and a clean layer has none to replay.
        LayerFilesystem::Ext4 => filesystem.flag("noload")?,
        LayerFilesystem::Erofs => filesystem,
    };
    filesystem.mount(
        MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )
}

#[cfg(test)]
mod tests;
