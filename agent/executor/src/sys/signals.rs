//! Signals: sending any number by descriptor, and starting over with the kernel's defaults.
//!
//! UNSAFETY: safe wrappers send only the signals that have names, and changing how a process takes a signal is unsafe
//! in general, since a handler may run anywhere.

#![expect(unsafe_code, reason = "signals without names and dispositions have no safe wrappers")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use nix::libc;
use policy_engine::request::Signal;

/// Sends `signal` to the process of `pidfd`.
pub(crate) fn send(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    let no_info: *const libc::siginfo_t = ptr::null();
    // SAFETY: a null `siginfo_t` is allowed and means the one of `kill`.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            libc::c_int::from(signal.number()),
            no_info,
            0_u32,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The number of signals.
const SIGNALS: libc::c_int = 64;

/// Room for the kernel's `struct sigaction` of any architecture; all zeroes is `SIG_DFL` with no flags.
type DefaultAction = [u64; 4];

/// Gives every signal its default disposition: what a program expects that starts, and what children inherit.
///
/// Not by way of the C library, which keeps two signals for itself and would leave them ignored.
pub(crate) fn reset_dispositions() -> io::Result<()> {
    let default: DefaultAction = [0; 4];
    let not_asked: *mut DefaultAction = ptr::null_mut();
    for number in (1..=SIGNALS).filter(|number| ![libc::SIGKILL, libc::SIGSTOP].contains(number)) {
        // SAFETY: the kernel reads its structure from the zeroes, which are enough of them, and writes nothing; the
        // default disposition runs no code of ours. The last argument is the size of the kernel's signal set.
        let result =
            unsafe { libc::syscall(libc::SYS_rt_sigaction, number, &raw const default, not_asked, 8_usize) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Blocks every signal that can be blocked.
pub(crate) fn block_all() -> io::Result<()> {
    nix::sys::signal::SigSet::all().thread_set_mask().map_err(io::Error::from)
}

/// Blocks no signal.
pub(crate) fn block_none() -> io::Result<()> {
    nix::sys::signal::SigSet::empty().thread_set_mask().map_err(io::Error::from)
}
