//! Directories that are made to be mounted on.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use policy_engine::GuestPath;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, UnmountFlags};

use super::filesystem::descriptor_path;
use crate::retry::release;
use crate::rollback::Rollback;

/// `OVERLAYFS_SUPER_MAGIC` of `linux/magic.h`.
const OVERLAYFS_MAGIC: u64 = 0x794c_7630;

/// Only the agent looks below its mount points; containers see what is mounted for them.
const DIRECTORY_MODE: Mode = Mode::RWXU;

/// Why there is nothing to mount on.
#[derive(Debug, thiserror::Error)]
pub enum MountPointError {
    /// Outside the directories that hold mounts: the guest's own files are not covered by the host.
    #[error("nothing is mounted there")]
    Place,
    /// A directory on the way is missing and cannot be made, or is a symbolic link.
    #[error("cannot make or open a directory on the way")]
    Directory(#[source] io::Error),
    /// The way leads through a container's root file system, which its processes can change.
    #[error("the path leads through the root of a container")]
    Container,
    /// Something is there already: it would vanish under the mount.
    #[error("the directory is in use")]
    InUse,
}

/// An empty directory, held by descriptors: nothing resolves its path a second time.
#[derive(Debug)]
pub(crate) struct MountPoint {
    parent: OwnedFd,
    name: OsString,
}

/// A mount point on which nothing is mounted yet.
#[derive(Debug)]
pub(crate) struct NewDirectory {
    point: MountPoint,
    directory: OwnedFd,
}

impl MountPoint {
    /// Makes the directory `target`, strictly below one of `places`, with the directories on the way.
    /// Symbolic links are refused at every step.
    pub(crate) fn create(
        target: &GuestPath,
        places: &[&str],
        rollback: &mut Rollback,
    ) -> Result<NewDirectory, MountPointError> {
        let path = target.as_path();
        if !places.iter().any(|place| path.strip_prefix(place).is_ok_and(|rest| rest != Path::new(""))) {
            return Err(MountPointError::Place);
        }
        let (parent, name) = path.parent().zip(path.file_name()).ok_or(MountPointError::Place)?;
        let parent = make_directories(parent)?;
        make_directory(&parent, name)?;
        let directory = open_below(&parent, name, OFlags::RDONLY)?;
        if is_mount_root(&directory)? || !is_empty(&directory)? {
            return Err(MountPointError::InUse);
        }
        let undo_parent = parent.try_clone().map_err(MountPointError::Directory)?;
        let undo_name = name.to_owned();
        rollback.add(move || remove_directory(&undo_parent, &undo_name));
        Ok(NewDirectory { point: Self { parent, name: name.to_owned() }, directory })
    }

    /// Unmounts what is mounted on it and removes the directory. Whoever holds a descriptor of the mount lets go
    /// of it first.
    pub(crate) fn unmount(self) -> io::Result<()> {
        release(|| detach(&self.parent, &self.name))?;
        remove_directory(&self.parent, &self.name)
    }
}

impl NewDirectory {
    /// The empty directory itself.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Attaches a mount. The rollback unmounts it again.
    pub(crate) fn attach(self, mount: BorrowedFd<'_>, rollback: &mut Rollback) -> io::Result<MountPoint> {
        let parent = self.point.parent.try_clone()?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        rustix::mount::move_mount(mount, "", self.directory.as_fd(), "", flags)?;
        let name = self.point.name.clone();
        rollback.add(move || release(|| detach(&parent, &name)));
        Ok(self.point)
    }
}

fn detach(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let path = Path::new(&descriptor_path(parent)).join(name);
    Ok(rustix::mount::unmount(path, UnmountFlags::NOFOLLOW)?)
}

fn remove_directory(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

fn make_directories(path: &Path) -> Result<OwnedFd, MountPointError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut directory = rustix::fs::openat(CWD, "/", flags, Mode::empty())
        .map_err(|error| MountPointError::Directory(error.into()))?;
    for component in path.components() {
        let Component::Normal(name) = component else { continue };
        make_directory(&directory, name)?;
        directory = open_below(&directory, name, OFlags::PATH)?;
        if is_mount_root(&directory)? && is_overlay(&directory)? {
            return Err(MountPointError::Container);
        }
    }
    Ok(directory)
}

fn make_directory(parent: &OwnedFd, name: &OsStr) -> Result<(), MountPointError> {
    match rustix::fs::mkdirat(parent, name, DIRECTORY_MODE) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(MountPointError::Directory(error.into())),
    }
}

fn open_below(parent: &OwnedFd, name: &OsStr, access: OFlags) -> Result<OwnedFd, MountPointError> {
    let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::BENEATH;
    rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve)
        .map_err(|error| MountPointError::Directory(error.into()))
}

fn is_mount_root(directory: &OwnedFd) -> Result<bool, MountPointError> {
    let status = rustix::fs::statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::empty())
        .map_err(|error| MountPointError::Directory(error.into()))?;
    Ok(status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn is_overlay(directory: &OwnedFd) -> Result<bool, MountPointError> {
    let status = rustix::fs::fstatfs(directory).map_err(|error| MountPointError::Directory(error.into()))?;
    Ok(u64::try_from(status.f_type).is_ok_and(|magic| magic == OVERLAYFS_MAGIC))
}

fn is_empty(directory: &OwnedFd) -> Result<bool, MountPointError> {
    let entries = Dir::read_from(directory).map_err(|error| MountPointError::Directory(error.into()))?;
    for entry in entries.take(3) {
        let entry = entry.map_err(|error| MountPointError::Directory(error.into()))?;
        if ![c".", c".."].contains(&entry.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}
