//! Read-only layers, of which no byte is used that the policy's digest does not cover.
//!
//! Where the kernel has a device mapper, dm-verity checks each block whenever it is read, so a disk that the
//! host changes later gives read errors and never other content. Where it has none (a developer's machine),
//! the layer is copied into sealed memory, hashed on the way, and the copy is mounted: slower, never weaker.

mod error;
mod origin;
mod sealed;
mod verified_copy;
mod verified_data;
mod verity_device;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use layer_format::filesystem;
use policy_engine::request::{DeviceTarget, LayerFilesystem, MountDevice, MountSealedLayer, UnmountDevice};
use policy_engine::{Grant, Permit, RootHash};
use rustix::mount::MountAttrFlags;

use crate::devices::{self, BlockDevice, MappedDevice};
use crate::mounts::{Filesystem, MountPoint};
use crate::patience::{DISK_WORK, Patience};
use crate::rollback::{Rollback, carry_out, take_down};
use crate::sys::device_mapper::DeviceMapper;
use origin::Origin;
use verified_data::VerifiedData;

pub use error::{MountDeviceError, UnmountDeviceError};
pub use sealed::{SealLayerError, SealedLayer, mount_sealed_layer};
pub use verified_copy::CopyLayerError;

/// A mounted layer.
#[derive(Debug)]
pub struct Layer {
    right: Right,
    root: OwnedFd,
    point: MountPoint,
}

/// What the layer was mounted by, and so where its content is.
#[derive(Debug)]
enum Right {
    Disk {
        grant: Grant<MountDevice>,
        origin: Origin,
        /// The dm-verity device between them; a copy in memory goes with its mount.
        verity: Option<MappedDevice>,
    },
    Sealed {
        grant: Grant<MountSealedLayer>,
        /// For whoever finds it by its digest while it is mounted.
        _content: Arc<SealedLayer>,
    },
}

impl Layer {
    /// Where it is mounted.
    #[must_use]
    pub fn target(&self) -> &DeviceTarget {
        match &self.right {
            Right::Disk { grant, .. } => &grant.request().target,
            Right::Sealed { grant, .. } => &grant.request().target,
        }
    }

    /// The digest of its content.
    #[must_use]
    pub fn root_hash(&self) -> RootHash {
        match &self.right {
            Right::Disk { grant, .. } => grant.request().root_hash,
            Right::Sealed { grant, .. } => grant.request().root_hash,
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
    let (grant, (verified, point)) = carry_out(permit, mount)?;
    let Verified { root, verity, origin } = verified;
    Ok(Layer { right: Right::Disk { grant, origin, verity }, root, point })
}

/// Unmounts a layer that nothing uses any more, and removes its dm-verity device.
///
/// # Errors
/// [`UnmountDeviceError`]; the permit ended as *unknown*.
pub fn unmount_device(permit: Permit<UnmountDevice>, layer: Layer) -> Result<(), UnmountDeviceError> {
    take_down(permit, |request| unmount(request, layer))
}

fn unmount(request: &UnmountDevice, layer: Layer) -> Result<(), UnmountDeviceError> {
    if layer.target() != &request.target {
        return Err(UnmountDeviceError::OtherLayer);
    }
    let Layer { right, root, point } = layer;
    // An open root keeps the mount busy.
    drop(root);
    match right {
        Right::Sealed { .. } => point.unmount().map_err(UnmountDeviceError::Unmount),
        Right::Disk { grant, origin, verity } => {
            let disk = grant.request().source.to_string();
            DISK_WORK.take_down(&disk, Patience::FEW_BLOCKS, move || {
                point.unmount().map_err(UnmountDeviceError::Unmount)?;
                verity.map_or(Ok(()), |device| device.remove()).map_err(UnmountDeviceError::RemoveDevice)?;
                origin.release();
                Ok(())
            })
        }
    }
}

/// A layer that is mounted nowhere yet.
struct Verified {
    root: OwnedFd,
    verity: Option<MappedDevice>,
    origin: Origin,
}

fn mount(request: &MountDevice, rollback: &mut Rollback) -> Result<(Verified, MountPoint), MountDeviceError> {
    let mapper = devices::mapper().map_err(MountDeviceError::Map)?;
    let patience = if mapper.is_some() { Patience::FEW_BLOCKS } else { Patience::WHOLE_DISK };
    let judged = request.clone();
    let verified = DISK_WORK.make(&request.source.to_string(), patience, rollback, move |rollback| {
        verify(&judged, mapper, rollback)
    })?;
    let point = attach(verified.root.as_fd(), &request.target, rollback)?;
    Ok((verified, point))
}

/// Everything for which the disk is read.
fn verify(
    request: &MountDevice,
    mapper: Option<DeviceMapper>,
    rollback: &mut Rollback,
) -> Result<Verified, MountDeviceError> {
    let origin = Origin::open(request, rollback)?;
    let data = VerifiedData::locate(request, origin.area())?;
    let (content, verity) = match mapper {
        Some(mapper) => {
            let (device, content) =
                verity_device::create(&mapper, origin.area(), &data, request.root_hash, rollback)?;
            (content, Some(device))
        }
        None => (verified_copy::create(origin.area(), &data, request.root_hash)?, None),
    };
    let root = mount_content(&content, request.filesystem)?;
    origin.confirm(request)?;
    Ok(Verified { root, verity, origin })
}

/// Mounts content that is verified, or is verified whenever it is read, nowhere yet.
fn mount_content(content: &BlockDevice, filesystem: LayerFilesystem) -> Result<OwnedFd, MountDeviceError> {
    check_filesystem(filesystem, content)?;
    let root = mount_filesystem(filesystem, content).map_err(MountDeviceError::Mount)?;
    let mounted = rustix::fs::fstat(&root).map_err(|error| MountDeviceError::InspectMount(error.into()))?;
    if content.number().is_of(mounted.st_dev) { Ok(root) } else { Err(MountDeviceError::OtherDeviceMounted) }
}

/// Attaches the mount of a layer where layers are.
fn attach(
    root: BorrowedFd<'_>,
    target: &DeviceTarget,
    rollback: &mut Rollback,
) -> Result<MountPoint, MountDeviceError> {
    let directory = MountPoint::create(target.path(), &[DeviceTarget::DIRECTORY], rollback)
        .map_err(MountDeviceError::MountPoint)?;
    directory.attach(root, rollback).map_err(MountDeviceError::Attach)
}

/// Looks at verified bytes before the kernel parses them: that they are a file system of the kind, which ends where
/// they do or earlier.
///
/// Attacks: fewer data blocks than the tree was made of, which would be read errors in a container; another number of
/// levels, which presents blocks of the tree as data.
fn check_filesystem(kind: LayerFilesystem, content: &BlockDevice) -> Result<(), MountDeviceError> {
    let kind = on_disk(kind);
    let mut head = [0; filesystem::Filesystem::HEAD_SIZE];
    content.read_exact_at(&mut head, 0).map_err(MountDeviceError::Read)?;
    let filesystem_bytes = kind.size_bytes(&head).map_err(MountDeviceError::Filesystem)?;
    let data_bytes = content.size_bytes();
    if filesystem_bytes > data_bytes {
        return Err(MountDeviceError::FilesystemTooLong { filesystem_bytes, data_bytes });
    }
    Ok(())
}

fn on_disk(kind: LayerFilesystem) -> filesystem::Filesystem {
    match kind {
        LayerFilesystem::Ext4 => filesystem::Filesystem::Ext4,
        LayerFilesystem::Erofs => filesystem::Filesystem::Erofs,
        LayerFilesystem::Squashfs => filesystem::Filesystem::Squashfs,
    }
}

/// Mounts verified content. Containers run from the overlay above and never from this mount, so it grants
/// nothing: the overlay's own flags decide over devices, privileged programs and execution.
///
/// There is no direct access (DAX) to a disk's memory: neither dm-verity nor a copy in memory offers it, so that
/// no page of a container is one of a disk (CVE-2026-24834).
fn mount_filesystem(kind: LayerFilesystem, content: &BlockDevice) -> io::Result<OwnedFd> {
    let filesystem = Filesystem::open(kind.name())?.descriptor("source", content)?.flag("ro")?;
    let filesystem = match kind {
        // A journal on a read-only device cannot be replayed, and a clean layer has none to replay. The superblock may
        // ask for the kernel's panic at the first error: a block that the host changed would be the end of the guest.
        LayerFilesystem::Ext4 => filesystem.flag("noload")?.option("errors", "remount-ro")?,
        LayerFilesystem::Erofs | LayerFilesystem::Squashfs => filesystem,
    };
    filesystem.mount(
        MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )
}

#[cfg(test)]
mod endurance;
#[cfg(test)]
mod tests;
