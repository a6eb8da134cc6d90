//! The end of a container, and of what it stood on.

use policy_engine::ContainerId;
use policy_engine::request::ShutdownContainer;

use super::{Guest, OperationError};
use crate::inventory::Resident;

impl Guest {
    /// Removes a container: its processes first, then its root, scratch, and layers that nobody else uses.
    pub(crate) fn remove_container(&mut self, id: &ContainerId) -> Result<(), OperationError> {
        if !self.inventory.containers.contains_key(id) {
            return Err(OperationError::NotFound { what: "container" });
        }
        let permit = self.engine.decide(ShutdownContainer { container_id: id.clone() })?;
        let Some(resident) = self.inventory.containers.remove(id) else {
            permit.untouched();
            return Err(OperationError::NotFound { what: "container" });
        };
        let Resident { foundation, container, users: _ } = resident;
        self.inventory.processes.remove_container(id);
        let removed = container.remove(permit).map_err(OperationError::Remove);
        if removed.is_err() {
            // Processes may still stand on it.
            self.inventory.foundations.retain(foundation);
            return removed;
        }
        self.inventory.foundations.lower(&self.engine, foundation)
    }
}
