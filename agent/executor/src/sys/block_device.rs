//! Settings of a block device.
//!
//! UNSAFETY: `ioctl` takes a pointer whose meaning depends on the request number; no crate wraps `BLKROSET` and
//! `BLKROGET`.

#![expect(unsafe_code, reason = "ioctl on block devices has no safe wrapper")]

use std::ffi::c_int;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::ioctl::{Getter, Opcode, Setter, ioctl, opcode};

/// `BLKROSET` of `linux/fs.h`.
const SET_READ_ONLY: Opcode = opcode::none(0x12, 93);
/// `BLKROGET` of `linux/fs.h`.
const GET_READ_ONLY: Opcode = opcode::none(0x12, 94);

/// Makes the kernel refuse writes to the device, whoever asks, or stop refusing them.
pub(crate) fn set_read_only(device: BorrowedFd<'_>, read_only: bool) -> io::Result<()> {
    // SAFETY: `BLKROSET` reads one `int` through its argument and writes nothing.
    let request = unsafe { Setter::<SET_READ_ONLY, c_int>::new(c_int::from(read_only)) };
    // SAFETY: the request is well-formed (above); on a file that is no block device it fails with ENOTTY.
    unsafe { ioctl(device, request) }.map_err(io::Error::from)
}

/// Whether the kernel refuses writes to the device, for whatever reason.
pub(crate) fn is_read_only(device: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: `BLKROGET` writes one `int` through its argument and reads nothing.
    let request = unsafe { Getter::<GET_READ_ONLY, c_int>::new() };
    // SAFETY: the request is well-formed (above); on a file that is no block device it fails with ENOTTY.
    let state = unsafe { ioctl(device, request) }?;
    Ok(state != 0)
}
