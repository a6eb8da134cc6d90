//! The session keyring.
//!
//! UNSAFETY: `keyctl` takes numbers and addresses whose meaning depends on the operation; no crate wraps it.

#![expect(unsafe_code, reason = "keyctl has no safe wrapper")]

use std::io;
use std::ptr;

use nix::libc;

/// `KEYCTL_JOIN_SESSION_KEYRING` of `linux/keyctl.h`.
const JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Leaves the session keyring for a new, empty one. A kernel without keys has none to leave.
pub(crate) fn join_new_session() -> io::Result<()> {
    let unnamed: *const libc::c_char = ptr::null();
    // SAFETY: a null name asks for a new keyring; nothing is read or written through it.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, unnamed) };
    let error = io::Error::last_os_error();
    if result >= 0 || error.raw_os_error() == Some(libc::ENOSYS) { Ok(()) } else { Err(error) }
}
