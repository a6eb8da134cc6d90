//! The sandbox.

use policy_engine::SandboxId;
use policy_engine::request::{CreateSandbox, ScratchMount};
use proto::kata::agent::CreateSandboxRequest;

use super::storage::{VolumePlan, sandbox_storages};
use super::{RequestError, refuse};

/// What one `CreateSandbox` of Kata's stands for.
#[derive(Debug)]
pub(crate) struct SandboxPlan {
    /// The sandbox.
    pub(crate) sandbox: CreateSandbox,
    /// Scratch that volumes of the pod are directories of.
    pub(crate) scratch: Option<ScratchMount>,
    /// Volumes of the pod; containers may bring more.
    pub(crate) volumes: Vec<VolumePlan>,
}

impl TryFrom<&CreateSandboxRequest> for SandboxPlan {
    type Error = RequestError;

    fn try_from(message: &CreateSandboxRequest) -> Result<Self, Self::Error> {
        let modules = !message.kernel_modules.is_empty();
        refuse(modules, "kernel_modules", "the measured image loads its own modules")?;
        refuse(!message.guest_hook_path.is_empty(), "guest_hook_path", "the guest runs no hooks")?;
        refuse(message.sandbox_pidns, "sandbox_pidns", "each container has its own process namespace")?;
        refuse(!message.dns.is_empty(), "dns", "no policy can judge the resolver that the host names")?;
        let sandbox_id: SandboxId = message
            .sandbox_id
            .parse()
            .map_err(|source| RequestError::Name { field: "sandbox_id", source })?;
        let hostname = match message.hostname.as_str() {
            "" => None,
            name => Some(name.parse().map_err(|_| RequestError::Value {
                field: "hostname",
                expected: "labels of letters, digits and inner hyphens, 64 characters at most",
            })?),
        };
        let (scratch, volumes) = sandbox_storages(&message.storages, &sandbox_id)?;
        Ok(Self { sandbox: CreateSandbox { sandbox_id, hostname }, scratch, volumes })
    }
}
