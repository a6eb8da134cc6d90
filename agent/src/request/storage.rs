//! Storages: layers, scratch and the overlay over both.

use policy_engine::request::{
    BlockSource, DeviceTarget, LayerFilesystem, MountDevice, MountOverlay, ScratchBacking, ScratchMount,
};
use policy_engine::{ContainerId, GuestPath, RootHash, SandboxId};
use proto::kata::agent::Storage;

use super::{RequestError, refuse};

/// The most layers of a container: what overlayfs takes is 500.
const LAYERS_MAX: usize = 128;
/// Scratch in memory without a size is this large.
const MEMORY_SCRATCH_DEFAULT_BYTES: u64 = 64 << 20;
/// dm-verity blocks: offsets are multiples of it.
const BLOCK_BYTES: u64 = 4096;

/// The storages of a container, sorted out.
#[derive(Debug)]
pub(super) struct RootFilesystem {
    /// Base first, as the host sent them.
    pub(super) layers: Vec<MountDevice>,
    pub(super) scratch: Option<ScratchMount>,
    pub(super) overlay: MountOverlay,
}

/// Sorts the storages of container `id` out: layers, at most one scratch, exactly one overlay that names
/// each layer once, topmost first.
///
/// Attack: a storage more or less than policy judges, or one file system twice under two names.
pub(super) fn root_filesystem(
    storages: &[Storage],
    id: &ContainerId,
) -> Result<RootFilesystem, RequestError> {
    let mut layers = Vec::new();
    let mut scratch = None;
    let mut overlay = None;
    for storage in storages {
        refuse(storage.fs_group.is_some(), "storages.fs_group", "file ownership comes with the layer")?;
        refuse(storage.shared, "storages.shared", "sharing is the guest's own decision")?;
        refuse(!storage.driver_options.is_empty(), "storages.driver_options", "no driver here has any")?;
        match storage.driver.as_str() {
            "blk" if is_layer(storage) => layers.push(layer(storage)?),
            "blk" => set_once(&mut scratch, disk_scratch(storage, id)?, "storages: scratch")?,
            "ephemeral" => set_once(&mut scratch, memory_scratch(storage, id)?, "storages: scratch")?,
            "overlayfs" => set_once(&mut overlay, storage, "storages: overlay")?,
            driver => return Err(RequestError::Driver { driver: RequestError::excerpt(driver) }),
        }
    }
    if layers.len() > LAYERS_MAX {
        return Err(RequestError::Value { field: "storages", expected: "at most 128 layers" });
    }
    let overlay = overlay.ok_or(RequestError::Missing { field: "storages: overlay" })?;
    let overlay = mount_overlay(overlay, id, &layers, scratch.as_ref())?;
    Ok(RootFilesystem { layers, scratch, overlay })
}

fn set_once<T>(place: &mut Option<T>, value: T, field: &'static str) -> Result<(), RequestError> {
    refuse(place.is_some(), field, "a container has one of each")?;
    *place = Some(value);
    Ok(())
}

fn is_layer(storage: &Storage) -> bool {
    storage.options.iter().any(|option| option.starts_with("X-kata.dmverity"))
}

fn layer(storage: &Storage) -> Result<MountDevice, RequestError> {
    let mut enabled = false;
    let mut read_only = false;
    let mut root_hash = None;
    let mut hash_offset_bytes = None;
    for option in &storage.options {
        match option.split_once('=').unwrap_or((option, "")) {
            ("ro", "") => read_only = true,
            ("X-kata.dmverity-enabled", "true") => enabled = true,
            ("X-kata.dmverity.roothash", hash) => {
                let hash: RootHash = hash.parse().map_err(|_| RequestError::Value {
                    field: "X-kata.dmverity.roothash",
                    expected: "64 lower-case hexadecimal digits",
                })?;
                set_once(&mut root_hash, hash, "X-kata.dmverity.roothash")?;
            }
            ("X-kata.dmverity.hashoffset", offset) => {
                set_once(&mut hash_offset_bytes, hash_offset(offset)?, "X-kata.dmverity.hashoffset")?;
            }
            _ => return Err(unknown_option("blk", option)),
        }
    }
    if !(enabled && read_only) {
        return Err(RequestError::Value {
            field: "storages.options",
            expected: "`ro` and `X-kata.dmverity-enabled=true` for a layer",
        });
    }
    Ok(MountDevice {
        target: storage.mount_point.parse::<DeviceTarget>().map_err(|_| RequestError::Value {
            field: "storages.mount_point",
            expected: "`/run/mounts/scsi/m<N>` for a layer",
        })?,
        root_hash: root_hash.ok_or(RequestError::Missing { field: "X-kata.dmverity.roothash" })?,
        source: block_source(storage)?,
        hash_offset_bytes: hash_offset_bytes
            .ok_or(RequestError::Missing { field: "X-kata.dmverity.hashoffset" })?,
        filesystem: match storage.fstype.as_str() {
            "ext4" => LayerFilesystem::Ext4,
            "erofs" => LayerFilesystem::Erofs,
            _ => return Err(RequestError::Value { field: "storages.fstype", expected: "ext4 or erofs" }),
        },
    })
}

fn hash_offset(text: &str) -> Result<u64, RequestError> {
    text.parse().ok().filter(|offset| *offset != 0 && offset % BLOCK_BYTES == 0).ok_or(RequestError::Value {
        field: "X-kata.dmverity.hashoffset",
        expected: "a positive multiple of 4,096",
    })
}

fn block_source(storage: &Storage) -> Result<BlockSource, RequestError> {
    storage.source.parse().map_err(|_| RequestError::Value {
        field: "storages.source",
        expected: "`/dev/<name>` or a PCI path such as `05` or `02/05`",
    })
}

fn disk_scratch(storage: &Storage, id: &ContainerId) -> Result<ScratchMount, RequestError> {
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

fn memory_scratch(storage: &Storage, id: &ContainerId) -> Result<ScratchMount, RequestError> {
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

fn mount_overlay(
    storage: &Storage,
    id: &ContainerId,
    layers: &[MountDevice],
    scratch: Option<&ScratchMount>,
) -> Result<MountOverlay, RequestError> {
    let mut lower: Option<Vec<&str>> = None;
    let mut upper = None;
    for option in &storage.options {
        match option.split_once('=').unwrap_or((option, "")) {
            ("lowerdir", paths) => set_once(&mut lower, paths.split(':').collect(), "lowerdir")?,
            ("X-kata.overlay-upper", path) => set_once(&mut upper, path, "X-kata.overlay-upper")?,
            _ => return Err(unknown_option("overlayfs", option)),
        }
    }
    let lower = lower.ok_or(RequestError::Missing { field: "lowerdir" })?;
    let named = layers.iter().rev().map(|layer| layer.target.path().as_str());
    if !named.eq(lower.iter().copied()) {
        return Err(RequestError::Value {
            field: "lowerdir",
            expected: "each layer of the request once, topmost first",
        });
    }
    if upper != scratch.map(|scratch| scratch.target.as_str()) {
        return Err(RequestError::Value {
            field: "X-kata.overlay-upper",
            expected: "the mount point of the request's scratch",
        });
    }
    let target = format!("/run/kata-containers/{id}/rootfs");
    if storage.mount_point != target || storage.fstype != "overlay" || storage.source != "overlay" {
        return Err(RequestError::Value {
            field: "storages: overlay",
            expected: "`overlay` at `/run/kata-containers/<container id>/rootfs`",
        });
    }
    Ok(MountOverlay {
        container_id: id.clone(),
        layers: layers.iter().rev().map(|layer| layer.target.clone()).collect(),
        scratch: scratch.map(|scratch| scratch.target.clone()),
        target: target
            .parse()
            .map_err(|source| RequestError::Path { field: "storages.mount_point", source })?,
    })
}

fn unknown_option(driver: &'static str, option: &str) -> RequestError {
    RequestError::Option { driver, option: RequestError::excerpt(option) }
}
