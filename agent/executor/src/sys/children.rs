//! Looking at children that have ended.
//!
//! UNSAFETY: safe wrappers of `waitid` do not tell the child's number, or fail on signals that have no name.

#![expect(unsafe_code, reason = "waitid without interpretation has no safe wrapper")]

use std::io;
use std::mem::MaybeUninit;

use nix::libc;
use rustix::process::Pid;

/// Some child that has ended and is not reaped, if there is one. It stays as it is.
pub(crate) fn peek_ended() -> io::Result<Option<Pid>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is writable and of the type that the call fills.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), flags) };
    if result != 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ECHILD) { Ok(None) } else { Err(error) };
    }
    // SAFETY: zeroed before the call and filled by it; all zeroes are a valid value.
    let info = unsafe { info.assume_init() };
    // SAFETY: for `waitid` the kernel fills the part of the union that holds the pid, or leaves it zero.
    Ok(Pid::from_raw(unsafe { info.si_pid() }))
}
