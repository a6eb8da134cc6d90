//! From a plan to a container: what it stands on, then its processes, each decided and then done.

use executor::container::CreateOptions;
use policy_engine::request::CreateContainer;

use super::control::log_unenforced;
use super::{Guest, OperationError};
use crate::foundation::{Foundation, GuestKernel};
use crate::inventory::{ProcessKey, Resident};
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
        let ContainerPlan { root, container } = plan;
        let mut foundation = self.inventory.foundations.raise(&self.engine, root)?;
        let id = container.container_id.clone();
        match self.launch(container, &foundation) {
            Ok(container) => {
                self.inventory.foundations.leave_volumes(&mut foundation);
                let init = ProcessKey { container_id: id.clone(), exec_id: None };
                self.inventory.processes.insert(init, container.init().clone());
                self.inventory.containers.insert(id, Resident { foundation, container });
                Ok(())
            }
            Err(error) => {
                // The first error is what the host learns; what could not be undone is kept as a remnant.
                let _undone = self.inventory.foundations.lower(&self.engine, foundation);
                Err(error)
            }
        }
    }

    fn launch(
        &self,
        mut request: CreateContainer,
        foundation: &Foundation<GuestKernel>,
    ) -> Result<executor::container::Container, OperationError> {
        let root = foundation
            .root()
            .ok_or(OperationError::State { needed: "a container needs a root file system" })?;
        self.name_users(&mut request.process.user, root)?;
        let permit = self.engine.decide(request)?;
        // Where ACI's workloads look for the directory that every container has.
        let context = format!("UVM_SECURITY_CONTEXT_DIR=/{}", self.security_context_name);
        let options = CreateOptions {
            extra_env: vec![context],
            bind_source_directories: self.inventory.foundations.volume_paths(),
            ..CreateOptions::default()
        };
        let container = executor::container::create(&self.launcher, permit, root.root(), &options)
            .map_err(OperationError::Create)?;
        log_unenforced(&container, container.unenforced_limits());
        Ok(container)
    }
}
