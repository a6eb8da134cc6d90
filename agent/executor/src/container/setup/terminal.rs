//! Standard streams: given descriptors, or a terminal of the container's own.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Uid, fchown, fstat, fstatfs, major, minor};
use rustix::io::Errno;
use rustix::process::ioctl_tiocsctty;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{Winsize, tcsetwinsize};

use super::root::{Root, attach_at, open_child};
use crate::container::plan::ProcessPlan;
use crate::container::report::{AtStep as _, Failure, Step};
use crate::mounts::detached_copy;
use crate::sys::mount_attributes::Extent;

/// `DEVPTS_SUPER_MAGIC` of `linux/magic.h`.
const DEVPTS_MAGIC: u32 = 0x1cd1;
/// Major and minor number of a terminal multiplexer.
const PTMX: (u32, u32) = (5, 2);

/// Where a process's standard streams lead.
#[derive(Debug)]
pub(super) enum Streams {
    /// Input, output and error.
    Given(OwnedFd, OwnedFd, OwnedFd),
    /// Both ends of a terminal.
    Terminal { master: OwnedFd, peer: OwnedFd },
}

/// Takes the given descriptors, or makes a terminal.
pub(super) fn streams(
    root: &Root,
    process: &ProcessPlan,
    descriptors: &mut impl Iterator<Item = OwnedFd>,
) -> Result<Streams, Failure> {
    if let Some((rows, columns)) = process.terminal {
        return terminal(root, rows, columns).at(Step::Terminal);
    }
    let mut next = || descriptors.next().ok_or(Errno::BADF).at(Step::Plan);
    Ok(Streams::Given(next()?, next()?, next()?))
}

/// A terminal of the container's own devpts, found by descriptors and recognised by what it is: by name it could be
/// another file by now (CVE-2025-52565).
fn terminal(root: &Root, rows: u16, columns: u16) -> io::Result<Streams> {
    let directory = root.open("/dev/pts", OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)?;
    let multiplexer = open_child(&directory, "ptmx", OFlags::PATH)?;
    let status = fstat(&multiplexer)?;
    if FileType::from_raw_mode(status.st_mode) != FileType::CharacterDevice
        || (major(status.st_rdev), minor(status.st_rdev)) != PTMX
        || u32::try_from(fstatfs(&multiplexer)?.f_type) != Ok(DEVPTS_MAGIC)
    {
        return Err(Errno::NODEV.into());
    }
    let master = open_child(&directory, "ptmx", OFlags::RDWR | OFlags::NOCTTY)?;
    unlockpt(&master)?;
    tcsetwinsize(&master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?;
    let peer = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    Ok(Streams::Terminal { master, peer })
}

impl Streams {
    /// The agent's end of the terminal.
    pub(super) fn master(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Given(..) => None,
            Self::Terminal { master, .. } => Some(master.as_fd()),
        }
    }

    /// Makes them the standard streams, owned by the user of the process; a terminal controls the new session.
    pub(super) fn connect(&self, process: &ProcessPlan) -> io::Result<()> {
        let user = Some(Uid::from_raw(process.uid));
        let (input, output, error) = match self {
            Self::Given(input, output, error) => {
                for stream in [input, output, error] {
                    // Pipes alone: the null device is everyone's already. In a user namespace it was done from outside.
                    if !process.in_user_namespace
                        && FileType::from_raw_mode(fstat(stream)?.st_mode) == FileType::Fifo
                    {
                        fchown(stream, user, None)?;
                    }
                }
                (input, output, error)
            }
            Self::Terminal { peer, .. } => {
                ioctl_tiocsctty(peer)?;
                fchown(peer, user, None)?;
                (peer, peer, peer)
            }
        };
        dup2_stdin(input)?;
        dup2_stdout(output)?;
        dup2_stderr(error).map_err(io::Error::from)
    }
}

/// Binds the terminal to `/dev/console`, from descriptor to descriptor.
pub(super) fn bind_console(root: &Root, streams: &Streams) -> io::Result<()> {
    let Streams::Terminal { peer, .. } = streams else { return Ok(()) };
    let dev = root.open("/dev", OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(&dev, "console", flags, Mode::from_raw_mode(0o600)) {
        // It is a place to mount at, whatever it is; a symbolic link is none.
        Ok(_) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let place = open_child(&dev, "console", OFlags::PATH)?;
    attach_at(&detached_copy(peer, Extent::One)?, &place)
}
