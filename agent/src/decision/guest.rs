//! The guest as operations see it.

use executor::boot::SecurityContext;
use executor::launcher::Launcher;
use policy_engine::request::{CreateSandbox, DestroySandbox};
use policy_engine::{Engine, Grant};

use super::{OomEvents, OperationError};
use crate::inventory::{Inventory, Processes};

/// The policy, the inventory, and the hands that change the one as the other allows.
pub(crate) struct Guest {
    pub(super) engine: Engine,
    pub(super) launcher: Launcher,
    pub(super) security_context: SecurityContext,
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
        let (inventory, oom_events) = (Inventory::default(), Some(oom_events));
        Self { engine, launcher, security_context, inventory, oom_events }
    }

    /// The processes of the guest, to be read while changes go on.
    pub(crate) fn processes(&self) -> Processes {
        self.inventory.processes.clone()
    }

    /// Brings the sandbox up. Nothing of the guest changes but that containers may follow: each has host
    /// name, memory and namespaces of its own.
    pub(crate) fn create_sandbox(&mut self, request: CreateSandbox) -> Result<(), OperationError> {
        // Attack: a second sandbox under running containers. The peer deletes their root file systems.
        if self.inventory.sandbox.is_some() {
            return Err(OperationError::Exists { what: "sandbox" });
        }
        let granted = self.engine.decide(request)?.done();
        self.inventory.sandbox = Some(granted.request().sandbox_id.clone());
        Ok(())
    }

    /// Takes the sandbox down: from now on nothing new begins. The grant is for switching the guest off.
    pub(crate) fn destroy_sandbox(&mut self) -> Result<Grant<DestroySandbox>, OperationError> {
        let granted = self.engine.decide(DestroySandbox)?.done();
        self.inventory.sandbox = None;
        // Whoever waits for an event is told that none will come.
        self.oom_events = None;
        Ok(granted)
    }
}
