//! Containers that pass from one process to another, each of which judges the same request by itself.
//!
//! An agent keeps its containers for its life. A command line has none: each command is a process of its own, takes the
//! container over, does one thing, and hands it over to whatever command comes next. The agent never enables this: its
//! containers end with it, and nobody can make it believe that a process is a container.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use policy_engine::Permit;
use policy_engine::request::{CreateContainer, ShutdownContainer, Signal, SignalContainerProcess};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use super::process::{Exit, collect_when_ended};
use super::signal::send_to_all;
use super::{Container, Life, Process, RemoveError, SignalError};
use crate::cgroup::Cgroup;
use crate::cgroup::handover::CgroupPlace;
use crate::launcher::channel::Channel;
use crate::stdio::Stdio;

/// What a process needs to know of a container to take it over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Handover {
    init: Identity,
    stage: Stage,
    cgroup: CgroupPlace,
}

/// A process, also after its number was given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    pid: i32,
    /// When it was started, in clock ticks since boot.
    start_time_ticks: u64,
}

/// How far a container has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Its init waits for the word to start.
    Created,
    /// Its program was executed.
    Running,
    /// As [`Running`](Self::Running), and its processes are stopped where they are.
    Paused,
}

/// Why a container was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// Its init could not be looked for.
    #[error("the container's init cannot be looked for")]
    Init(#[source] io::Error),
    /// Its cgroup is gone or cannot be opened.
    #[error("the container's cgroup cannot be opened")]
    Cgroup(#[source] io::Error),
}

/// What was there to be taken over.
#[derive(Debug)]
pub enum TakenOver {
    /// A container; its init may have ended.
    Container(Box<Container>),
    /// Its init has ended and was collected.
    Remains(Remains),
}

/// What is left of a container whose init has ended.
#[derive(Debug)]
pub struct Remains {
    cgroup: Option<Cgroup>,
}

impl Handover {
    /// The number of the container's init.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.init.pid
    }

    /// How far the container has come.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Notes how far the container, which was taken over, has come since.
    pub fn note(&mut self, container: &Container) {
        self.stage = container.stage();
    }

    /// Whether its init lives. One that has ended is not collected.
    ///
    /// # Errors
    ///
    /// When it cannot be looked for.
    pub fn is_alive(&self) -> io::Result<bool> {
        let found = self.init.find()?;
        Ok(found.is_some_and(|(_, exit)| exit.wait_ended(Duration::ZERO).is_err()))
    }
}

/// What was found of a container.
struct Found {
    init: Option<(Pid, Arc<Exit>)>,
    cgroup: Option<Cgroup>,
    life: Life,
}

fn find(handover: &Handover, gate: Option<OwnedFd>) -> Result<Found, TakeOverError> {
    let init = handover.init.find().map_err(TakeOverError::Init)?;
    let init = init.map(|(pid, exit)| (pid, Arc::new(exit)));
    if let Some((_, exit)) = &init {
        collect_when_ended(exit).map_err(TakeOverError::Init)?;
    }
    let cgroup = Cgroup::take_over(&handover.cgroup).map_err(TakeOverError::Cgroup)?;
    // One that has ended and waits for its parent holds no cgroup: that may be gone before it is.
    let init = init.filter(|(_, exit)| cgroup.is_some() || exit.wait_ended(Duration::ZERO).is_err());
    let life = match (handover.stage, gate) {
        (Stage::Created, Some(gate)) => Life::Created(Channel::from_descriptor(gate)),
        // Nobody is at the other end.
        (Stage::Created, None) => Life::Created(Channel::pair().map_err(TakeOverError::Init)?.0),
        (Stage::Running, _) => Life::Running,
        (Stage::Paused, _) => Life::Paused,
    };
    Ok(Found { init, cgroup, life })
}

impl Container {
    /// What another process needs to know to take it over.
    ///
    /// # Errors
    ///
    /// When its init has ended and was collected already.
    pub fn handover(&self) -> io::Result<Handover> {
        let init = Identity::of(self.init.pid())?;
        Ok(Handover { init, stage: self.stage(), cgroup: self.cgroup.place() })
    }

    /// Gives it up without ending it. The descriptor is the only way to start one that was not started: when nobody has
    /// it any more, such a container ends.
    #[must_use]
    pub fn release(self) -> Option<OwnedFd> {
        self.cgroup.release();
        match self.life.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Life::Created(gate) => Some(gate.into_descriptor()),
            Life::Running | Life::Paused => None,
        }
    }

    /// Takes over the container that the permit names, as another process has handed it over. One that was not started
    /// can be started with `gate` alone. Dropping it ends nothing. How its init ended is not known here: that is told to
    /// its parent. Needs the context of a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`TakeOverError`]. The permit ends as *untouched*.
    pub fn take_over(
        permit: Permit<CreateContainer>,
        handover: &Handover,
        gate: Option<OwnedFd>,
    ) -> Result<TakenOver, TakeOverError> {
        match find(handover, gate) {
            Ok(Found { init: Some((pid, exit)), cgroup: Some(cgroup), life }) => {
                let args = permit.request().process.args.clone();
                Ok(TakenOver::Container(Box::new(Self {
                    grant: permit.done(),
                    init: Process::new(pid, args, exit, Stdio::Given),
                    life: Mutex::new(life),
                    execs: Mutex::default(),
                    cgroup,
                    unenforced: Vec::new(),
                    children: Arc::default(),
                })))
            }
            Ok(Found { init: None, cgroup, .. }) => {
                permit.done();
                Ok(TakenOver::Remains(Remains { cgroup }))
            }
            Ok(Found { init: Some(_), cgroup: None, .. }) => {
                permit.untouched();
                Err(TakeOverError::Cgroup(Errno::NOENT.into()))
            }
            Err(error) => {
                permit.untouched();
                Err(error)
            }
        }
    }

    /// The numbers of its processes.
    ///
    /// # Errors
    ///
    /// When the kernel does not list them.
    pub fn pids(&self) -> io::Result<Vec<i32>> {
        let mut pids = Vec::new();
        self.cgroup.for_each(|pid| {
            pids.push(pid.as_raw_nonzero().get());
            Ok(())
        })?;
        Ok(pids)
    }

    /// How far it has come.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match &*self.lock_life() {
            Life::Created(_) => Stage::Created,
            Life::Running => Stage::Running,
            Life::Paused => Stage::Paused,
        }
    }
}

impl Process {
    /// Sends it a signal that its own user has sent.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.exit().send(signal)
    }

    /// The agent's end of its terminal, if it has one.
    #[must_use]
    pub fn terminal(&self) -> Option<BorrowedFd<'_>> {
        self.stdio().terminal()
    }
}

impl Remains {
    /// Sends the signal that the permit names to all processes that are left: those of a container that shares its pid
    /// namespace outlive its init.
    ///
    /// # Errors
    ///
    /// [`SignalError`]. The permit ends as *untouched* then.
    pub fn signal(&self, permit: Permit<SignalContainerProcess>) -> Result<(), SignalError> {
        let sent = match (&self.cgroup, permit.request().signal) {
            (None, _) => Ok(()),
            (Some(cgroup), Signal::KILL) => cgroup.kill(),
            (Some(cgroup), signal) => send_to_all(cgroup, signal),
        };
        match sent {
            Ok(()) => drop(permit.done()),
            Err(_) => permit.untouched(),
        }
        sent.map_err(SignalError::Send)
    }

    /// Kills what still runs and removes the cgroup.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]. The permit ends as *unknown* then.
    pub fn remove(self, permit: Permit<ShutdownContainer>) -> Result<(), RemoveError> {
        let Some(cgroup) = self.cgroup else {
            permit.done();
            return Ok(());
        };
        let removed = cgroup
            .kill()
            .map_err(RemoveError::Kill)
            .and_then(|()| cgroup.remove().map_err(RemoveError::Cgroup));
        match removed {
            Ok(()) => drop(permit.done()),
            Err(_) => permit.unknown(),
        }
        removed
    }
}

impl Identity {
    /// That of a child that was not collected.
    fn of(pid: i32) -> io::Result<Self> {
        let start_time_ticks = start_time_ticks(pid)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { pid, start_time_ticks })
    }

    /// The process, unless it has ended and was collected.
    fn find(self) -> io::Result<Option<(Pid, Exit)>> {
        let number = Some(self.pid).filter(|number| *number > 0);
        let pid = number.and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        // First the descriptor: if the number is still this process's afterwards, so is the descriptor.
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let same = start_time_ticks(self.pid)? == Some(self.start_time_ticks);
        Ok(same.then(|| (pid, Exit::new(pidfd))))
    }
}

/// When a process was started (`proc_pid_stat(5)`, field 22); `None` when there is none.
fn start_time_ticks(pid: i32) -> io::Result<Option<u64>> {
    let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => return Ok(None),
        Err(error) => return Err(error),
    };
    // The second field is the name, which may hold anything; the third comes after the last parenthesis.
    let fields = text.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
    let value = fields.split(' ').nth(19).and_then(|field| field.parse().ok());
    value.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_not_found_by_its_number_alone() {
        let own = Identity::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.find().unwrap().is_some());
        let earlier = Identity { start_time_ticks: own.start_time_ticks + 1, ..own };
        assert!(earlier.find().unwrap().is_none());
        let nobody = Identity { pid: i32::MAX, ..own };
        assert!(nobody.find().unwrap().is_none());
        assert!(Identity { pid: 0, ..own }.find().is_err() && Identity { pid: -1, ..own }.find().is_err());
    }
}
