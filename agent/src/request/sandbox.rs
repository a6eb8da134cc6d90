//! The sandbox.

use policy_engine::request::CreateSandbox;
use proto::kata::agent::{CreateSandboxRequest, Storage};

use super::{RequestError, refuse};

/// Where Kata's shims ask for the pod's shared memory.
const SHARED_MEMORY_MOUNT_POINT: &str = "/run/kata-containers/sandbox/shm";

/// The request of `CreateSandbox`.
pub(crate) fn create_sandbox(message: &CreateSandboxRequest) -> Result<CreateSandbox, RequestError> {
    refuse(!message.kernel_modules.is_empty(), "kernel_modules", "the measured image loads its own modules")?;
    refuse(!message.guest_hook_path.is_empty(), "guest_hook_path", "the guest runs no hooks")?;
    refuse(message.sandbox_pidns, "sandbox_pidns", "each container has its own process namespace")?;
    refuse(!message.dns.is_empty(), "dns", "no policy can judge the resolver that the host names")?;
    if !message.storages.iter().all(is_shared_memory) {
        return Err(RequestError::Refused {
            field: "storages",
            reason: "a sandbox has no storage but its shared memory",
        });
    }
    let sandbox_id =
        message.sandbox_id.parse().map_err(|source| RequestError::Name { field: "sandbox_id", source })?;
    let hostname = match message.hostname.as_str() {
        "" => None,
        name => Some(name.parse().map_err(|_| RequestError::Value {
            field: "hostname",
            expected: "labels of letters, digits and inner hyphens, 64 characters at most",
        })?),
    };
    Ok(CreateSandbox { sandbox_id, hostname })
}

/// The one storage that shims send with every sandbox. Containers here have shared memory of their own, so
/// it is accepted and nothing is mounted for it.
fn is_shared_memory(storage: &Storage) -> bool {
    storage.driver == "ephemeral"
        && storage.fstype == "tmpfs"
        && storage.mount_point == SHARED_MEMORY_MOUNT_POINT
        && storage.driver_options.is_empty()
        && storage.fs_group.is_none()
        && !storage.shared
}
