//! The agent's own root: a small tmpfs instead of the file system that the kernel unpacked the image into.
//!
//! The kernel's initial file system cannot go. It lies at the bottom of every mount namespace, where the owner of one
//! finds it again after unmounting what is above, and the programs that the kernel starts by itself are looked up in
//! it. So it is left empty, and nothing is executed from it any more: neither what a container with many rights put
//! there, nor the agent's own image, which a process has as `/proc/self/exe` until its program runs (CVE-2019-5736).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MoveMountFlags, move_mount};

use crate::mounts::{Filesystem, INERT};
use crate::sys::mount_attributes::{Extent, restrict_mount};

/// The deepest directory that is removed; the image has no deeper one.
const DEPTH_MAX: usize = 8;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Goes over to an empty root, and empties the initial one. The result is the new root.
///
/// The caller is process 1, still has nothing mounted, and needs none of the image's files any more. Its executable
/// lives on without a name.
pub(super) fn leave_initial() -> io::Result<OwnedFd> {
    let initial = openat(CWD, "/", DIRECTORY, Mode::empty())?;
    let root = empty_root()?;
    move_mount(&root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    rustix::process::fchdir(&root)?;
    rustix::process::chroot(".")?;
    remove_entries(&initial, DEPTH_MAX)?;
    restrict_mount(initial.as_fd(), INERT | MountAttrFlags::MOUNT_ATTR_RDONLY, Extent::One)?;
    Ok(root)
}

/// Closes the root when the directories in it are made.
pub(super) fn close(root: &OwnedFd) -> io::Result<()> {
    restrict_mount(root.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY, Extent::One)
}

fn empty_root() -> io::Result<OwnedFd> {
    let root = Filesystem::open("tmpfs")?.option("mode", "0755")?;
    root.option("size", "4096")?.option("nr_inodes", "16")?.mount(INERT)
}

/// Removes what is in a directory, never following a symbolic link.
fn remove_entries(directory: &OwnedFd, depth: usize) -> io::Result<()> {
    let deeper = depth.checked_sub(1).ok_or(Errno::LOOP)?;
    // Collected first: what is removed while it is listed can hide what is next.
    let entries: Vec<_> = Dir::read_from(directory)?.collect::<Result<_, _>>()?;
    for entry in entries {
        let name: &CStr = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            remove_entries(&openat(directory, name, DIRECTORY, Mode::empty())?, deeper)?;
            unlinkat(directory, name, AtFlags::REMOVEDIR)?;
        } else {
            unlinkat(directory, name, AtFlags::empty())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn everything_is_removed_and_no_link_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (initial, other) = (folder.path().join("initial"), folder.path().join("other"));
        fs::create_dir_all(initial.join("lib/modules/deep")).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("kept"), "kept").unwrap();
        fs::write(initial.join("init"), "agent").unwrap();
        fs::write(initial.join("lib/modules/a.ko"), "module").unwrap();
        symlink(&other, initial.join("link")).unwrap();
        let directory = openat(CWD, &initial, DIRECTORY, Mode::empty()).unwrap();
        remove_entries(&directory, DEPTH_MAX).unwrap();
        assert_eq!(fs::read_dir(&initial).unwrap().count(), 0);
        assert!(other.join("kept").exists());
    }

    #[test]
    fn a_tree_without_end_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("1/2/3")).unwrap();
        let directory = openat(CWD, folder.path(), DIRECTORY, Mode::empty()).unwrap();
        assert!(remove_entries(&directory, 2).is_err());
    }
}
