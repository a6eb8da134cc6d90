//! Ranges of descriptors.
//!
//! UNSAFETY: `close_range` has no safe wrapper, since it can close descriptors that somebody owns.

#![expect(unsafe_code, reason = "close_range has no safe wrapper")]

use std::io;

use nix::libc;

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
    // see the two callers.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
