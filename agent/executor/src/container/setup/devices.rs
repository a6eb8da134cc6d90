//! The device nodes of a container.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, chmodat, fstat, major, makedev, minor, mkdirat, mknodat,
    symlinkat,
};
use rustix::io::Errno;

use super::root::{Root, open_child};
use crate::cgroup::devices::DEFAULT_NODES;

/// Symbolic links of `/dev`, by name and target.
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// Major and minor number of `/dev/null`.
const NULL: (u32, u32) = (1, 3);

/// Fills a new, still detached `/dev`: nobody else sees it yet.
pub(super) fn populate(dev: &OwnedFd) -> io::Result<()> {
    for (name, major, minor) in DEFAULT_NODES {
        mknodat(dev, name, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(major, minor))?;
        chmodat(dev, name, Mode::from_raw_mode(0o666), AtFlags::empty())?;
    }
    for (name, target) in LINKS {
        symlinkat(target, dev, name)?;
    }
    for directory in ["pts", "shm", "mqueue"] {
        mkdirat(dev, directory, Mode::from_raw_mode(0o755))?;
    }
    Ok(())
}

/// The container's null device, which is one: what is bound over a masked file must not be a file of the
/// container's choosing (CVE-2025-31133).
pub(super) fn null(root: &Root) -> io::Result<OwnedFd> {
    let dev = root.open("/dev", OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)?;
    let null = open_child(&dev, "null", OFlags::PATH)?;
    let status = fstat(&null)?;
    let device = (major(status.st_rdev), minor(status.st_rdev));
    if FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice && device == NULL {
        Ok(null)
    } else {
        Err(Errno::NODEV.into())
    }
}
