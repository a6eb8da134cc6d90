//! Block devices over files.
//!
//! UNSAFETY: `ioctl` takes a pointer or a number depending on the request; no crate wraps those of the loop
//! driver.
//!
//! Format: `struct loop_config` and `struct loop_info64` of `linux/loop.h`.

#![expect(unsafe_code, reason = "ioctl on loop devices has no safe wrapper")]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, Setter, ioctl};

/// `LOOP_CTL_GET_FREE`, on the control device.
const GET_FREE: Opcode = 0x4c82;
/// `LOOP_CONFIGURE`, on a loop device.
const CONFIGURE: Opcode = 0x4c0a;
/// Bytes of `struct loop_config`.
const CONFIG_SIZE: usize = 304;
/// Offset of `info.lo_flags` in `struct loop_config`.
const FLAGS: usize = 60;
/// `LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR`.
const READ_ONLY_AUTOCLEAR: u32 = 1 | 4;
/// Somebody else may take the free device first; that often, and we give up.
const ATTEMPTS: usize = 16;

/// Attaches `file` to a free loop device, read-only. The kernel detaches it when its last user is gone: the
/// returned descriptor, or what is mounted from it.
pub(crate) fn attach_read_only(file: &File, block_size_bytes: u32) -> io::Result<File> {
    attach(file, block_size_bytes, OFlags::RDONLY, READ_ONLY_AUTOCLEAR)
}

/// Attaches `file` to a free loop device that can be written to.
#[cfg(test)]
pub(crate) fn attach_writable(file: &File, block_size_bytes: u32) -> io::Result<File> {
    const AUTOCLEAR: u32 = 4;
    attach(file, block_size_bytes, OFlags::RDWR, AUTOCLEAR)
}

fn attach(file: &File, block_size_bytes: u32, access: OFlags, loop_flags: u32) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let control = rustix::fs::open("/dev/loop-control", flags, Mode::empty())?;
    for _ in 0..ATTEMPTS {
        let number = free_device(&control)?;
        let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let device = File::from(rustix::fs::open(format!("/dev/loop{number}"), flags, Mode::empty())?);
        match configure(&device, file, block_size_bytes, loop_flags) {
            Ok(()) => return Ok(device),
            Err(Errno::BUSY) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::BUSY.into())
}

fn configure(device: &File, file: &File, block_size_bytes: u32, flags: u32) -> rustix::io::Result<()> {
    let mut config = [0u8; CONFIG_SIZE];
    let fields = [
        (0, file.as_raw_fd().to_ne_bytes()),
        (4, block_size_bytes.to_ne_bytes()),
        (FLAGS, flags.to_ne_bytes()),
    ];
    for (offset, bytes) in fields {
        for (to, from) in config.iter_mut().skip(offset).zip(bytes) {
            *to = from;
        }
    }
    // SAFETY: `LOOP_CONFIGURE` reads one `struct loop_config`, whose size the array has, and writes nothing.
    let request = unsafe { Setter::<CONFIGURE, [u8; CONFIG_SIZE]>::new(config) };
    // SAFETY: the request is well-formed (above); the descriptor in it is open as long as `file` is borrowed.
    unsafe { ioctl(device, request) }
}

/// `LOOP_CTL_GET_FREE`: the number of a free device is the result of the call.
struct GetFree;

// SAFETY: the request takes no argument, touches no memory of ours and returns a number.
unsafe impl Ioctl for GetFree {
    type Output = IoctlOutput;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        GET_FREE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(number: IoctlOutput, _: *mut c_void) -> rustix::io::Result<IoctlOutput> {
        Ok(number)
    }
}

fn free_device(control: impl AsFd) -> rustix::io::Result<IoctlOutput> {
    // SAFETY: `GetFree` states why the request touches no memory.
    unsafe { ioctl(control, GetFree) }
}
