//! Scratch: where containers write.

use policy_engine::request::{ScratchBacking, ScratchMount};
use policy_engine::{ContainerId, GuestPath, SandboxId};
use proto::kata::agent::Storage;

use super::layer::block_source;
use super::{RequestError, unknown_option};

/// Scratch in memory without a size is this large.
const MEMORY_SCRATCH_DEFAULT_BYTES: u64 = 64 << 20;

pub(super) fn disk_scratch(storage: &Storage, id: &ContainerId) -> Result<ScratchMount, RequestError> {
    let encrypted = storage.options.iter().any(|option| option == "encryption_key=ephemeral");
    if let Some(option) =
        storage.options.iter().find(|option| !matches!(option.as_str(), "rw" | "encryption_key=ephemeral"))
    {
        return Err(unknown_option("blk", option));
    }
    if !encrypted || storage.fstype != "ext4" {
        return Err(RequestError::Refused {
            field: "storages",
            reason: "a disk is a layer behind dm-verity, or ext4 scratch with `encryption_key=ephemeral`",
        });
    }
    Ok(ScratchMount {
        target: scratch_target(&storage.mount_point, id)?,
        backing: ScratchBacking::EncryptedDisk { source: block_source(storage)? },
    })
}

pub(super) fn memory_scratch(storage: &Storage, id: &ContainerId) -> Result<ScratchMount, RequestError> {
    if storage.fstype != "tmpfs" || storage.source != "tmpfs" {
        return Err(RequestError::Value {
            field: "storages.fstype",
            expected: "tmpfs for ephemeral scratch",
        });
    }
    let mut size_bytes = MEMORY_SCRATCH_DEFAULT_BYTES;
    for option in &storage.options {
        let size = option.strip_prefix("size=").ok_or_else(|| unknown_option("ephemeral", option))?;
        size_bytes = size.parse().ok().filter(|size| *size != 0).ok_or(RequestError::Value {
            field: "storages.options",
            expected: "`size=` and a positive number of bytes",
        })?;
    }
    Ok(ScratchMount {
        target: scratch_target(&storage.mount_point, id)?,
        backing: ScratchBacking::Memory { size_bytes },
    })
}

/// `/run/gcs/c/<sandbox>/scratch/<container>`: a place of the container's own.
fn scratch_target(text: &str, id: &ContainerId) -> Result<GuestPath, RequestError> {
    let own = text
        .strip_prefix("/run/gcs/c/")
        .and_then(|rest| rest.split_once("/scratch/"))
        .is_some_and(|(sandbox, last)| sandbox.parse::<SandboxId>().is_ok() && last == id.as_str());
    if !own {
        return Err(RequestError::Value {
            field: "storages.mount_point",
            expected: "`/run/gcs/c/<sandbox id>/scratch/<container id>` for scratch",
        });
    }
    text.parse().map_err(|source| RequestError::Path { field: "storages.mount_point", source })
}
