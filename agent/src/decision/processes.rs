//! Processes of containers: start, exec, signals, statistics.

use executor::cgroup::Stats;
use executor::container::{Container, Process};
use policy_engine::ContainerId;
use policy_engine::request::{ExecInContainer, GetProperties, Signal, SignalContainerProcess};

use super::{Guest, OperationError};
use crate::inventory::{EXECS_MAX, ProcessKey, Resident};

impl Guest {
    /// Starts a container that was created.
    pub(crate) fn start_container(&mut self, id: &ContainerId) -> Result<(), OperationError> {
        let container = self.container(id)?;
        container.start().map_err(OperationError::Start)?;
        if let Some(events) = &self.oom_events {
            events.watch(container);
        }
        Ok(())
    }

    /// Starts another process in a running container.
    pub(crate) fn exec(&mut self, mut request: ExecInContainer) -> Result<(), OperationError> {
        let key =
            ProcessKey { container_id: request.container_id.clone(), exec_id: Some(request.exec_id.clone()) };
        let resident = self.resident(&request.container_id)?;
        if self.inventory.processes.get(&key).is_some() {
            return Err(OperationError::Exists { what: "process" });
        }
        if self.inventory.processes.count(&request.container_id) > EXECS_MAX {
            return Err(OperationError::State { needed: "too many processes were not waited for" });
        }
        resident.users.name(&mut request.process.user);
        let permit = self.engine.decide(request)?;
        let process = resident.container.exec(&self.launcher, permit).map_err(OperationError::Exec)?;
        self.inventory.processes.insert(key, process);
        Ok(())
    }

    /// Sends a signal. `args` of the request is filled in here: what the process was started with is the
    /// guest's knowledge.
    pub(crate) fn signal(&mut self, mut request: SignalContainerProcess) -> Result<(), OperationError> {
        let key = ProcessKey { container_id: request.container_id.clone(), exec_id: request.exec_id.clone() };
        let container = self.container(&request.container_id)?;
        let process =
            self.inventory.processes.get(&key).ok_or(OperationError::NotFound { what: "process" })?;
        request.args = process.args().to_vec();
        // The kernel keeps a SIGTERM from an init that does not handle it: the host means the end, and policy
        // judges the signal that is sent.
        if request.exec_id.is_none() && request.signal == Signal::TERM && !process.minds(Signal::TERM) {
            request.signal = Signal::KILL;
        }
        let permit = self.engine.decide(request)?;
        container.signal(permit).map_err(OperationError::Signal)
    }

    /// Forgets an exec whose end was told; its id can be used again.
    pub(crate) fn forget(&mut self, key: &ProcessKey, ended: &Process) {
        if self.inventory.processes.remove(key, ended)
            && let (Ok(container), Some(exec_id)) = (self.container(&key.container_id), &key.exec_id)
        {
            container.forget(exec_id);
        }
    }

    /// Collects what was orphaned to the agent; never the status of a container's process.
    pub(crate) fn reap_orphans(&mut self) {
        self.launcher.reap_orphans();
    }

    /// Reads the statistics of a container.
    pub(crate) fn stats(&mut self, id: &ContainerId) -> Result<Stats, OperationError> {
        let container = self.container(id)?;
        let grant = self
            .engine
            .inspect(GetProperties { container_id: id.clone() })
            .map_err(policy_engine::Refusal::Denied)?;
        container.stats(&grant).map_err(OperationError::Stats)
    }

    pub(super) fn container(&self, id: &ContainerId) -> Result<&Container, OperationError> {
        self.resident(id).map(|resident| &resident.container)
    }

    fn resident(&self, id: &ContainerId) -> Result<&Resident, OperationError> {
        self.inventory.containers.get(id).ok_or(OperationError::NotFound { what: "container" })
    }
}
