//! What the host does to a container's time and memory.

use policy_engine::ContainerId;
use policy_engine::request::{PauseContainer, ResumeContainer, UpdateContainer};

use super::{Guest, OperationError};
use executor::cgroup::Limit;
use executor::container::Container;

/// The most containers that ran out of memory and that the host has not been told of.
const OOM_EVENTS_MAX: usize = 100;

/// Containers that run out of memory, for the guest to name.
#[derive(Debug, Clone)]
pub(crate) struct OomEvents(tokio::sync::mpsc::Sender<ContainerId>);

/// Containers that ran out of memory, for the host to be told of.
pub(crate) type OomReceiver = tokio::sync::mpsc::Receiver<ContainerId>;

impl OomEvents {
    pub(crate) fn channel() -> (Self, OomReceiver) {
        let (sender, receiver) = tokio::sync::mpsc::channel(OOM_EVENTS_MAX);
        (Self(sender), receiver)
    }

    /// Names `container` each time that it runs out of memory, until it or `self` is gone. Needs a runtime.
    pub(super) fn watch(&self, container: &Container) {
        let id = container.id();
        let mut watch = match container.watch_oom() {
            Ok(watch) => watch,
            Err(error) => {
                tracing::info!("container {id} is not watched for running out of memory: {error}");
                return;
            }
        };
        let (sender, id) = (self.0.downgrade(), id.clone());
        tokio::spawn(async move {
            while watch.next().await.is_some() {
                let Some(sender) = sender.upgrade() else { return };
                // A host that does not ask is told less.
                let _full = sender.try_send(id.clone());
            }
        });
    }
}

impl Guest {
    /// Stops a container's processes.
    pub(crate) fn pause(&mut self, request: PauseContainer) -> Result<(), OperationError> {
        let container = self.container(&request.container_id)?;
        container.pause(self.engine.decide(request)?).map_err(OperationError::Pause)
    }

    /// Lets a paused container's processes go on.
    pub(crate) fn resume(&mut self, request: ResumeContainer) -> Result<(), OperationError> {
        let container = self.container(&request.container_id)?;
        container.resume(self.engine.decide(request)?).map_err(OperationError::Pause)
    }

    /// Changes a container's limits.
    pub(crate) fn update(&mut self, request: UpdateContainer) -> Result<(), OperationError> {
        let container = self.container(&request.container_id)?;
        let unenforced = container.update(self.engine.decide(request)?).map_err(OperationError::Update)?;
        log_unenforced(container, &unenforced);
        Ok(())
    }
}

/// Writes a line about limits that were asked for and do not hold: for the guest, since the host made them.
pub(super) fn log_unenforced(container: &Container, unenforced: &[Limit]) {
    if !unenforced.is_empty() {
        let limits: Vec<String> = unenforced.iter().map(Limit::to_string).collect();
        tracing::info!("container {} runs without these limits: {}", container.id(), limits.join(", "));
    }
}
