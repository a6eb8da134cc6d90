//! The launcher's own mount namespace: one empty, read-only directory tree with nothing of the guest in it.
//!
//! A container starts from a copy of it. The guest's files, other containers' layers and the launcher's own binary
//! are therefore not hidden from a container but absent, and no container holds somebody else's mount busy.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, unmount,
};

use crate::sys::mount_attributes::{Extent, restrict_mount};

/// Moves the calling process into a mount namespace that holds nothing but the refuge.
pub(super) fn enter() -> io::Result<()> {
    // Read while the guest's procfs is still there.
    let mounts = top_mounts(&std::fs::read_to_string("/proc/self/mountinfo")?);
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let refuge = empty_tree()?;
    // Any directory will do: it goes with the rest.
    move_mount(&refuge, "", CWD, "/proc", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    rustix::process::fchdir(&refuge)?;
    match rustix::process::pivot_root(".", ".") {
        Ok(()) => unmount(".", UnmountFlags::DETACH)?,
        // The root is the kernel's initial one, which cannot be exchanged.
        Err(Errno::INVAL) => cover_root(&refuge, &mounts)?,
        Err(errno) => return Err(errno.into()),
    }
    rustix::process::chdir("/")?;
    restrict_mount(refuge.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY, Extent::One)
}

/// Makes the refuge the root by mounting it over the old one, and detaches everything that was below that.
///
/// The old root itself cannot go: the kernel keeps it below the refuge, where no path leads.
fn cover_root(refuge: &OwnedFd, mounts: &[String]) -> io::Result<()> {
    let old_root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    move_mount(refuge, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    rustix::process::chroot(".")?;
    rustix::process::fchdir(&old_root)?;
    for mount in mounts {
        let relative = mount.trim_start_matches('/');
        match unmount(relative, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // Something was mounted over the path or its parents: it went with that.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// A detached tmpfs with nothing in it.
fn empty_tree() -> io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "mode", "0555")?;
    fsconfig_set_string(&context, "size", "4096")?;
    fsconfig_set_string(&context, "nr_inodes", "1")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(io::Error::from)
}

/// The mount points of `mountinfo` (`proc_pid_mountinfo(5)`) that are below the root, last mounted first.
fn top_mounts(mountinfo: &str) -> Vec<String> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    points.filter(|point| *point != "/").map(unescape).rev().collect()
}

/// Undoes the octal escapes of `mountinfo`.
pub(crate) fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (code, after.get(3..)) {
            (Some(code), Some(after)) if code.is_ascii() => {
                text.push(char::from(code));
                rest = after;
            }
            _ => {
                text.push('\\');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_the_root_are_listed_last_first() {
        let text = "22 27 0:21 / /proc rw - proc proc rw\n27 1 254:0 / / rw - ext4 /dev/vda rw\n\
                    30 27 0:9 / /a\\040b rw - tmpfs none rw\n";
        assert_eq!(top_mounts(text), ["/a b", "/proc"]);
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescape(r"/a\040b\134c"), r"/a b\c");
        assert_eq!(unescape(r"/plain\x"), r"/plain\x");
        assert_eq!(unescape(r"/end\"), r"/end\");
    }
}
