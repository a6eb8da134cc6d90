//! Attributes of mounts that exist.
//!
//! UNSAFETY: `mount_setattr` takes a pointer to a structure; no crate wraps it.

#![expect(unsafe_code, reason = "mount_setattr has no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::libc;
use rustix::mount::MountAttrFlags;

/// `struct mount_attr` of `linux/mount.h`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Which mounts are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The mount of the descriptor.
    One,
    /// All mounts below it as well.
    Tree,
}

/// Adds `set` to the attributes of the mount whose root `mount` is, and makes its propagation private.
pub(crate) fn restrict_mount(mount: BorrowedFd<'_>, set: MountAttrFlags, extent: Extent) -> io::Result<()> {
    let attributes = MountAttributes {
        set: u64::from(set.bits()),
        clear: 0,
        propagation: libc::MS_PRIVATE,
        user_namespace: 0,
    };
    let flags = match extent {
        Extent::One => libc::AT_EMPTY_PATH,
        Extent::Tree => libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
    };
    // SAFETY: the path is an empty, terminated string, and the structure is live, laid out as the kernel expects, and
    // passed with its size; the kernel only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
