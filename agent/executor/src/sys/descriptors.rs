//! Descriptors by their numbers.
//!
//! UNSAFETY: `close_range` and `dup2` to a number have no safe wrapper, since they can close descriptors that somebody
//! owns.

#![expect(unsafe_code, reason = "close_range and dup2 to a number have no safe wrapper")]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use nix::libc;
use rustix::io::{Errno, fcntl_dupfd_cloexec};

/// A duplicate with a number above `number`, closed by `execve`.
pub(crate) fn duplicate_above(descriptor: BorrowedFd<'_>, number: u32) -> io::Result<OwnedFd> {
    let least = RawFd::try_from(number).ok().and_then(|number| number.checked_add(1)).ok_or(Errno::BADF)?;
    Ok(fcntl_dupfd_cloexec(descriptor, least)?)
}

/// Gives descriptors these numbers, from 3 up, at which `execve` leaves them open.
///
/// For the last steps of a process before its program: what else has such a number is closed, and must not be used any
/// more. What is still used lies [above](duplicate_above) them.
pub(crate) fn place(descriptors: impl Iterator<Item = OwnedFd>, numbers: &[u32]) -> io::Result<()> {
    let Some(&highest) = numbers.iter().max() else { return Ok(()) };
    // None of them may be in the way of another. Those that they were are closed here, before their numbers are taken.
    let raised = descriptors.map(|descriptor| duplicate_above(descriptor.as_fd(), highest));
    let raised = raised.collect::<io::Result<Vec<_>>>()?;
    if raised.len() != numbers.len() {
        return Err(Errno::BADF.into());
    }
    for (descriptor, &number) in raised.iter().zip(numbers) {
        let number = RawFd::try_from(number).ok().filter(|number| *number > 2).ok_or(Errno::BADF)?;
        // SAFETY: no memory is passed. What has the number is used by nobody any more: see above.
        if unsafe { libc::dup2(descriptor.as_raw_fd(), number) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Marks every descriptor from `first` up to be closed by `execve`, also those nobody here knows of.
pub(crate) fn close_on_exec_from(first: u32) -> io::Result<()> {
    close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes every descriptor but standard input, output and error and `kept`.
///
/// For a freshly forked process only: what its parent's values owned is closed under them, and nothing of them may
/// be used or dropped afterwards.
pub(crate) fn close_all_but(_: &super::process::SingleThreaded, kept: u32) -> io::Result<()> {
    if let Some(last) = kept.checked_sub(1).filter(|last| *last >= 3) {
        close_range(3, last, 0)?;
    }
    close_range(kept.saturating_add(1).max(3), u32::MAX, 0)
}

fn close_range(first: u32, last: u32, flags: u32) -> io::Result<()> {
    // SAFETY: no memory is passed. Descriptors that are closed here are owned by nobody who goes on to use them:
    // see the callers.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
