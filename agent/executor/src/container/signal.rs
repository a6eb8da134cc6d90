//! Signals to the processes of a container.

use std::io;
use std::os::fd::AsFd as _;

use policy_engine::Permit;
use policy_engine::request::{Signal, SignalContainerProcess};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{Container, Life};
use crate::cgroup::Cgroup;
use crate::sys::signals;

/// Why a signal was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// The permit is for another container.
    #[error("the permit names another container")]
    OtherContainer,
    /// The container has no process of this id.
    #[error("the container has no such process")]
    UnknownProcess,
    /// The kernel said no.
    #[error("the signal could not be sent")]
    Send(#[source] io::Error),
}

impl Container {
    /// Sends the signal that the permit names, to one process or to all. A process that has ended needs none.
    ///
    /// # Errors
    ///
    /// [`SignalError`]. A signal changes nothing that policy keeps: the permit ends as *untouched* then.
    pub fn signal(&self, permit: Permit<SignalContainerProcess>) -> Result<(), SignalError> {
        match self.deliver(permit.request()) {
            Ok(()) => {
                permit.done();
                Ok(())
            }
            Err(error) => {
                permit.untouched();
                Err(error)
            }
        }
    }

    fn deliver(&self, request: &SignalContainerProcess) -> Result<(), SignalError> {
        if request.container_id != *self.id() {
            return Err(SignalError::OtherContainer);
        }
        let process = self.process(request.exec_id.as_ref()).ok_or(SignalError::UnknownProcess)?;
        match (request.all, request.signal) {
            (false, signal) => process.exit().send(signal),
            (true, Signal::KILL) => self.cgroup.kill(),
            (true, signal) => self.send_to_all(signal),
        }
        .map_err(SignalError::Send)
    }

    /// Sends a signal to every process while none of them runs. In a paused container they take it when they go on.
    fn send_to_all(&self, signal: Signal) -> io::Result<()> {
        let life = self.lock_life();
        if matches!(*life, Life::Paused) {
            return self.cgroup.for_each(|pid| send(pid, signal));
        }
        send_to_all(&self.cgroup, signal)
    }
}

/// Sends a signal to every process of a cgroup while none of them runs.
pub(super) fn send_to_all(cgroup: &Cgroup, signal: Signal) -> io::Result<()> {
    cgroup.freeze()?;
    let sent = cgroup.for_each(|pid| send(pid, signal));
    cgroup.thaw()?;
    sent
}

/// Sends a signal to a process that is frozen: its number is not used for another one meanwhile, unless it was killed,
/// which is found by its descriptor.
fn send(pid: Pid, signal: Signal) -> io::Result<()> {
    let sent = pidfd_open(pid, PidfdFlags::empty())
        .map_err(io::Error::from)
        .and_then(|pidfd| signals::send(pidfd.as_fd(), signal));
    match sent {
        Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Ok(()),
        other => other,
    }
}
