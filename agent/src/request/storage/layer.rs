//! Layers: read-only disks behind dm-verity.

use policy_engine::RootHash;
use policy_engine::request::{BlockSource, DeviceTarget, LayerFilesystem, MountDevice};
use proto::kata::agent::Storage;

use super::{RequestError, set_once, unknown_option};

/// dm-verity blocks: offsets are multiples of it.
const BLOCK_BYTES: u64 = 4096;

pub(super) fn is_layer(storage: &Storage) -> bool {
    storage.options.iter().any(|option| option.starts_with("X-kata.dmverity"))
}

pub(super) fn layer(storage: &Storage) -> Result<MountDevice, RequestError> {
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

pub(super) fn block_source(storage: &Storage) -> Result<BlockSource, RequestError> {
    storage.source.parse().map_err(|_| RequestError::Value {
        field: "storages.source",
        expected: "`/dev/<name>` or a PCI path such as `05` or `02/05`",
    })
}
