//! The guest as operations see it.

use executor::boot::SecurityContext;
use executor::launcher::Launcher;
use policy_engine::request::DestroySandbox;
use policy_engine::{Engine, Grant};

use super::{OomEvents, OperationError};
use crate::foundation::GuestKernel;
use crate::inventory::{Inventory, Processes};
use crate::request::SandboxPlan;

/// The policy, the inventory, and the hands that change the one as the other allows.
pub(crate) struct Guest {
    pub(super) engine: Engine,
    pub(super) launcher: Launcher,
    /// What the directory that every container is shown is called.
    pub(super) security_context_name: String,
    pub(super) inventory: Inventory,
    /// As long as there is a sandbox to tell of, or to come.
    pub(super) oom_events: Option<OomEvents>,
}

impl Guest {
    pub(crate) fn new(
        engine: Engine,
        launcher: Launcher,
        security_context: SecurityContext,
        oom_events: OomEvents,
    ) -> Self {
        let security_context_name = security_context.directory_name().to_owned();
        let inventory = Inventory::new(GuestKernel { security_context });
        Self { engine, launcher, security_context_name, inventory, oom_events: Some(oom_events) }
    }

    /// The processes of the guest, to be read while changes go on.
    pub(crate) fn processes(&self) -> Processes {
        self.inventory.processes.clone()
    }

    /// Brings the sandbox up: its scratch and volumes, if it has any. Each container has host name, memory and namespaces
    /// of its own.
    pub(crate) fn create_sandbox(&mut self, plan: SandboxPlan) -> Result<(), OperationError> {
        // Attack: a second sandbox under running containers. The peer deletes their root file systems.
        if self.inventory.sandbox.is_some() {
            return Err(OperationError::Exists { what: "sandbox" });
        }
        if !self.inventory.containers.is_empty() {
            return Err(OperationError::State { needed: "a sandbox comes before its containers" });
        }
        let SandboxPlan { sandbox, scratch, volumes } = plan;
        self.inventory.foundations.prepare_sandbox(&self.engine, scratch, volumes)?;
        match self.engine.decide(sandbox) {
            Ok(permit) => {
                self.inventory.sandbox = Some(permit.done().request().sandbox_id.clone());
                Ok(())
            }
            Err(refusal) => {
                let _undone = self.inventory.foundations.clear_sandbox(&self.engine);
                Err(refusal.into())
            }
        }
    }

    /// Takes the sandbox down: from now on nothing new begins. The grant is for switching the guest off, whether or not
    /// all that it had could be taken down.
    pub(crate) fn destroy_sandbox(&mut self) -> Result<Grant<DestroySandbox>, OperationError> {
        let granted = self.engine.decide(DestroySandbox)?.done();
        self.inventory.sandbox = None;
        // Whoever waits for an event is told that none will come.
        self.oom_events = None;
        // Containers that still run lose their volumes with the guest.
        if self.inventory.containers.is_empty()
            && let Err(error) = self.inventory.foundations.clear_sandbox(&self.engine)
        {
            tracing::warn!("volumes are not taken down: {error}");
        }
        Ok(granted)
    }
}
