//! The launcher: a small process with one thread that starts the processes of containers.
//!
//! The agent has many threads and must not fork. Before it starts any, it forks the launcher, which keeps nothing of
//! the agent but one socket and lives in a mount namespace with nothing in it. For each order the launcher makes a
//! *sibling* of itself: the agent is the parent of every container process, waits for it, and does not lose it when
//! the launcher dies. The new process sets itself up ([`crate::container`]) by a plan that the launcher does not read.
//!
//! A second launcher stands by, and makes the first again when that has died; the first makes the second.

pub(crate) mod channel;
mod home;
mod pair;
pub(crate) mod protocol;
pub(crate) mod refuge;
mod registry;
mod server;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use policy_engine::authority::BootAuthority;
use rustix::process::Pid;

use self::pair::Pair;
use self::protocol::Order;
pub(crate) use self::registry::{Registration, Registry};

/// How long the agent waits for the launcher, which does nothing that takes long.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// The agent's side of the launcher processes. Dropping it ends them; containers live on.
#[derive(Debug)]
pub struct Launcher {
    pair: Mutex<Pair>,
    registry: Arc<Registry>,
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
    /// It could not make the one that stands by.
    #[error("the launcher process could not make another")]
    Standby(#[source] LaunchError),
}

/// Why the launcher started no process.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The launcher has died over this order, or did not answer. Another takes its place; what the order had begun is
    /// ended by the caller.
    #[error("the launcher process is gone")]
    Gone(#[source] io::Error),
    /// The launcher did not understand the order.
    #[error("the launcher refused the order")]
    Order(#[source] io::Error),
    /// The container has ended, or a namespace could not be joined.
    #[error("a namespace could not be entered")]
    Namespace(#[source] io::Error),
    /// The kernel made no process.
    #[error("no process could be made")]
    Clone(#[source] io::Error),
}

impl Launcher {
    /// Starts the launcher processes. This comes before the first thread.
    ///
    /// # Errors
    ///
    /// [`StartError`]: the process has other threads, or the launcher could not isolate itself.
    pub fn start(_: &BootAuthority) -> Result<Self, StartError> {
        Ok(Self { pair: Mutex::new(Pair::fork()?), registry: Arc::default() })
    }

    /// Collects children that have ended and that nobody waits for: the duty of a process with the number 1, which
    /// every orphan of the guest falls to. Makes a launcher again that was among them. To be called on `SIGCHLD`; never
    /// takes the status of a container's process.
    pub fn reap_orphans(&self) {
        self.registry.collect();
        self.lock_pair().complete();
    }

    /// The registry of awaited children.
    pub(crate) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }

    /// Holds the registry of awaited children, for [`launch`](Self::launch).
    pub(crate) fn hold_registry(&self) -> Registration<'_> {
        self.registry.hold()
    }

    /// Starts a process. The held registry keeps [`reap_orphans`](Self::reap_orphans) away until it is registered. Many
    /// may do so at once: the launcher carries their orders out one after the other, and none waits for a reply to
    /// another's. A launcher that dies over the order has ended when this returns, and starts nothing any more.
    pub(crate) fn launch(
        &self,
        _: &Registration<'_>,
        order: Order,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(Pid, OwnedFd), LaunchError> {
        // One that has died by now is replaced first.
        let working = self.lock_pair().working()?;
        let launched = working.launch(order, descriptors);
        if matches!(launched, Err(LaunchError::Gone(_))) {
            working.end();
            self.lock_pair().complete();
        }
        launched
    }

    fn lock_pair(&self) -> MutexGuard<'_, Pair> {
        self.pair.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
