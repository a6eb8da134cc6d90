//! Registering descriptors with tokio's reactor.
//!
//! UNSAFETY: tokio asks for a promise that the descriptor stays the same and open as long as it is registered.

#![expect(unsafe_code, reason = "registering a descriptor with tokio is a promise about it")]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers `descriptor`. Needs the context of a tokio runtime.
pub(crate) fn register(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor is open and the same as long as its owner lives, which the registration owns.
    unsafe { AsyncFd::register_with_interest(descriptor, interest) }.map_err(io::Error::from)
}
