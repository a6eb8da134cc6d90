//! Layers: read-only disks behind dm-verity.
//!
//! Options: `X-kata.dmverity-*` and `X-kata.gpt-partitioned` as Kata's shim sends them. What is not in the closed list
//! here is refused by its name: dm-verity has more modes than those whose root hash a policy can approve.

use policy_engine::RootHash;
use policy_engine::request::{
    BlockSource, DeviceTarget, HashOffset, HashSalt, HashTree, LayerFilesystem, MountDevice, PartitionNumber,
};
use proto::kata::agent::Storage;

use super::{RequestError, set_once, unknown_option};

/// The storage drivers that bring a disk.
pub(super) fn is_disk_driver(driver: &str) -> bool {
    matches!(driver, "blk" | "mmioblk" | "scsi" | "nvdimm")
}

pub(super) fn is_layer(storage: &Storage) -> bool {
    storage.options.iter().any(|option| option.starts_with("X-kata.dmverity"))
}

pub(super) fn layer(storage: &Storage) -> Result<MountDevice, RequestError> {
    let mut options = LayerOptions::default();
    for option in &storage.options {
        if !options.take(option)? {
            return Err(unknown_option("a layer", option));
        }
    }
    let VerifiedArea { root_hash, partition, hash_tree } = options.finish()?;
    Ok(MountDevice {
        target: storage.mount_point.parse::<DeviceTarget>().map_err(|_| RequestError::Value {
            field: "storages.mount_point",
            expected: "`/run/mounts/scsi/m<N>` for a layer",
        })?,
        root_hash,
        source: block_source(storage)?,
        partition,
        hash_tree,
        filesystem: filesystem(&storage.fstype)?,
    })
}

/// What part of a disk is a layer, and what proves it.
#[derive(Debug)]
struct VerifiedArea {
    root_hash: RootHash,
    partition: Option<PartitionNumber>,
    hash_tree: HashTree,
}

/// The options of a layer, of which a storage has each at most once.
#[derive(Debug, Default)]
struct LayerOptions {
    read_only: Option<()>,
    enabled: Option<()>,
    root_hash: Option<RootHash>,
    hash_offset: Option<HashOffset>,
    salt: Option<HashSalt>,
    no_superblock: Option<bool>,
    partitioned: Option<()>,
    partition: Option<PartitionNumber>,
    block_size: Option<()>,
    hash_size: Option<()>,
    algorithm: Option<()>,
    hash_type: Option<()>,
}

impl LayerOptions {
    /// Takes in `option` if it is one of a layer's, and says whether it was.
    fn take(&mut self, option: &str) -> Result<bool, RequestError> {
        match option.split_once('=').unwrap_or((option, "")) {
            ("ro", "") => set_once(&mut self.read_only, (), "ro")?,
            ("X-kata.dmverity-enabled", value) => {
                only(&mut self.enabled, value == "true", "X-kata.dmverity-enabled", "only `true` is offered")?
            }
            ("X-kata.dmverity.roothash", value) => {
                parse(&mut self.root_hash, value, "X-kata.dmverity.roothash", ROOT_HASH)?
            }
            ("X-kata.dmverity.hashoffset", value) => {
                let offset = value.parse().ok().and_then(HashOffset::new);
                let offset = offset.ok_or(RequestError::Value { field: HASH_OFFSET, expected: OFFSET })?;
                set_once(&mut self.hash_offset, offset, HASH_OFFSET)?
            }
            ("X-kata.dmverity.salt", value) => parse(&mut self.salt, value, "X-kata.dmverity.salt", SALT)?,
            ("X-kata.dmverity.no-superblock", value) => {
                parse(&mut self.no_superblock, value, "X-kata.dmverity.no-superblock", "true or false")?
            }
            ("X-kata.dmverity.blocksize", value) => only(
                &mut self.block_size,
                value == "4096",
                "X-kata.dmverity.blocksize",
                "only blocks of 4096 bytes are offered",
            )?,
            ("X-kata.dmverity.hashsize", value) => only(
                &mut self.hash_size,
                value == "4096",
                "X-kata.dmverity.hashsize",
                "only blocks of 4096 bytes are offered",
            )?,
            ("X-kata.dmverity.algorithm", value) => only(
                &mut self.algorithm,
                value == "sha256",
                "X-kata.dmverity.algorithm",
                "only sha256 is offered",
            )?,
            ("X-kata.dmverity.hashtype", value) => only(
                &mut self.hash_type,
                value == "1",
                "X-kata.dmverity.hashtype",
                "only hash type 1 is offered",
            )?,
            ("X-kata.gpt-partitioned", value) => only(
                &mut self.partitioned,
                value == "true",
                "X-kata.gpt-partitioned",
                "only `true` is offered",
            )?,
            ("X-kata.partition-number", value) => {
                parse(&mut self.partition, value, "X-kata.partition-number", "a number from 1 to 255")?
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What the options say together.
    fn finish(self) -> Result<VerifiedArea, RequestError> {
        if self.enabled.is_none() || self.read_only.is_none() {
            return Err(RequestError::Value {
                field: "storages.options",
                expected: "`ro` and `X-kata.dmverity-enabled=true` for a layer",
            });
        }
        if self.partitioned.is_some() != self.partition.is_some() {
            return Err(RequestError::Value {
                field: "X-kata.partition-number",
                expected: "given with `X-kata.gpt-partitioned=true` and not without",
            });
        }
        let hash_tree = if self.no_superblock == Some(true) {
            HashTree::Bare {
                offset: self.hash_offset.ok_or(RequestError::Missing { field: HASH_OFFSET })?,
                salt: self.salt.unwrap_or_default(),
            }
        } else {
            HashTree::WithSuperblock { offset: self.hash_offset, salt: self.salt }
        };
        Ok(VerifiedArea {
            root_hash: self.root_hash.ok_or(RequestError::Missing { field: "X-kata.dmverity.roothash" })?,
            partition: self.partition,
            hash_tree,
        })
    }
}

const HASH_OFFSET: &str = "X-kata.dmverity.hashoffset";
const OFFSET: &str = "a positive multiple of 4,096 that a disk can have";
const ROOT_HASH: &str = "64 lower-case hexadecimal digits";
const SALT: &str = "up to 256 bytes in lower-case hexadecimal digits";

fn parse<T: std::str::FromStr>(
    place: &mut Option<T>,
    value: &str,
    field: &'static str,
    expected: &'static str,
) -> Result<(), RequestError> {
    let value = value.parse().map_err(|_| RequestError::Value { field, expected })?;
    set_once(place, value, field)
}

/// An option that has one value here, whatever else it may have elsewhere.
fn only(
    place: &mut Option<()>,
    is_offered: bool,
    field: &'static str,
    expected: &'static str,
) -> Result<(), RequestError> {
    if !is_offered {
        return Err(RequestError::Value { field, expected });
    }
    set_once(place, (), field)
}

fn filesystem(fstype: &str) -> Result<LayerFilesystem, RequestError> {
    match fstype {
        "ext4" => Ok(LayerFilesystem::Ext4),
        "erofs" => Ok(LayerFilesystem::Erofs),
        "squashfs" => Ok(LayerFilesystem::Squashfs),
        _ => Err(RequestError::Value { field: "storages.fstype", expected: "ext4, erofs or squashfs" }),
    }
}

/// The disk of a storage, in the form that its driver has. Drivers that are not named here have any.
pub(super) fn block_source(storage: &Storage) -> Result<BlockSource, RequestError> {
    let (has_form, expected): (fn(&BlockSource) -> bool, _) = match storage.driver.as_str() {
        "scsi" => (|source| matches!(source, BlockSource::Scsi(_)), "a SCSI address such as `0:3`"),
        "mmioblk" => (|source| matches!(source, BlockSource::Node(_)), "`/dev/<name>`"),
        "nvdimm" => (is_persistent_memory, "`/dev/pmem<N>`"),
        "blk" => (
            |source| matches!(source, BlockSource::Node(_) | BlockSource::PciPath(_)),
            "`/dev/<name>` or a PCI path such as `05` or `02/05`",
        ),
        _ => (|_| true, "`/dev/<name>`, a PCI path such as `02/05` or a SCSI address such as `0:3`"),
    };
    let source = storage.source.parse().ok().filter(has_form);
    source.ok_or(RequestError::Value { field: "storages.source", expected })
}

fn is_persistent_memory(source: &BlockSource) -> bool {
    let BlockSource::Node(name) = source else { return false };
    let number = name.strip_prefix("pmem").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
