//! Volumes of the pod: writable directories that begin empty and that its containers share.
//!
//! A volume is the root of a file system of its own, or a directory of the sandbox's scratch. It is mounted where a
//! policy's `sandbox://` sources point, and containers get copies of that mount.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use policy_engine::request::{
    MountVolume, SANDBOX_MOUNTS_DIRECTORY, UnmountVolume, VolumeBacking, VolumeMode, VolumeTarget,
};
use policy_engine::{Grant, Permit};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use crate::mounts::{MountPoint, MountPointError, detached_copy};
use crate::rollback::{Rollback, carry_out, take_down};
use crate::scratch::{Ground, RemoveSpaceError, Scratch, Space, SpaceError};
use crate::sys::mount_attributes::{Changes, Extent, change_mount};

/// Where volumes are mounted, strictly below.
const PLACES: [&str; 2] = [SANDBOX_MOUNTS_DIRECTORY, "/run/kata-containers/sandbox"];

/// Why a volume is not mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountVolumeError {
    /// There is no file system for it.
    #[error("cannot make the file system of the volume")]
    Space(#[source] SpaceError),
    /// The scratch given is not the one of the permit.
    #[error("the scratch is not that of the permit")]
    OtherScratch,
    /// No name for the directory.
    #[error("cannot draw a name for the volume's directory")]
    Name(#[source] getrandom::Error),
    /// Its directory could not be made, or not given its owner and mode.
    #[error("cannot make the volume's directory")]
    Directory(#[source] io::Error),
    /// The directory for its mount could not be made.
    #[error("cannot make the mount point of the volume")]
    MountPoint(#[source] MountPointError),
    /// The mount could not be attached to its directory.
    #[error("cannot attach the volume's mount")]
    Attach(#[source] io::Error),
}

/// Why a volume is not gone.
#[derive(Debug, thiserror::Error)]
pub enum UnmountVolumeError {
    /// The permit is for another volume.
    #[error("the permit names another volume")]
    OtherVolume,
    /// It stays, or a part of what lies below it.
    #[error("cannot take down the file system of the volume")]
    Space(#[source] RemoveSpaceError),
    /// The mount stays.
    #[error("cannot unmount the volume")]
    Unmount(#[source] io::Error),
    /// The mount is gone, its directory stays.
    #[error("cannot remove the volume's directory")]
    Directory(#[source] io::Error),
}

/// A mounted volume.
#[derive(Debug)]
pub struct Volume {
    grant: Grant<MountVolume>,
    point: MountPoint,
    base: Base,
}

/// What a volume lies on.
#[derive(Debug)]
enum Base {
    Own(Ground),
    /// A directory of this scratch, by this name.
    Directory(OwnedFd, String),
}

impl Volume {
    /// Where it is mounted.
    #[must_use]
    pub fn target(&self) -> &VolumeTarget {
        &self.grant.request().target
    }
}

/// Mounts the volume that the permit names; `scratch` is the sandbox's, which some volumes are directories of.
///
/// # Errors
/// [`MountVolumeError`]; everything was undone, or the permit ended as *unknown*.
pub fn mount_volume(
    permit: Permit<MountVolume>,
    scratch: Option<&Scratch>,
) -> Result<Volume, MountVolumeError> {
    let (grant, (point, base)) = carry_out(permit, |request, rollback| mount(request, scratch, rollback))?;
    Ok(Volume { grant, point, base })
}

/// Unmounts a volume that no container has any more.
///
/// # Errors
/// [`UnmountVolumeError`]; the permit ended as *unknown*.
pub fn unmount_volume(permit: Permit<UnmountVolume>, volume: Volume) -> Result<(), UnmountVolumeError> {
    take_down(permit, |request| unmount(request, volume))
}

fn mount(
    request: &MountVolume,
    scratch: Option<&Scratch>,
    rollback: &mut Rollback,
) -> Result<(MountPoint, Base), MountVolumeError> {
    let (tree, base) = match &request.backing {
        VolumeBacking::Own(backing) => {
            let Space { root, ground } =
                Space::make(backing, attributes(request), rollback).map_err(MountVolumeError::Space)?;
            begin_empty(root.as_fd(), request).map_err(MountVolumeError::Directory)?;
            (root, Base::Own(ground))
        }
        VolumeBacking::Directory { scratch: place, .. } => {
            let scratch = scratch.filter(|scratch| scratch.target() == place);
            let scratch = scratch.ok_or(MountVolumeError::OtherScratch)?;
            let number = getrandom::u64().map_err(MountVolumeError::Name)?;
            let name = format!("volume-{number:016x}");
            let parent = make_directory(scratch.root(), &name, rollback);
            let parent = parent.map_err(MountVolumeError::Directory)?;
            let tree = part(parent.as_fd(), &name, request).map_err(MountVolumeError::Directory)?;
            (tree, Base::Directory(parent, name))
        }
    };
    let directory =
        MountPoint::create(request.target.path(), &PLACES, rollback).map_err(MountVolumeError::MountPoint)?;
    let point = directory.attach(tree.as_fd(), rollback).map_err(MountVolumeError::Attach)?;
    Ok((point, base))
}

fn unmount(request: &UnmountVolume, volume: Volume) -> Result<(), UnmountVolumeError> {
    if *volume.target() != request.target {
        return Err(UnmountVolumeError::OtherVolume);
    }
    match volume.base {
        Base::Own(ground) => ground.remove_below(volume.point).map_err(UnmountVolumeError::Space),
        Base::Directory(parent, name) => {
            volume.point.unmount().map_err(UnmountVolumeError::Unmount)?;
            match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
                // What containers wrote goes with the scratch, by which its size is bounded.
                Ok(()) | Err(Errno::NOTEMPTY) => Ok(()),
                Err(error) => Err(UnmountVolumeError::Directory(error.into())),
            }
        }
    }
}

/// Nobody opens a device node on a volume, whatever was asked for.
fn attributes(request: &MountVolume) -> MountAttrFlags {
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOSUID, request.nosuid);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, request.noexec);
    attributes
}

/// Gives the root of a new file system its owner and mode, and takes out what formatting left in it.
fn begin_empty(root: BorrowedFd<'_>, request: &MountVolume) -> io::Result<()> {
    let root = open_directory(root, ".")?;
    match rustix::fs::unlinkat(&root, "lost+found", AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    own(&root, request.mode, request.group)
}

fn make_directory(scratch: BorrowedFd<'_>, name: &str, rollback: &mut Rollback) -> io::Result<OwnedFd> {
    let parent = scratch.try_clone_to_owned()?;
    rustix::fs::mkdirat(&parent, name, Mode::RWXU)?;
    let (undo_parent, undo_name) = (parent.try_clone()?, name.to_owned());
    rollback.add(move || Ok(rustix::fs::unlinkat(&undo_parent, &undo_name, AtFlags::REMOVEDIR)?));
    Ok(parent)
}

/// A mount of the directory `name` of the scratch.
fn part(parent: BorrowedFd<'_>, name: &str, request: &MountVolume) -> io::Result<OwnedFd> {
    let directory = open_directory(parent, name)?;
    own(&directory, request.mode, request.group)?;
    let tree = detached_copy(&directory, Extent::One)?;
    // The copy has the attributes of the scratch, on which nothing is executed.
    let clear = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let changes = Changes { clear: clear.bits(), set: attributes(request).bits() };
    change_mount(tree.as_fd(), changes, Extent::One)?;
    Ok(tree)
}

fn open_directory(parent: BorrowedFd<'_>, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

fn own(directory: &OwnedFd, mode: VolumeMode, group: Option<u32>) -> io::Result<()> {
    rustix::fs::fchown(directory, Some(Uid::ROOT), Some(group.map_or(Gid::ROOT, Gid::from_raw)))?;
    // After the change of owner, which takes the set-group bit away.
    Ok(rustix::fs::fchmod(directory, Mode::from_raw_mode(mode.bits()))?)
}

#[cfg(test)]
mod tests;
