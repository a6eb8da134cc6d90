//! From a plan to a container: what it stands on, then its processes, each decided and then done.

use std::sync::Arc;

use executor::container::{Container, CreateOptions};
use executor::layers::SealedLayer;
use executor::observe::{self, Users};
use policy_engine::request::CreateContainer;
use policy_engine::{ContainerId, RootHash};

use super::control::log_unenforced;
use super::{Guest, OperationError};
use crate::foundation::{Foundation, GuestKernel};
use crate::inventory::{ProcessKey, Resident};
use crate::request::ContainerPlan;

impl Guest {
    /// Creates the container of `plan`, up to the point where it waits to be started.
    ///
    /// When a step fails, the steps before it are undone. `image` has the layers of a root that was pulled, base first.
    pub(crate) fn create_container(
        &mut self,
        plan: ContainerPlan,
        image: &[Arc<SealedLayer>],
    ) -> Result<(), OperationError> {
        self.check_new(&plan.container.container_id)?;
        let ContainerPlan { root, container } = plan;
        let mut foundation = self.inventory.foundations.raise(&self.engine, root, image)?;
        let id = container.container_id.clone();
        match self.launch(container, &foundation) {
            Ok((container, users)) => {
                self.inventory.foundations.leave_volumes(&mut foundation);
                let init = ProcessKey { container_id: id.clone(), exec_id: None };
                self.inventory.processes.insert(init, container.init().clone());
                self.inventory.containers.insert(id, Resident { foundation, container, users });
                Ok(())
            }
            Err(error) => {
                // The first error is what the host learns; what could not be undone is kept as a remnant.
                let _undone = self.inventory.foundations.lower(&self.engine, foundation);
                Err(error)
            }
        }
    }

    /// Whether there can be a new container of this id.
    pub(crate) fn check_new(&self, id: &ContainerId) -> Result<(), OperationError> {
        if self.inventory.sandbox.is_none() {
            return Err(OperationError::State { needed: "a container needs a sandbox" });
        }
        // Attack: the id of a running container. The peer fails late and takes the running one down.
        if self.inventory.containers.contains_key(id) {
            return Err(OperationError::Exists { what: "container" });
        }
        Ok(())
    }

    /// Whether the policy would let a layer be mounted, if it came with the next container.
    pub(crate) fn would_mount(&self, root_hash: RootHash) -> Result<(), OperationError> {
        self.inventory.foundations.would_mount(&self.engine, root_hash)
    }

    fn launch(
        &self,
        mut request: CreateContainer,
        foundation: &Foundation<GuestKernel>,
    ) -> Result<(Container, Users), OperationError> {
        let root = foundation
            .root()
            .ok_or(OperationError::State { needed: "a container needs a root file system" })?;
        // As the layers say, which policy approved.
        //
        // Attack: a container that gives its own user the name by which policy allows another one to be executed as.
        let users =
            observe::read_users(&self.engine.attempt()?, root).map_err(OperationError::Users)?.into_inner();
        users.name(&mut request.process.user);
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
        Ok((container, users))
    }
}
