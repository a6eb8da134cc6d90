//! Scratch: where containers write.

use policy_engine::request::{ScratchBacking, ScratchMount};
use policy_engine::{ContainerId, GuestPath, SandboxId};
use proto::kata::agent::Storage;

use super::layer::{block_source, is_disk_driver};
use super::{RequestError, refused_driver, set_once, unknown_option};

/// Space in memory without a size is this large.
pub(super) const MEMORY_DEFAULT_BYTES: u64 = 64 << 20;

/// The directory of each sandbox's and container's own places.
const PLACES: &str = "/run/gcs/c/";

pub(super) fn disk_scratch(storage: &Storage, id: &ContainerId) -> Result<ScratchMount, RequestError> {
    let backing = disk(storage, &storage.options)?;
    Ok(ScratchMount { target: scratch_target(&storage.mount_point, id)?, backing })
}

pub(super) fn memory_scratch(storage: &Storage, id: &ContainerId) -> Result<ScratchMount, RequestError> {
    Ok(ScratchMount { target: scratch_target(&storage.mount_point, id)?, backing: memory(storage)? })
}

/// Scratch of the sandbox, which its local volumes are directories of.
pub(super) fn sandbox_scratch(storage: &Storage, id: &SandboxId) -> Result<ScratchMount, RequestError> {
    let backing = match storage.driver.as_str() {
        driver if is_disk_driver(driver) => disk(storage, &storage.options)?,
        "ephemeral" => memory(storage)?,
        driver => return Err(refused_driver(driver)),
    };
    if storage.mount_point != format!("{PLACES}{id}/volumes") {
        return Err(RequestError::Value {
            field: "storages.mount_point",
            expected: "`/run/gcs/c/<sandbox id>/volumes` for scratch of the sandbox",
        });
    }
    Ok(ScratchMount { target: target(&storage.mount_point)?, backing })
}

/// A disk with these `options`. Without `encryption_key=ephemeral` it is a plain one, which policy has to allow: nothing
/// makes the one into the other.
pub(super) fn disk(storage: &Storage, options: &[String]) -> Result<ScratchBacking, RequestError> {
    let (mut writable, mut encrypted) = (None, None);
    for option in options {
        match option.as_str() {
            "rw" => set_once(&mut writable, (), "storages.options: rw")?,
            "encryption_key=ephemeral" => set_once(&mut encrypted, (), "storages.options: encryption_key")?,
            option => return Err(unknown_option("a scratch disk", option)),
        }
    }
    match storage.fstype.as_str() {
        "ext4" => {}
        // Making one takes programs that the guest does not have, and one that the host made is not mounted.
        "xfs" => {
            return Err(RequestError::Refused {
                field: "storages.fstype: xfs",
                reason: "the guest makes ext4 on scratch disks",
            });
        }
        _ => {
            return Err(RequestError::Value { field: "storages.fstype", expected: "ext4 on a scratch disk" });
        }
    }
    let source = block_source(storage)?;
    Ok(match encrypted {
        Some(()) => ScratchBacking::EncryptedDisk { source },
        None => ScratchBacking::PlainDisk { source },
    })
}

fn memory(storage: &Storage) -> Result<ScratchBacking, RequestError> {
    is_tmpfs(storage)?;
    let mut size = None;
    for option in &storage.options {
        let text = option.strip_prefix("size=").ok_or_else(|| unknown_option("ephemeral", option))?;
        set_once(&mut size, size_bytes(text)?, "storages.options: size")?;
    }
    Ok(ScratchBacking::Memory { size_bytes: size.unwrap_or(MEMORY_DEFAULT_BYTES) })
}

pub(super) fn is_tmpfs(storage: &Storage) -> Result<(), RequestError> {
    match (storage.fstype.as_str(), storage.source.as_str()) {
        ("tmpfs", "tmpfs" | "shm") => Ok(()),
        ("hugetlbfs", _) => Err(RequestError::Refused {
            field: "storages.fstype: hugetlbfs",
            reason: "the guest reserves no huge pages",
        }),
        _ => Err(RequestError::Value { field: "storages.fstype", expected: "tmpfs of `tmpfs`" }),
    }
}

/// A number of bytes, or of KiB, MiB or GiB by `k`, `m` or `g`, as tmpfs reads them.
pub(super) fn size_bytes(text: &str) -> Result<u64, RequestError> {
    let digits = text.trim_end_matches(['k', 'm', 'g', 'K', 'M', 'G']);
    let unit: Option<u64> = match text.strip_prefix(digits) {
        Some("") => Some(1),
        Some("k" | "K") => Some(1 << 10),
        Some("m" | "M") => Some(1 << 20),
        Some("g" | "G") => Some(1 << 30),
        _ => None,
    };
    let number =
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten();
    let size = unit.zip(number).and_then(|(unit, number)| number.checked_mul(unit));
    size.filter(|size| *size != 0).ok_or(RequestError::Value {
        field: "storages.options: size",
        expected: "a positive number of bytes, or of units k, m or g",
    })
}

/// `/run/gcs/c/<sandbox>/scratch/<container>`: a place of the container's own.
fn scratch_target(text: &str, id: &ContainerId) -> Result<GuestPath, RequestError> {
    let own = text
        .strip_prefix(PLACES)
        .and_then(|rest| rest.split_once("/scratch/"))
        .is_some_and(|(sandbox, last)| sandbox.parse::<SandboxId>().is_ok() && last == id.as_str());
    if !own {
        return Err(RequestError::Value {
            field: "storages.mount_point",
            expected: "`/run/gcs/c/<sandbox id>/scratch/<container id>` for scratch",
        });
    }
    target(text)
}

pub(super) fn target(text: &str) -> Result<GuestPath, RequestError> {
    text.parse().map_err(|source| RequestError::Path { field: "storages.mount_point", source })
}
