//! Why layers are not mounted or unmounted.

use std::io;

use layer_format::filesystem::FilesystemSizeError;
use layer_format::verity::{ParseSuperblockError, SaltTooLong};
use policy_engine::RootHash;

use super::CopyLayerError;
use crate::devices::{MapDeviceError, OpenDeviceError};
use crate::mounts::MountPointError;
use crate::patience::SilentDiskError;

/// Why a layer is not mounted. A [`RootHash`] in it is one that the policy approved.
#[derive(Debug, thiserror::Error)]
pub enum MountDeviceError {
    /// The disk does not answer, or has not answered before.
    #[error("the layer's disk cannot be waited for")]
    Silent(#[from] SilentDiskError),
    /// The disk does not open.
    #[error("cannot open the layer's disk")]
    Open(#[source] OpenDeviceError),
    /// The kernel does not refuse writes to the disk.
    #[error("cannot make the layer's disk read-only")]
    SetReadOnly(#[source] io::Error),
    /// The start of the file system, which says where it ends, could not be read.
    #[error("cannot read the start of the layer's file system")]
    ReadFilesystem(#[source] io::Error),
    /// What is on the disk, or what is proven by the root hash, is no file system of the kind that was said.
    #[error("the layer holds no usable file system of its kind")]
    Filesystem(#[source] FilesystemSizeError),
    /// The data area leaves no room behind it.
    #[error(
        "a data area of {data_bytes} bytes leaves no room for a hash tree on a disk of {size_bytes} bytes"
    )]
    HashOffset {
        /// Where the data was said to end.
        data_bytes: u64,
        /// The size of the disk or partition.
        size_bytes: u64,
    },
    /// The superblock could not be read.
    #[error("cannot read the dm-verity superblock")]
    ReadSuperblock(#[source] io::Error),
    /// There is no usable superblock, or no device can be as large.
    #[error("the dm-verity superblock is not usable")]
    Superblock(#[source] ParseSuperblockError),
    /// The superblock speaks of another data area than the one in front of it.
    #[error("the dm-verity superblock covers {superblock_bytes} bytes, the data area has {data_bytes}")]
    DataSize {
        /// Bytes that the superblock covers.
        superblock_bytes: u64,
        /// Bytes of the data area.
        data_bytes: u64,
    },
    /// The salt of the request has more bytes than dm-verity takes.
    #[error("the salt of the request is too long")]
    SaltTooLong(#[source] SaltTooLong),
    /// The superblock names another salt than the request.
    #[error("the dm-verity superblock names another salt than the request")]
    OtherSalt,
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
    /// The file system goes on behind the data that the root hash proves.
    #[error("a file system of {filesystem_bytes} bytes is longer than its {data_bytes} bytes of proven data")]
    FilesystemTooLong {
        /// The size that the file system says.
        filesystem_bytes: u64,
        /// Bytes that the root hash proves.
        data_bytes: u64,
    },
    /// The layer could not be copied into memory.
    #[error("cannot copy the layer into memory")]
    Copy(#[source] CopyLayerError),
    /// The directory for it could not be made.
    #[error("cannot make the layer's mount point")]
    MountPoint(#[source] MountPointError),
    /// The kernel does not mount the file system.
    #[error("the kernel does not mount the layer's file system")]
    Mount(#[source] io::Error),
    /// What is mounted could not be inspected.
    #[error("cannot inspect the layer's mount")]
    InspectMount(#[source] io::Error),
    /// The kernel mounted something else than the proven device.
    #[error("the mounted file system is on another device than the one that was proven")]
    OtherDeviceMounted,
    /// The address leads to no disk any more.
    #[error("the layer's disk cannot be found again")]
    FindAgain(#[source] OpenDeviceError),
    /// By now the address leads to another disk, or the disk has another size.
    #[error("the layer's disk was exchanged while it was mounted")]
    Exchanged,
    /// The mount could not be attached to its directory.
    #[error("cannot attach the layer's mount")]
    Attach(#[source] io::Error),
}

/// Why a layer is not gone.
#[derive(Debug, thiserror::Error)]
pub enum UnmountDeviceError {
    /// The disk does not answer: what is left of the layer is not known.
    #[error("the layer's disk cannot be waited for")]
    Silent(#[from] SilentDiskError),
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
