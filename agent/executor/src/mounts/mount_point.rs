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

/// No symbolic link is followed, wherever it is.
const NO_LINKS: ResolveFlags = ResolveFlags::NO_SYMLINKS.union(ResolveFlags::NO_MAGICLINKS);

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

/// An empty directory, held by descriptors: nothing that is mounted resolves its path a second time.
#[derive(Debug)]
pub(crate) struct MountPoint {
    parent: OwnedFd,
    name: OsString,
    way: Way,
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
        places: &[&'static str],
        rollback: &mut Rollback,
    ) -> Result<NewDirectory, MountPointError> {
        let path = target.as_path();
        let way = Way::find(target, places).ok_or(MountPointError::Place)?;
        let (parent, name) = path.parent().zip(path.file_name()).ok_or(MountPointError::Place)?;
        let undo = way.clone();
        rollback.add(move || undo.remove_empty());
        let parent = make_directories(parent)?;
        make_directory(&parent, name)?;
        let directory = open_below(&parent, name, OFlags::RDONLY)?;
        if is_mount_root(&directory)? || !is_empty(&directory)? {
            return Err(MountPointError::InUse);
        }
        Ok(NewDirectory { point: Self { parent, name: name.to_owned(), way }, directory })
    }

    /// Unmounts what is mounted on it and removes the directory, and those on the way that nothing else is in. Whoever
    /// holds a descriptor of the mount lets go of it first.
    pub(crate) fn unmount(self) -> io::Result<()> {
        release(|| detach(&self.parent, &self.name))?;
        rustix::fs::unlinkat(&self.parent, &self.name, AtFlags::REMOVEDIR)?;
        self.way.remove_empty()
    }
}

/// The directories from a place to a mount point.
///
/// Attack: a host that chooses new names in each request, so that what is left of them fills the guest's memory.
#[derive(Debug, Clone)]
struct Way {
    place: &'static str,
    target: GuestPath,
}

impl Way {
    /// The way to a target strictly below one of `places`.
    fn find(target: &GuestPath, places: &[&'static str]) -> Option<Self> {
        let path = target.as_path();
        let below = |place: &&str| path.strip_prefix(place).is_ok_and(|rest| rest != Path::new(""));
        Some(Self { place: places.iter().copied().find(below)?, target: target.clone() })
    }

    /// Removes the directories of the way that are empty, the mount point first. One that is in use stays, with those
    /// above it. The way is not followed into anything that is mounted.
    fn remove_empty(&self) -> io::Result<()> {
        let names: Vec<&OsStr> = self
            .target
            .as_path()
            .strip_prefix(self.place)
            .map_or_else(|_| Vec::new(), |way| way.iter().collect());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut directories = match rustix::fs::openat2(CWD, self.place, flags, Mode::empty(), NO_LINKS) {
            Ok(place) => vec![place],
            Err(Errno::NOENT | Errno::LOOP) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let resolve = NO_LINKS | ResolveFlags::BENEATH | ResolveFlags::NO_XDEV;
        while let (Some(directory), Some(name)) =
            (directories.last(), names.get(directories.len().saturating_sub(1)))
        {
            match rustix::fs::openat2(directory, *name, flags, Mode::empty(), resolve) {
                Ok(next) if directories.len() < names.len() => directories.push(next),
                // The end of the way, or of what there is of it, or something that the guest did not make: a mount, a link.
                Ok(_)
                | Err(Errno::NOENT | Errno::NAMETOOLONG | Errno::XDEV | Errno::LOOP | Errno::NOTDIR) => break,
                Err(error) => return Err(error.into()),
            }
        }
        for (directory, name) in directories.iter().zip(names).rev() {
            match rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT | Errno::NAMETOOLONG) => {}
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY | Errno::NOTDIR) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
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
    rustix::fs::openat2(parent, name, flags, Mode::empty(), NO_LINKS | ResolveFlags::BENEATH)
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::mounts::Filesystem;
    use crate::test_bench::{path, with_private_mounts};

    const PLACE: &str = "/run/place";

    fn left() -> Vec<String> {
        let mut found = Vec::new();
        let mut directories = vec![std::path::PathBuf::from(PLACE)];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                directories.push(entry.unwrap().path());
                found.push(directories.last().unwrap().display().to_string());
            }
        }
        found
    }

    fn attached(target: &str, rollback: &mut Rollback) -> MountPoint {
        let root = Filesystem::open("tmpfs").unwrap().mount(rustix::mount::MountAttrFlags::empty()).unwrap();
        MountPoint::create(&path(target), &[PLACE], rollback).unwrap().attach(root.as_fd(), rollback).unwrap()
    }

    #[test]
    fn nothing_is_left_of_the_way_to_what_was_undone_or_unmounted() {
        with_private_mounts(|| {
            for target in ["/run/place/one", "/run/place/a/b/one"] {
                let mut rollback = Rollback::default();
                MountPoint::create(&path(target), &[PLACE], &mut rollback).unwrap();
                assert!(rollback.undo());
                assert_eq!(left(), [""; 0], "{target} is undone");
                attached(target, &mut Rollback::default()).unmount().unwrap();
                assert_eq!(left(), [""; 0], "{target} is unmounted");
            }
            // A name that no file system takes, behind some that were made before that is known.
            let mut rollback = Rollback::default();
            let long = path(&format!("/run/place/a/{}/one", "n".repeat(256)));
            let error = MountPoint::create(&long, &[PLACE], &mut rollback).unwrap_err();
            assert!(matches!(error, MountPointError::Directory(_)), "{error:?}");
            assert!(rollback.undo());
            assert_eq!(left(), [""; 0]);
        });
    }

    #[test]
    fn what_others_are_mounted_on_and_have_in_their_mounts_stays() {
        with_private_mounts(|| {
            let mut rollback = Rollback::default();
            let first = attached("/run/place/a/first", &mut Rollback::default());
            let second = attached("/run/place/a/second", &mut rollback);
            fs::create_dir_all("/run/place/a/first/empty/one").unwrap();
            // Nothing is made in a mount, and nothing of it is removed.
            let within = Way::find(&path("/run/place/a/first/empty/one"), &[PLACE]).unwrap();
            within.remove_empty().unwrap();
            assert!(Path::new("/run/place/a/first/empty/one").exists());
            drop(second);
            assert!(rollback.undo());
            assert!(
                Path::new("/run/place/a/first/empty/one").exists()
                    && !Path::new("/run/place/a/second").exists()
            );
            first.unmount().unwrap();
            assert_eq!(left(), [""; 0]);
        });
    }
}
