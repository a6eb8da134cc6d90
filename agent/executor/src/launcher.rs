//! The launcher: a small process with one thread that starts the processes of containers.
//!
//! The agent has many threads and must not fork. Before it starts any, it forks the launcher, which keeps nothing of
//! the agent but one socket and lives in a mount namespace with nothing in it. For each order the launcher makes a
//! *sibling* of itself: the agent is the parent of every container process, waits for it, and does not lose it when
//! the launcher dies. The new process sets itself up ([`crate::container`]) by a plan that the launcher does not read.

pub(crate) mod channel;
pub(crate) mod protocol;
pub(crate) mod refuge;
mod registry;
mod server;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use policy_engine::authority::BootAuthority;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use self::channel::Channel;
use self::protocol::{LaunchStep, Order, Reply};
pub(crate) use self::registry::{Registration, Registry};
use crate::sys::process::{ForkError, fork};

/// How long the agent waits for the launcher, which does nothing that takes long.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// The agent's side of the launcher process. Dropping it ends the process; containers live on.
#[derive(Debug)]
pub struct Launcher {
    /// Taken out for good when the launcher is gone: a late reply must not answer another order.
    orders: Mutex<Option<Channel>>,
    process: OwnedFd,
    registry: Registry,
}

/// Why there is no launcher.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process has more threads than one already, or cannot fork.
    #[error("the launcher process could not be forked")]
    Fork(#[source] io::Error),
    /// Its socket could not be made.
    #[error("the socket to the launcher could not be made")]
    Socket(#[source] io::Error),
    /// It could not give up what it inherited, or move out of the guest's mounts.
    #[error("the launcher process could not isolate itself")]
    Isolate(#[source] io::Error),
}

/// Why the launcher started no process.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The launcher has died or does not answer. It is not started again.
    #[error("the launcher process is gone")]
    Gone(#[source] io::Error),
    /// The launcher did not understand the order.
    #[error("the launcher refused the order")]
    Order(#[source] io::Error),
    /// The container has ended.
    #[error("the container's pid namespace could not be entered")]
    Namespace(#[source] io::Error),
    /// The kernel made no process.
    #[error("no process could be made")]
    Clone(#[source] io::Error),
}

impl Launcher {
    /// Starts the launcher process. This comes before the first thread.
    ///
    /// # Errors
    ///
    /// [`StartError`]: the process has other threads, or the launcher could not isolate itself.
    pub fn start(_: &BootAuthority) -> Result<Self, StartError> {
        let (ours, theirs) = Channel::pair().map_err(StartError::Socket)?;
        let pid = fork(|token| server::run(token, theirs)).map_err(|error| {
            StartError::Fork(match error {
                ForkError::Fork(source) => source,
                error @ (ForkError::Count(_) | ForkError::Threads { .. }) => io::Error::other(error),
            })
        })?;
        let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| StartError::Fork(errno.into()))?;
        ours.set_receive_timeout(REPLY_TIMEOUT).map_err(StartError::Socket)?;
        let isolated = match ours.receive() {
            Ok(Some((bytes, _))) => match Reply::decode(&bytes) {
                Some(Reply::Started(_)) => Ok(()),
                Some(Reply::Failed(_, errno)) => Err(io::Error::from_raw_os_error(errno)),
                None => Err(io::ErrorKind::InvalidData.into()),
            },
            Ok(None) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => Err(error),
        };
        // Dropping it on an error collects the process.
        let launcher = Self { orders: Mutex::new(Some(ours)), process, registry: Registry::default() };
        isolated.map_err(StartError::Isolate).map(|()| launcher)
    }

    /// Collects children that have ended and that nobody waits for: the duty of a process with the number 1, which
    /// every orphan of the guest falls to. To be called on `SIGCHLD`; never takes the status of a container's process.
    pub fn reap_orphans(&self) {
        self.registry.collect();
    }

    /// Holds the registry of awaited children, for [`launch`](Self::launch).
    pub(crate) fn hold_registry(&self) -> Registration<'_> {
        self.registry.hold()
    }

    /// Starts a process. The held registry keeps [`reap_orphans`](Self::reap_orphans) away until it is registered.
    pub(crate) fn launch(
        &self,
        _: &Registration<'_>,
        order: Order,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(Pid, OwnedFd), LaunchError> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = orders.as_ref().ok_or_else(|| LaunchError::Gone(Errno::PIPE.into()))?;
        let reply = channel.send(&order.encode(), descriptors).and_then(|()| channel.receive());
        let (bytes, mut descriptors) = match reply {
            Ok(Some(reply)) => reply,
            Ok(None) => {
                *orders = None;
                return Err(LaunchError::Gone(Errno::PIPE.into()));
            }
            // An order that never left changes nothing; after any other failure the two sides may be out of step.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(LaunchError::Order(error));
            }
            Err(error) => {
                *orders = None;
                return Err(LaunchError::Gone(error));
            }
        };
        match (Reply::decode(&bytes), descriptors.pop()) {
            (Some(Reply::Started(pid)), Some(pidfd)) => Ok((pid, pidfd)),
            (Some(Reply::Failed(step, errno)), _) => Err(match step {
                LaunchStep::Order => LaunchError::Order(io::Error::from_raw_os_error(errno)),
                LaunchStep::Namespace => LaunchError::Namespace(io::Error::from_raw_os_error(errno)),
                LaunchStep::Clone => LaunchError::Clone(io::Error::from_raw_os_error(errno)),
            }),
            (Some(Reply::Started(_)) | None, _) => {
                *orders = None;
                Err(LaunchError::Gone(Errno::PROTO.into()))
            }
        }
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        drop(self.orders.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        // It ends at once when its socket closes. When it is collected already there is nothing to wait for.
        let _ = waitid(WaitId::PidFd(self.process.as_fd()), WaitIdOptions::EXITED);
    }
}
