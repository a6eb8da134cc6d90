//! Attributes of mounts that exist.
//!
//! UNSAFETY: `mount_setattr` takes a pointer to a structure; no crate wraps it.

#![expect(unsafe_code, reason = "mount_setattr has no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::libc;
use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use serde::{Deserialize, Serialize};

/// `struct mount_attr` of `linux/mount.h`.
#[repr(C)]
#[derive(Default)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Which mounts are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Extent {
    /// The mount of the descriptor.
    One,
    /// All mounts below it as well.
    Tree,
}

/// Attributes to take from a mount, and then to give it: `MOUNT_ATTR_*` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Changes {
    pub(crate) clear: u32,
    pub(crate) set: u32,
}

impl Changes {
    /// These changes, and then others.
    pub(crate) fn then(self, later: Self) -> Self {
        Self { clear: self.clear | later.clear, set: self.set & !later.clear | later.set }
    }
}

/// Changes the mount whose root `mount` is.
pub(crate) fn change_mount(mount: BorrowedFd<'_>, changes: Changes, extent: Extent) -> io::Result<()> {
    let Changes { clear, set } = changes;
    let attributes = MountAttributes { set: set.into(), clear: clear.into(), ..MountAttributes::default() };
    set_attributes(mount, &attributes, extent)
}

/// Changes how what is mounted below `mount` spreads; `propagation` is one of the four types.
pub(crate) fn set_propagation(
    mount: BorrowedFd<'_>,
    propagation: MountPropagationFlags,
    extent: Extent,
) -> io::Result<()> {
    let attributes = MountAttributes { propagation: propagation.bits().into(), ..MountAttributes::default() };
    set_attributes(mount, &attributes, extent)
}

/// Shows the files of `mount`, which is attached nowhere yet, as belonging to those whom `user_namespace` says.
pub(crate) fn map_ids(
    mount: BorrowedFd<'_>,
    user_namespace: BorrowedFd<'_>,
    extent: Extent,
) -> io::Result<()> {
    let attributes = MountAttributes {
        set: MountAttrFlags::MOUNT_ATTR_IDMAP.bits().into(),
        user_namespace: u64::from(user_namespace.as_raw_fd().unsigned_abs()),
        ..MountAttributes::default()
    };
    set_attributes(mount, &attributes, extent)
}

/// Adds `set` to the attributes of the mount whose root `mount` is, and makes its propagation private.
pub(crate) fn restrict_mount(mount: BorrowedFd<'_>, set: MountAttrFlags, extent: Extent) -> io::Result<()> {
    let attributes = MountAttributes {
        set: set.bits().into(),
        propagation: MountPropagationFlags::PRIVATE.bits().into(),
        ..MountAttributes::default()
    };
    set_attributes(mount, &attributes, extent)
}

fn set_attributes(mount: BorrowedFd<'_>, attributes: &MountAttributes, extent: Extent) -> io::Result<()> {
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
            std::ptr::from_ref(attributes),
            size_of::<MountAttributes>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
