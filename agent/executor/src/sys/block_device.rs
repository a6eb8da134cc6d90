//! Settings of a block device.
//!
//! UNSAFETY: `ioctl` takes a pointer whose meaning depends on the request number; no crate wraps `BLKROSET`.

#![expect(unsafe_code, reason = "ioctl on block devices has no safe wrapper")]

use std::ffi::c_int;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

/// `BLKROSET` of `linux/fs.h`.
const SET_READ_ONLY: Opcode = opcode::none(0x12, 93);

/// Makes the kernel refuse writes to the device, whoever asks.
pub(crate) fn set_read_only(device: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: `BLKROSET` reads one `int` through its argument and writes nothing.
    let request = unsafe { Setter::<SET_READ_ONLY, c_int>::new(1) };
    // SAFETY: the request is well-formed (above); on a file that is no block device it fails with ENOTTY.
    unsafe { ioctl(device, request) }.map_err(io::Error::from)
}
