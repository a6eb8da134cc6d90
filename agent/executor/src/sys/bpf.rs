//! Loading a device filter and attaching it to a cgroup.
//!
//! UNSAFETY: `bpf` takes a pointer to a structure that holds further pointers; no crate wraps it without a C library.
//!
//! Format: `union bpf_attr` and `struct bpf_insn` of `linux/bpf.h`.

#![expect(unsafe_code, reason = "bpf has no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::libc;

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// The operation.
    pub(crate) code: u8,
    /// Destination register in the low four bits, source register in the high ones.
    pub(crate) registers: u8,
    /// Offset: of a jump in instructions, of an access in bytes.
    pub(crate) offset: i16,
    /// The constant operand.
    pub(crate) immediate: i32,
}

const _: () = assert!(size_of::<Instruction>() == 8);

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;

/// The part of `union bpf_attr` for `BPF_PROG_LOAD` that is used.
#[repr(C)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
}

/// The part of `union bpf_attr` for `BPF_PROG_ATTACH` that is used.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// Loads `program`, which the kernel verifies, as a filter of device accesses.
pub(crate) fn load_device_filter(program: &[Instruction]) -> io::Result<OwnedFd> {
    let load = Load {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        instructions: program.as_ptr().expose_provenance() as u64,
        license: c"Apache-2.0".as_ptr().expose_provenance() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
    };
    // SAFETY: the structure is laid out as the kernel expects and passed with its size; the addresses in it are those
    // of live instructions, as many as it says, and of a terminated string. The kernel only reads them.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, size_of::<Load>()) };
    match i32::try_from(result) {
        // SAFETY: the kernel has just made this descriptor, which nothing else owns.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Attaches `filter` to `cgroup`: to it and all below it, and nothing below may attach another.
pub(crate) fn attach_device_filter(cgroup: BorrowedFd<'_>, filter: BorrowedFd<'_>) -> io::Result<()> {
    let attach = Attach {
        target: cgroup.as_raw_fd().unsigned_abs(),
        program: filter.as_raw_fd().unsigned_abs(),
        attach_type: BPF_CGROUP_DEVICE,
        flags: 0,
    };
    // SAFETY: the structure is laid out as the kernel expects and passed with its size; it holds no address.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attach, size_of::<Attach>()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
