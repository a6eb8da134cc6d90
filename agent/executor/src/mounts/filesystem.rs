//! A file system on its way to being mounted: `fsopen` to `fsmount`.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

/// Attributes of a mount with nothing but files to read and write: no devices, no raised rights, no programs.
pub(crate) const INERT: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// A file system being configured. What it is made of is named by open descriptors, never by paths that are
/// looked up again, and options are separate values, so that none can smuggle in another.
#[derive(Debug)]
pub(crate) struct Filesystem {
    context: OwnedFd,
}

impl Filesystem {
    /// Starts with the kernel's name of a file-system type.
    pub(crate) fn open(kind: &str) -> io::Result<Self> {
        Ok(Self { context: rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)? })
    }

    /// Sets an option that has no value.
    pub(crate) fn flag(self, name: &str) -> io::Result<Self> {
        rustix::mount::fsconfig_set_flag(self.context.as_fd(), name)?;
        Ok(self)
    }

    /// Sets an option to a value of at most 255 bytes.
    pub(crate) fn option(self, name: &str, value: &str) -> io::Result<Self> {
        rustix::mount::fsconfig_set_string(self.context.as_fd(), name, value)?;
        Ok(self)
    }

    /// Sets an option to a value, or without one if that is empty.
    pub(crate) fn parameter(self, name: &str, value: &str) -> io::Result<Self> {
        if value.is_empty() { self.flag(name) } else { self.option(name, value) }
    }

    /// Sets an option to something that is open.
    pub(crate) fn descriptor(self, name: &str, value: impl AsFd) -> io::Result<Self> {
        self.option(name, &descriptor_path(value))
    }

    /// Makes the file system and returns the root of a mount that is attached nowhere yet.
    pub(crate) fn mount(self, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
        rustix::mount::fsconfig_create(self.context.as_fd())?;
        Ok(rustix::mount::fsmount(self.context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
    }
}

/// The path that leads the kernel to an open descriptor and to nothing else.
pub(crate) fn descriptor_path(descriptor: impl AsFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd())
}
