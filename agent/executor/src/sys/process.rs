//! Starting processes, and ending one without unwinding into its parent's code.
//!
//! UNSAFETY: `fork`, `clone3` and `_exit` have no safe wrappers. A child of a threaded process may find locks held by
//! threads that it does not have; so there is a check that there are none, and a token that carries its result.

#![expect(unsafe_code, reason = "fork, clone3 and _exit have no safe wrappers")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::libc;
use rustix::process::Pid;
use rustix::thread::ThreadNameSpaceType;

/// Proof that the process has one thread: only the child of [`fork`] holds one.
#[derive(Debug)]
pub(crate) struct SingleThreaded(());

/// Why there is no child.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForkError {
    /// The threads could not be counted.
    #[error("the threads of the process cannot be counted")]
    Count(#[source] io::Error),
    /// A forked child would find the locks of the other threads held forever.
    #[error("the process has {count} threads, not one")]
    Threads {
        /// How many there are.
        count: usize,
    },
    /// The kernel made no process.
    #[error("no process could be made")]
    Fork(#[source] io::Error),
}

/// Forks a process that runs `child` and ends with what it returns as its exit code.
pub(crate) fn fork(child: impl FnOnce(&SingleThreaded) -> u8) -> Result<Pid, ForkError> {
    let count = std::fs::read_dir("/proc/self/task").map_err(ForkError::Count)?.count();
    if count != 1 {
        return Err(ForkError::Threads { count });
    }
    // SAFETY: the process has one thread (checked above), so no lock is held by a thread that the child lacks.
    match unsafe { libc::fork() } {
        0 => {
            // A panic must not unwind into code that believes to be the parent.
            let code = catch_unwind(AssertUnwindSafe(|| child(&SingleThreaded(())))).unwrap_or(101);
            exit(code)
        }
        pid => {
            Pid::from_raw(pid).filter(|_| pid > 0).ok_or_else(|| ForkError::Fork(io::Error::last_os_error()))
        }
    }
}

/// Ends the process at once: no destructor, exit handler or buffer of the parent's runs twice.
pub(crate) fn exit(code: u8) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(i32::from(code)) }
}

/// `struct clone_args` of `linux/sched.h`, version 2 (Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const _: () = assert!(size_of::<CloneArgs>() == 88, "CLONE_ARGS_SIZE_VER2");

/// Which of the two processes this is.
#[derive(Debug)]
pub(crate) enum Cloned {
    /// The new one.
    Child,
    /// The one that called.
    Parent {
        /// The child, as the caller's pid namespace numbers it.
        pid: Pid,
        /// The child, whatever happens to its number.
        pidfd: OwnedFd,
    },
}

/// Starts a sibling of the caller: the caller's parent is its parent, and is told when it ends.
///
/// The child is born in `cgroup`, or in that of the caller, and in new namespaces of the kinds in `namespaces`.
pub(crate) fn clone_sibling(
    token: &SingleThreaded,
    namespaces: ThreadNameSpaceType,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Cloned> {
    let plain = u64::from((libc::CLONE_PARENT | libc::CLONE_PIDFD).unsigned_abs() | namespaces.bits());
    let (into_cgroup, cgroup) =
        cgroup.map_or((0, 0), |cgroup| (CLONE_INTO_CGROUP, u64::from(cgroup.as_raw_fd().unsigned_abs())));
    clone(token, CloneArgs { flags: plain | into_cgroup, cgroup, ..CloneArgs::default() })
}

/// Starts a child of the caller, which shares its cgroup and its namespaces and has a copy of the rest.
pub(crate) fn clone_child(token: &SingleThreaded) -> io::Result<Cloned> {
    let flags = u64::from(libc::CLONE_PIDFD.unsigned_abs());
    let exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    clone(token, CloneArgs { flags, exit_signal, ..CloneArgs::default() })
}

/// Clones the process; its flags ask for a pidfd.
fn clone(_: &SingleThreaded, arguments: CloneArgs) -> io::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    let mut arguments = CloneArgs { pidfd: (&raw mut pidfd).expose_provenance() as u64, ..arguments };
    // SAFETY: the structure has the layout and size that the kernel expects. Without `CLONE_VM` and with no stack
    // given the child goes on with a copy of this stack, as after `fork`; the token says that no other thread exists.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<CloneArgs>()) };
    match i32::try_from(result) {
        Ok(0) => Ok(Cloned::Child),
        Ok(pid) if pid > 0 && pidfd >= 0 => {
            // SAFETY: the kernel has just stored a new descriptor there, which nothing else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Pid::from_raw(pid)
                .map(|pid| Cloned::Parent { pid, pidfd })
                .ok_or(io::ErrorKind::InvalidData.into())
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// `linux/sched.h`; not in `libc`'s `int` constants, for it does not fit one.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
