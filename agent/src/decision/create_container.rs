//! From a plan to a container: layers, scratch, overlay, processes, each decided and then done.

use executor::container::CreateOptions;
use executor::{layers, mounts, scratch};
use policy_engine::request::{CreateContainer, MountDevice, MountOverlay, ScratchMount};

use super::control::log_unenforced;
use super::{Guest, OperationError};
use crate::inventory::{Foundation, ProcessKey, Resident};
use crate::request::ContainerPlan;

impl Guest {
    /// Creates the container of `plan`, up to the point where it waits to be started.
    ///
    /// When a step fails, the steps before it are undone.
    pub(crate) fn create_container(&mut self, plan: ContainerPlan) -> Result<(), OperationError> {
        if self.inventory.sandbox.is_none() {
            return Err(OperationError::State { needed: "a container needs a sandbox" });
        }
        // Attack: the id of a running container. The peer fails late and takes the running one down.
        if self.inventory.containers.contains_key(&plan.container.container_id) {
            return Err(OperationError::Exists { what: "container" });
        }
        let mut foundation = Foundation::default();
        match self.build(plan, &mut foundation) {
            Ok(()) => Ok(()),
            Err(error) => {
                // The first error is what the host learns; what could not be undone is kept as a remnant.
                let _undone = self.dismantle(foundation);
                Err(error)
            }
        }
    }

    fn build(&mut self, plan: ContainerPlan, foundation: &mut Foundation) -> Result<(), OperationError> {
        let ContainerPlan { layers, scratch, overlay, container } = plan;
        for layer in layers {
            let target = layer.target.clone();
            self.mount_layer(layer)?;
            self.inventory.layers.acquire(&target);
            foundation.layers.push(target);
        }
        if let Some(request) = scratch {
            let target = request.target.clone();
            foundation.scratch = Some((target, self.mount_scratch(request)?));
        }
        let target = overlay.target.clone();
        foundation.overlay = Some((target, self.mount_overlay(overlay, foundation)?));
        self.launch(container, foundation)
    }

    fn mount_layer(&mut self, request: MountDevice) -> Result<(), OperationError> {
        if self.inventory.layers.is_mounted(&request)? {
            return Ok(());
        }
        let (target, root_hash) = (request.target.clone(), request.root_hash);
        let permit = self.engine.decide(request)?;
        let layer = layers::mount_device(permit)
            .map_err(|source| OperationError::MountDevice { target: target.path().to_string(), source })?;
        self.inventory.layers.insert(target, root_hash, layer);
        Ok(())
    }

    fn mount_scratch(&mut self, request: ScratchMount) -> Result<scratch::Scratch, OperationError> {
        let permit = self.engine.decide(request)?;
        scratch::mount_scratch(permit).map_err(OperationError::ScratchMount)
    }

    fn mount_overlay(
        &mut self,
        request: MountOverlay,
        foundation: &Foundation,
    ) -> Result<mounts::Overlay, OperationError> {
        let permit = self.engine.decide(request)?;
        let named = &permit.request().layers;
        let mounted: Vec<_> = named.iter().filter_map(|target| self.inventory.layers.get(target)).collect();
        let scratch = foundation.scratch.as_ref().map(|(_, scratch)| scratch);
        mounts::mount_overlay(permit, &mounted, scratch, Some(&self.security_context))
            .map_err(OperationError::MountOverlay)
    }

    fn launch(
        &mut self,
        mut request: CreateContainer,
        foundation: &mut Foundation,
    ) -> Result<(), OperationError> {
        let Some((_, overlay)) = &foundation.overlay else {
            return Err(OperationError::State { needed: "a container needs a root file system" });
        };
        self.name_users(&mut request.process.user, overlay)?;
        let container_id = request.container_id.clone();
        let permit = self.engine.decide(request)?;
        // Where ACI's workloads look for the directory that every container has.
        let context = format!("UVM_SECURITY_CONTEXT_DIR=/{}", self.security_context.directory_name());
        let options = CreateOptions { extra_env: vec![context], ..CreateOptions::default() };
        let container = executor::container::create(&self.launcher, permit, overlay.root(), &options)
            .map_err(OperationError::Create)?;
        log_unenforced(&container, container.unenforced_limits());
        let Foundation { layers, scratch, overlay } = std::mem::take(foundation);
        let Some(overlay) = overlay else {
            return Err(OperationError::State { needed: "a container needs a root file system" });
        };
        let init = ProcessKey { container_id: container_id.clone(), exec_id: None };
        self.inventory.processes.insert(init, container.init().clone());
        self.inventory.containers.insert(container_id, Resident { layers, scratch, overlay, container });
        Ok(())
    }
}
