//! A layer behind dm-verity.

use layer_format::verity::BLOCK_SIZE;
use policy_engine::RootHash;

use super::{MountDeviceError, VerifiedData};
use crate::devices::{Access, BlockDevice, MappedDevice};
use crate::rollback::Rollback;
use crate::sys::device_mapper::{DeviceMapper, Target};

/// Sectors of 512 bytes in a block.
const SECTORS_PER_BLOCK: u64 = BLOCK_SIZE as u64 / 512;

/// Makes a dm-verity device of the data in `area` and reads from it once.
pub(super) fn create(
    mapper: &DeviceMapper,
    area: &BlockDevice,
    data: &VerifiedData,
    root_hash: RootHash,
    rollback: &mut Rollback,
) -> Result<(MappedDevice, BlockDevice), MountDeviceError> {
    let parameters = table(area, data, root_hash);
    let target = Target {
        kind: "verity",
        sectors: data.blocks.saturating_mul(SECTORS_PER_BLOCK),
        parameters: &parameters,
        read_only: true,
    };
    let device = MappedDevice::create(mapper, &target, rollback).map_err(MountDeviceError::Map)?;
    let content = device.open(Access::ReadOnly).map_err(MountDeviceError::Map)?;
    read_first_block(mapper, &device, &content, root_hash)?;
    Ok((device, content))
}

/// The table of the verity target: `Documentation/admin-guide/device-mapper/verity.rst`. There are no optional
/// arguments: a corrupt block is a read error, and each block is checked on each read from the disk.
fn table(area: &BlockDevice, data: &VerifiedData, root_hash: RootHash) -> String {
    let number = area.number();
    let VerifiedData { blocks, tree_block, salt } = data;
    format!("1 {number} {number} {BLOCK_SIZE} {BLOCK_SIZE} {blocks} {tree_block} sha256 {root_hash} {salt}")
}

/// A device with a wrong root hash opens without an error and fails at the first read. Reading here gives the
/// host a reason, instead of a file system that does not mount.
fn read_first_block(
    mapper: &DeviceMapper,
    device: &MappedDevice,
    content: &BlockDevice,
    root_hash: RootHash,
) -> Result<(), MountDeviceError> {
    let mut block = [0; BLOCK_SIZE];
    content.read_exact_at(&mut block, 0).map_err(|error| {
        // `V`: no corruption seen so far; `C`: corruption seen.
        match device.status(mapper) {
            Ok(status) if status.trim().starts_with('C') => MountDeviceError::RootHashMismatch(root_hash),
            _ => MountDeviceError::Read(error),
        }
    })
}
