//! The end of a container, and of what it stood on.

use executor::{layers, mounts, scratch};
use policy_engine::ContainerId;
use policy_engine::request::{ScratchUnmount, ShutdownContainer, UnmountDevice, UnmountOverlay};

use super::{Guest, OperationError};
use crate::inventory::{Foundation, Resident};

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
        let Resident { layers, scratch, overlay, container } = resident;
        self.inventory.processes.remove_container(id);
        let removed = container.remove(permit).map_err(OperationError::Remove);
        let foundation = Foundation { layers, scratch, overlay: Some(overlay) };
        if removed.is_err() {
            // Processes may still stand on it.
            self.inventory.remnants.push(foundation);
            return removed;
        }
        self.dismantle(foundation)
    }

    /// Takes a foundation down, top first. What policy or the kernel keeps is kept as a remnant with all
    /// below it.
    pub(super) fn dismantle(&mut self, mut foundation: Foundation) -> Result<(), OperationError> {
        let result = self.dismantle_from_top(&mut foundation);
        if result.is_err() {
            self.inventory.remnants.push(foundation);
        }
        result
    }

    fn dismantle_from_top(&mut self, foundation: &mut Foundation) -> Result<(), OperationError> {
        if let Some((target, _)) = &foundation.overlay {
            let permit = self.engine.decide(UnmountOverlay { target: target.clone() })?;
            match foundation.overlay.take() {
                Some((_, overlay)) => {
                    mounts::unmount_overlay(permit, overlay).map_err(OperationError::UnmountOverlay)?;
                }
                None => permit.untouched(),
            }
        }
        if let Some((target, _)) = &foundation.scratch {
            let permit = self.engine.decide(ScratchUnmount { target: target.clone() })?;
            match foundation.scratch.take() {
                Some((_, scratch)) => {
                    scratch::unmount_scratch(permit, scratch).map_err(OperationError::ScratchUnmount)?;
                }
                None => permit.untouched(),
            }
        }
        while let Some(target) = foundation.layers.pop() {
            self.inventory.layers.release(&target);
            if !self.inventory.layers.is_idle(&target) {
                continue;
            }
            // A layer that stays mounted stays in the inventory: the next container may stand on it.
            let permit = self.engine.decide(UnmountDevice { target: target.clone() })?;
            match self.inventory.layers.take_idle(&target) {
                Some(layer) => {
                    layers::unmount_device(permit, layer).map_err(OperationError::UnmountDevice)?;
                }
                None => permit.untouched(),
            }
        }
        Ok(())
    }
}
