//! Priorities of processes.
//!
//! UNSAFETY: `sched_setattr` takes a pointer to a structure, `ioprio_set` a number that is put together by the caller;
//! no crate wraps them.

#![expect(unsafe_code, reason = "sched_setattr and ioprio_set have no safe wrapper")]

use std::io;

use nix::libc;
use serde::{Deserialize, Serialize};

/// `struct sched_attr` of `linux/sched/types.h`, version 1 (Linux 5.3).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SchedulerAttributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime_ns: u64,
    deadline_ns: u64,
    period_ns: u64,
    utilization_min: u32,
    utilization_max: u32,
}

const _: () = assert!(size_of::<SchedulerAttributes>() == 56, "SCHED_ATTR_SIZE_VER1");

impl SchedulerAttributes {
    /// A policy (`SCHED_*`), its flags (`SCHED_FLAG_*`), and its place for those policies that have one.
    pub(crate) fn new(policy: u32, flags: u64, nice: i32, priority: u32) -> Self {
        Self {
            size: 56,
            policy,
            flags,
            nice,
            priority,
            runtime_ns: 0,
            deadline_ns: 0,
            period_ns: 0,
            utilization_min: 0,
            utilization_max: 0,
        }
    }

    /// With the times of `SCHED_DEADLINE`.
    pub(crate) fn with_times(self, runtime_ns: u64, deadline_ns: u64, period_ns: u64) -> Self {
        Self { runtime_ns, deadline_ns, period_ns, ..self }
    }
}

/// Sets how the calling thread is scheduled.
pub(crate) fn set_scheduler(attributes: &SchedulerAttributes) -> io::Result<()> {
    let (caller, no_flags): (libc::pid_t, libc::c_uint) = (0, 0);
    // SAFETY: the structure is laid out as the kernel expects and tells its own size, which only `new` sets. It is read.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_setattr, caller, std::ptr::from_ref(attributes), no_flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `IOPRIO_WHO_PROCESS` of `linux/ioprio.h`.
const WHO_PROCESS: libc::c_int = 1;
/// Where the class begins in an I/O priority: `IOPRIO_CLASS_SHIFT`.
pub(crate) const IO_CLASS_SHIFT: u32 = 13;

/// Sets the I/O priority of the calling thread.
pub(crate) fn set_io_priority(priority: u16) -> io::Result<()> {
    let caller: libc::c_int = 0;
    // SAFETY: no memory is passed.
    let result =
        unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, caller, libc::c_int::from(priority)) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
