//! The two launcher processes, as the agent has them: one works, the other stands by.
//!
//! The agent cannot fork one when it has threads. But a launcher can: each of the two makes the other again when that
//! has died, with the same parent, the agent. Only when both die at once is there none left.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::channel::Channel;
use super::protocol::{LaunchStep, Order, Reply};
use super::{LaunchError, REPLY_TIMEOUT, StartError, server};
use crate::container::process::Exit;
use crate::sys::process::{ForkError, fork};

/// The agent's end of a launcher process. Dropping it kills the process; what it started lives on.
#[derive(Debug)]
pub(super) struct LauncherProcess {
    orders: Channel,
    process: Exit,
}

/// The launcher that works and the one that stands by.
#[derive(Debug)]
pub(super) struct Pair {
    working: Option<Arc<LauncherProcess>>,
    standby: Option<Arc<LauncherProcess>>,
}

impl Pair {
    /// Forks the first and has it make the second.
    pub(super) fn fork() -> Result<Self, StartError> {
        let working = LauncherProcess::fork()?;
        let standby = working.make_another().map_err(StartError::Standby)?;
        Ok(Self { working: Some(Arc::new(working)), standby: Some(Arc::new(standby)) })
    }

    /// Has the one that is left make the other again.
    pub(super) fn complete(&mut self) {
        for one in [&mut self.working, &mut self.standby] {
            if one.as_ref().is_some_and(|process| process.has_ended()) {
                *one = None;
            }
        }
        let (missing, left) = match (&mut self.working, &mut self.standby) {
            (missing @ None, left @ Some(_)) | (left @ Some(_), missing @ None) => (missing, left),
            (None, None) | (Some(_), Some(_)) => return,
        };
        match left.as_ref().map(|process| process.make_another()) {
            Some(Ok(made)) => *missing = Some(Arc::new(made)),
            // It has died as well, or is out of step.
            Some(Err(LaunchError::Gone(_))) => *left = None,
            // The next attempt may find memory for it.
            Some(Err(_)) | None => {}
        }
    }

    /// The one that works.
    pub(super) fn working(&mut self) -> Result<Arc<LauncherProcess>, LaunchError> {
        self.complete();
        self.working.clone().ok_or_else(|| LaunchError::Gone(Errno::PIPE.into()))
    }
}

impl LauncherProcess {
    /// Forks the agent, which has one thread.
    fn fork() -> Result<Self, StartError> {
        let (ours, theirs) = Channel::pair().map_err(StartError::Socket)?;
        let pid = fork(|token| server::run(token, theirs)).map_err(|error| {
            StartError::Fork(match error {
                ForkError::Fork(source) => source,
                error @ (ForkError::Count(_) | ForkError::Threads { .. }) => io::Error::other(error),
            })
        })?;
        let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| StartError::Fork(errno.into()))?;
        // Dropping it on an error collects the process.
        let launcher = Self { orders: ours, process: Exit::new(process) };
        launcher.orders.set_receive_timeout(REPLY_TIMEOUT).map_err(StartError::Socket)?;
        launcher.orders.set_send_timeout(REPLY_TIMEOUT).map_err(StartError::Socket)?;
        let isolated = match launcher.orders.receive() {
            Ok(Some((bytes, _))) => match Reply::decode(&bytes) {
                Some(Reply::Started(_)) => Ok(()),
                Some(Reply::Failed(_, errno)) => Err(io::Error::from_raw_os_error(errno)),
                None => Err(io::ErrorKind::InvalidData.into()),
            },
            Ok(None) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => Err(error),
        };
        isolated.map_err(StartError::Isolate).map(|()| launcher)
    }

    /// Has this one make another.
    fn make_another(&self) -> Result<Self, LaunchError> {
        let (ours, theirs) = Channel::pair().map_err(LaunchError::Order)?;
        ours.set_send_timeout(REPLY_TIMEOUT).map_err(LaunchError::Order)?;
        // One that is made and not told of finds its channel closed, and ends.
        let (_, process) = self.launch(Order::Launcher, &[theirs.as_fd()])?;
        Ok(Self { orders: ours, process: Exit::new(process) })
    }

    fn has_ended(&self) -> bool {
        let mut polled = [PollFd::new(&self.process, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }

    /// Gives an order. After [`LaunchError::Gone`] this process is of no use any more, and to be [ended](Self::end).
    pub(super) fn launch(
        &self,
        order: Order,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(Pid, OwnedFd), LaunchError> {
        let (replies, theirs) = Channel::pair().map_err(LaunchError::Order)?;
        replies.set_receive_timeout(REPLY_TIMEOUT).map_err(LaunchError::Order)?;
        let passed: Vec<_> = std::iter::once(theirs.as_fd()).chain(descriptors.iter().copied()).collect();
        let sent = self.orders.send(&order.encode(), &passed);
        // From here on the launcher alone can reply: when it dies, the channel ends.
        drop(theirs);
        let (bytes, mut descriptors) = match sent.and_then(|()| replies.receive()) {
            Ok(Some(reply)) => reply,
            Ok(None) => return Err(LaunchError::Gone(Errno::PIPE.into())),
            // An order that never left changes nothing.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(LaunchError::Order(error));
            }
            Err(error) => return Err(LaunchError::Gone(error)),
        };
        match (Reply::decode(&bytes), descriptors.pop()) {
            (Some(Reply::Started(pid)), Some(pidfd)) => Ok((pid, pidfd)),
            (Some(Reply::Failed(step, errno)), _) => Err(match step {
                LaunchStep::Order => LaunchError::Order(io::Error::from_raw_os_error(errno)),
                LaunchStep::Namespace => LaunchError::Namespace(io::Error::from_raw_os_error(errno)),
                LaunchStep::Clone => LaunchError::Clone(io::Error::from_raw_os_error(errno)),
            }),
            (Some(Reply::Started(_)) | None, _) => Err(LaunchError::Gone(Errno::PROTO.into())),
        }
    }
}

impl LauncherProcess {
    /// Ends it. When it is collected already there is nothing to wait for.
    pub(super) fn end(&self) {
        // Killed and not only told: one that hangs could go on with an order that the agent gave up.
        let _ = self.process.end(REPLY_TIMEOUT);
    }
}

impl Drop for LauncherProcess {
    fn drop(&mut self) {
        self.end();
    }
}
