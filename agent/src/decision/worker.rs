//! The one thread that changes the guest.

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::Guest;

/// Changes that may wait. A shim has one or two under way.
const QUEUE_MAX: usize = 64;

type Job = Box<dyn FnOnce(&mut Guest) + Send>;

/// The queue of changes, and the thread that does them in order.
///
/// Attack: the client's timeout makes ttrpc drop a handler in the middle. A handler here only waits: what it
/// asked for runs to its end on the thread.
#[derive(Clone)]
pub(crate) struct Worker {
    queue: mpsc::Sender<Job>,
}

/// Too many changes wait, or the guest is going down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many changes are waiting")]
pub(crate) struct Overloaded;

impl Worker {
    /// Starts the thread, which owns `guest` from now on. It uses `runtime` to watch processes.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub(crate) fn start(mut guest: Guest, runtime: Handle) -> std::io::Result<Self> {
        let (queue, mut jobs) = mpsc::channel::<Job>(QUEUE_MAX);
        std::thread::Builder::new().name("guest".to_owned()).spawn(move || {
            let _runtime = runtime.enter();
            while let Some(job) = jobs.blocking_recv() {
                job(&mut guest);
            }
        })?;
        Ok(Self { queue })
    }

    /// Queues `change` and waits for what it returns.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Guest) -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |guest| {
            // The host may have given up waiting; what was done stays done.
            let _unheard = answer.send(change(guest));
        });
        self.queue.try_send(job).map_err(|_| Overloaded)?;
        answered.await.map_err(|_| Overloaded)
    }
}
