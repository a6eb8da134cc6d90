//! Installing a filter of system calls.
//!
//! UNSAFETY: `seccomp` takes a pointer to a structure that holds a further one; no crate wraps it for a program of the
//! caller's.

#![expect(unsafe_code, reason = "seccomp has no safe wrapper")]

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

use nix::libc::{self, sock_filter, sock_fprog};

/// Installs `program`, which the kernel verifies, for the calling thread and all that comes of it. `flags` are
/// `SECCOMP_FILTER_FLAG_*` that have no result of their own.
pub(crate) fn install(program: &mut [sock_filter], flags: u32) -> io::Result<()> {
    set_filter(program, libc::c_ulong::from(flags)).map(drop)
}

/// As [`install`], with a listener, who is handed the system calls that the program says.
pub(crate) fn install_with_listener(program: &mut [sock_filter], flags: u32) -> io::Result<OwnedFd> {
    let listener = set_filter(program, libc::c_ulong::from(flags) | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    let listener = RawFd::try_from(listener).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just made it for this call.
    Ok(unsafe { OwnedFd::from_raw_fd(listener) })
}

fn set_filter(program: &mut [sock_filter], flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let fprog = sock_fprog { len, filter: program.as_mut_ptr() };
    // SAFETY: the structure names as many live instructions as it says. The kernel copies them.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const fprog) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
