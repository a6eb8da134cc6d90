//! A process of a container: waiting for it and its streams.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::libc;
use policy_engine::request::{Signal, TerminalSize};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus, waitid};
use tokio::io::Interest;
use tokio::sync::watch;

use crate::stdio::{Stdio, StdioError};
use crate::sys::reactor::register;
use crate::sys::signals;

/// How often the children that nobody knows by name are looked after while somebody waits for an init.
const COLLECT_INTERVAL: Duration = Duration::from_millis(20);

/// How a process ended: its exit status, or 128 and the number of the signal that ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitCode(i32);

impl ExitCode {
    /// That of a process whose parent is somebody else.
    const UNKNOWN: Self = Self(255);

    /// The code, 0 to 255.
    #[must_use]
    pub fn get(self) -> i32 {
        self.0
    }

    fn new(status: &WaitIdStatus) -> Self {
        let signal = status.terminating_signal().map(|signal| signal.saturating_add(128));
        Self(status.exit_status().or(signal).unwrap_or(Self::UNKNOWN.0))
    }
}

/// The end of a child: collected once, told to everyone who waits.
#[derive(Debug)]
pub(crate) struct Exit {
    pidfd: OwnedFd,
    /// Held while the child is collected.
    collecting: Mutex<()>,
    code: watch::Sender<Option<ExitCode>>,
}

impl Exit {
    pub(crate) fn new(pidfd: OwnedFd) -> Self {
        Self { pidfd, collecting: Mutex::new(()), code: watch::Sender::new(None) }
    }

    /// How it ended, if it has and was collected.
    pub(crate) fn status(&self) -> Option<ExitCode> {
        *self.code.borrow()
    }

    /// Collects the child if it has ended.
    pub(crate) fn try_collect(&self) {
        let held = self.collecting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.status().is_none() {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
                Ok(Some(status)) => drop(self.code.send_replace(Some(ExitCode::new(&status)))),
                // Only its parent is told how it ended.
                Err(Errno::CHILD) if self.wait_ended(Duration::ZERO).is_ok() => {
                    self.code.send_replace(Some(ExitCode::UNKNOWN));
                }
                Ok(None) | Err(_) => {}
            }
        }
        drop(held);
    }

    /// Whether a signal has stopped it; whoever traces it is no signal.
    pub(crate) fn is_stopped(&self) -> bool {
        // Not collected: it is asked again and again.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), options);
        status.is_ok_and(|status| status.is_some_and(|status| status.stopped()))
    }

    /// Does something to the child by its number, unless it was collected: that number could be another's then.
    pub(crate) fn unless_collected<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let held = self.collecting.lock().unwrap_or_else(PoisonError::into_inner);
        let done = match self.status() {
            None => act(),
            Some(_) => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        };
        drop(held);
        done
    }

    /// Blocks until the child has ended, at most `timeout`, and collects it.
    pub(crate) fn wait_blocking(&self, timeout: Duration) -> io::Result<()> {
        self.wait_ended(timeout)?;
        self.try_collect();
        Ok(())
    }

    /// Blocks until the child has ended, at most `timeout`, and leaves it to be collected.
    pub(crate) fn wait_ended(&self, timeout: Duration) -> io::Result<()> {
        let mut polled = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let timeout = timeout.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
        if poll(&mut polled, Some(&timeout))? == 0 { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    /// As [`wait_blocking`](Self::wait_blocking), for the init of a container, which ends only after every child of the
    /// agent in its pid namespace was collected, also one that nobody knows by name: `collect` is called while it waits.
    pub(crate) fn wait_collecting(&self, timeout: Duration, collect: impl Fn()) -> io::Result<()> {
        let began = Instant::now();
        loop {
            match self.wait_blocking(COLLECT_INTERVAL) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut && began.elapsed() < timeout => {
                    collect()
                }
                waited => return waited,
            }
        }
    }

    /// Sends a signal. A process that has ended needs none.
    pub(crate) fn send(&self, signal: Signal) -> io::Result<()> {
        match signals::send(self.pidfd.as_fd(), signal) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other,
        }
    }

    /// Kills the child and collects it.
    pub(crate) fn end(&self, timeout: Duration) -> io::Result<()> {
        self.send(Signal::KILL)?;
        self.wait_blocking(timeout)
    }

    /// Waits until the child was collected.
    async fn wait(&self) -> ExitCode {
        let mut code = self.code.subscribe();
        let code = code.wait_for(Option::is_some).await.map(|code| *code);
        // The sender is in `self`: there is no error. One would mean that nobody will ever know the code.
        code.ok().flatten().unwrap_or(ExitCode::UNKNOWN)
    }
}

impl AsFd for Exit {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Collects the child as soon as it ends, whether anybody waits or not: the init of a container cannot end before its
/// other processes are collected. Needs the context of a tokio runtime.
pub(crate) fn collect_when_ended(exit: &Arc<Exit>) -> io::Result<()> {
    let watched = register(exit.pidfd.try_clone()?, Interest::READABLE)?;
    let exit = Arc::clone(exit);
    tokio::spawn(async move {
        while exit.status().is_none() {
            let Ok(mut ready) = watched.readable().await else { return };
            exit.try_collect();
            ready.clear_ready();
        }
    });
    Ok(())
}

/// A process of a container. Clones speak of the same one.
#[derive(Debug, Clone)]
pub struct Process(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pid: Pid,
    args: Vec<String>,
    exit: Arc<Exit>,
    stdio: Stdio,
}

impl Process {
    pub(crate) fn new(pid: Pid, args: Vec<String>, exit: Arc<Exit>, stdio: Stdio) -> Self {
        Self(Arc::new(Inner { pid, args, exit, stdio }))
    }

    /// Whether both speak of the same process.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Its number in the guest.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.0.pid.as_raw_nonzero().get()
    }

    /// The argument list that it was started with.
    #[must_use]
    pub fn args(&self) -> &[String] {
        &self.0.args
    }

    /// Waits for its end. Any number of callers may wait; one that goes away changes nothing.
    pub async fn wait(&self) -> ExitCode {
        self.0.exit.wait().await
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn try_status(&self) -> Option<ExitCode> {
        self.0.exit.try_collect();
        self.0.exit.status()
    }

    /// Whether it does something of its own when it gets `signal`: it handles, ignores or blocks it. The init of a
    /// container that does not would survive it.
    #[must_use]
    pub fn minds(&self, signal: Signal) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        // Only what was read of a process that still lives was read of this one.
        self.try_status().is_none() && minds(&status, signal)
    }

    /// Reads standard output: a long poll for at most `length_max` bytes (and 32 KiB). Empty is the end.
    ///
    /// # Errors
    ///
    /// [`StdioError`]: policy grants no access, or the kernel fails.
    pub async fn read_stdout(&self, length_max: usize) -> Result<Vec<u8>, StdioError> {
        self.0.stdio.read_output(length_max, self.ended()).await
    }

    /// Reads standard error, as [`read_stdout`](Self::read_stdout) does.
    ///
    /// # Errors
    ///
    /// [`StdioError`]: policy grants no access, a terminal has no such stream, or the kernel fails.
    pub async fn read_stderr(&self, length_max: usize) -> Result<Vec<u8>, StdioError> {
        self.0.stdio.read_error(length_max, self.ended()).await
    }

    /// Writes to standard input. The result is how many of `bytes` were taken; there may be fewer than were given.
    ///
    /// # Errors
    ///
    /// [`StdioError`]: policy grants no access, standard input is closed, or the kernel fails.
    pub async fn write_stdin(&self, bytes: &[u8]) -> Result<usize, StdioError> {
        self.0.stdio.write_input(bytes, self.ended()).await
    }

    /// Closes standard input, also under a write that waits.
    ///
    /// # Errors
    ///
    /// [`StdioError::Denied`] where policy grants no access.
    pub fn close_stdin(&self) -> Result<(), StdioError> {
        self.0.stdio.close_input()
    }

    /// Sets the size of the terminal.
    ///
    /// # Errors
    ///
    /// [`StdioError`]: policy grants no access, there is no terminal, or the kernel fails.
    pub fn resize(&self, size: TerminalSize) -> Result<(), StdioError> {
        self.0.stdio.resize(size)
    }

    pub(crate) fn exit(&self) -> &Exit {
        &self.0.exit
    }

    #[cfg(feature = "handover")]
    pub(crate) fn stdio(&self) -> &Stdio {
        &self.0.stdio
    }

    pub(crate) fn into_exit(self) -> Arc<Exit> {
        Arc::clone(&self.0.exit)
    }

    async fn ended(&self) {
        self.0.exit.wait().await;
    }
}

/// Whether `proc_pid_status(5)` lists `signal` as caught, ignored or blocked.
fn minds(status: &str, signal: Signal) -> bool {
    let bit = 1_u64.checked_shl(u32::from(signal.number()).saturating_sub(1)).unwrap_or_default();
    let masks = status.lines().filter_map(|line| {
        let (key, mask) = line.split_once(':')?;
        matches!(key, "SigBlk" | "SigIgn" | "SigCgt").then(|| u64::from_str_radix(mask.trim(), 16).ok())?
    });
    masks.fold(0, |all, mask| all | mask) & bit != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handled_ignored_and_blocked_signals_are_minded() {
        let status =
            "Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000004000\n";
        let minded = |number| minds(status, Signal::new(number).unwrap());
        assert!(minded(1) && minded(13) && minded(15));
        assert!(!minded(2) && !minded(9) && !minded(64));
        assert!(!minds("", Signal::TERM));
    }
}
