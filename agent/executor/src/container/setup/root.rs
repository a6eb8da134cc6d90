//! The container's root, and paths below it.
//!
//! A path of the container is resolved by the kernel with the container's root as the root (`openat2(2)`,
//! `RESOLVE_IN_ROOT`), never through a magic link, once, and used as a descriptor from then on. What the container's
//! files say can lead elsewhere in the container but not out of it, and not change between check and use
//! (CVE-2019-19921, CVE-2021-30465, CVE-2024-45310).

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2, readlinkat, symlinkat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags, MoveMountFlags, mount_change, move_mount};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use crate::container::plan::Spreading;
use crate::mounts::detached_copy;
use crate::sys::mount_attributes::{Changes, Extent, change_mount};

/// How often a path is resolved anew when something is renamed meanwhile: whoever does nothing else must not keep it from
/// ending.
const ATTEMPTS_MAX: usize = 128;

/// The root of a container.
#[derive(Debug)]
pub(super) struct Root(OwnedFd);

impl Root {
    /// Attaches the detached `tree` as the future root, over the empty one of the mount namespace.
    pub(super) fn attach(tree: OwnedFd) -> io::Result<Self> {
        move_mount(&tree, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        Ok(Self(tree))
    }

    /// The root that the process has.
    pub(super) fn current() -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open("/", flags, Mode::empty())?))
    }

    /// Makes it the root of the process.
    ///
    /// It covers the root of the mount namespace itself: whoever enters that lands on it, and no `..` leads below it,
    /// also not out of another `chroot`, as with the root that the kernel starts with. What is below is empty and cannot
    /// be written to. Exchanging the two and unmounting the old one would change nothing but make the kernel wait for
    /// all its processors.
    pub(super) fn enter_root(&self) -> io::Result<()> {
        rustix::process::fchdir(&self.0)?;
        rustix::process::chroot(".").map_err(io::Error::from)
    }

    /// Enters another mount namespace, where the root and all that is mounted in it are attached nowhere: no path there
    /// leads to the root, and none of the root out of it. The kernel takes it apart when nobody uses it any more.
    pub(super) fn leave_for(&self, mounts: BorrowedFd<'_>) -> io::Result<Self> {
        let tree = detached_copy(&self.0, Extent::Tree)?;
        move_into_thread_name_spaces(mounts, ThreadNameSpaceType::MOUNT)?;
        Self::enter_detached(tree)
    }

    /// Makes a root that is attached nowhere the root of the process.
    pub(super) fn enter_detached(tree: OwnedFd) -> io::Result<Self> {
        let root = Self(tree);
        root.enter_root()?;
        Ok(root)
    }

    /// Sets how mounts below the root spread, when it is the root of the process. What is mounted there already stays as
    /// it is, and nothing spreads to the guest.
    pub(super) fn set_propagation(&self, propagation: Spreading) -> io::Result<()> {
        let flags = match propagation {
            // As it was attached.
            Spreading::Private => return Ok(()),
            Spreading::Slave => MountPropagationFlags::DOWNSTREAM,
            Spreading::Shared => MountPropagationFlags::SHARED,
            Spreading::Unbindable => MountPropagationFlags::UNBINDABLE,
        };
        mount_change("/", flags).map_err(io::Error::from)
    }

    /// Makes the root's mount read-only, without what is mounted below.
    pub(super) fn make_readonly(&self) -> io::Result<()> {
        let changes = Changes { clear: 0, set: MountAttrFlags::MOUNT_ATTR_RDONLY.bits() };
        change_mount(self.0.as_fd(), changes, Extent::One)
    }

    /// The object at `path`, as a place and not for reading.
    pub(super) fn find(&self, path: &str) -> io::Result<OwnedFd> {
        self.open(path, OFlags::PATH, ResolveFlags::empty())
    }

    /// Opens `path`, with further restrictions on how it is resolved.
    pub(super) fn open(&self, path: &str, flags: OFlags, resolve: ResolveFlags) -> io::Result<OwnedFd> {
        let resolve = resolve | ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..ATTEMPTS_MAX {
            match openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Ok(descriptor) => return Ok(descriptor),
                // The kernel could not rule out that a `..` raced with a rename.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Makes the directory `path` and those on the way, if it is missing.
    pub(super) fn ensure_directory(&self, path: &str) -> io::Result<()> {
        match self.find(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.directory(Path::new(path)).map(drop)
            }
            // Entering it will tell what it is.
            other => other.map(drop),
        }
    }

    /// Makes a symbolic link like `link` at `path`, unless there is the same already.
    pub(super) fn copy_symlink(&self, link: &OwnedFd, path: &str) -> io::Result<()> {
        let target = readlinkat(link, "", Vec::new())?;
        let path = Path::new(path);
        let parent = self.directory(path.parent().ok_or(Errno::INVAL)?)?;
        let name = path.file_name().ok_or(Errno::INVAL)?;
        match symlinkat(target.as_c_str(), &parent, name) {
            Err(Errno::EXIST) if readlinkat(&parent, name, Vec::new()).is_ok_and(|found| found == target) => {
                Ok(())
            }
            other => other.map_err(io::Error::from),
        }
    }

    /// Makes `path` the working directory.
    pub(super) fn enter(&self, path: &str) -> io::Result<()> {
        let directory = self.open(path, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::empty())?;
        rustix::process::fchdir(directory).map_err(io::Error::from)
    }
}

/// The child `name` of `directory`, which is no symbolic link.
pub(super) fn open_child(directory: &OwnedFd, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(directory, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve).map_err(io::Error::from)
}

/// Makes an empty file as a place to mount at.
pub(super) fn new_file(directory: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
    rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o644))?;
    open_child(directory, name, OFlags::PATH)
}

/// Attaches a detached mount at a place.
pub(super) fn attach_at(tree: &OwnedFd, place: &OwnedFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", place, "", flags).map_err(io::Error::from)
}

/// Whether a descriptor is a directory.
pub(super) fn is_directory(descriptor: &OwnedFd) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(fstat(descriptor)?.st_mode) == FileType::Directory)
}

/// Whether a descriptor is a symbolic link.
pub(super) fn is_symlink(descriptor: &OwnedFd) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(fstat(descriptor)?.st_mode) == FileType::Symlink)
}

/// Refuses a working directory that the container's root does not reach (CVE-2024-21626).
pub(super) fn check_working_directory() -> io::Result<()> {
    let path = rustix::process::getcwd(Vec::new())?;
    if is_reached(path.as_bytes()) { Ok(()) } else { Err(Errno::NOENT.into()) }
}

/// The kernel puts a word before a path that does not begin at the root of the process.
fn is_reached(path: &[u8]) -> bool {
    path.starts_with(b"/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_working_directory_that_no_path_leads_to_is_refused() {
        let gone = std::thread::spawn(|| {
            // This thread's alone.
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).unwrap();
            let directory = tempfile::tempdir().unwrap();
            rustix::process::chdir(directory.path()).unwrap();
            check_working_directory().unwrap();
            drop(directory);
            check_working_directory().map_err(|error| error.kind())
        });
        assert_eq!(gone.join().unwrap(), Err(io::ErrorKind::NotFound));
        assert!(!is_reached(b"(unreachable)/etc") && is_reached(b"/") && !is_reached(b""));
    }
}
