//! The disk or partition that a layer comes from.

use std::sync::Arc;

use policy_engine::request::{MountDevice, PartitionNumber};

use super::MountDeviceError;
use crate::devices::{Access, BlockDevice, OpenDeviceError};
use crate::rollback::Rollback;

/// A disk, held open, and the part of it that is a layer. The kernel refuses writes to both until they are released.
#[derive(Debug)]
pub(super) struct Origin {
    disk: Arc<BlockDevice>,
    partition: Option<Arc<BlockDevice>>,
}

impl Origin {
    /// Opens what the request names.
    pub(super) fn open(request: &MountDevice, rollback: &mut Rollback) -> Result<Self, MountDeviceError> {
        let disk = BlockDevice::open(&request.source, Access::ReadOnly).map_err(MountDeviceError::Open)?;
        let disk = guard(disk, rollback)?;
        let open = |number: PartitionNumber| disk.open_partition(number).map_err(MountDeviceError::Open);
        let partition = request.partition.map(open).transpose()?;
        let partition = partition.map(|partition| guard(partition, rollback)).transpose()?;
        Ok(Self { disk, partition })
    }

    /// The part that is the layer: data, superblock and tree.
    pub(super) fn area(&self) -> &BlockDevice {
        self.partition.as_ref().unwrap_or(&self.disk)
    }

    /// Looks whether the request still names what was opened. Of two disks that are exchanged under us, one stays
    /// mapped; but then the guest would keep a name for it that belongs to another.
    pub(super) fn confirm(&self, request: &MountDevice) -> Result<(), MountDeviceError> {
        let again = |error: OpenDeviceError| MountDeviceError::FindAgain(error);
        let disk = BlockDevice::open_now(&request.source, Access::ReadOnly).map_err(again)?;
        let partition =
            request.partition.map(|number| disk.open_partition_now(number)).transpose().map_err(again)?;
        let same_partition = match (&self.partition, &partition) {
            (Some(before), Some(now)) => before.is_same(now),
            (None, None) => true,
            _ => false,
        };
        if self.disk.is_same(&disk) && same_partition { Ok(()) } else { Err(MountDeviceError::Exchanged) }
    }

    /// Leaves disk and partition as they were found, unless other layers are read from them.
    pub(super) fn release(&self) {
        for device in self.partition.iter().chain([&self.disk]) {
            device.release_read_only();
        }
    }
}

/// Makes the kernel refuse writes before anything is read.
fn guard(device: BlockDevice, rollback: &mut Rollback) -> Result<Arc<BlockDevice>, MountDeviceError> {
    device.hold_read_only().map_err(MountDeviceError::SetReadOnly)?;
    let device = Arc::new(device);
    let guarded = Arc::clone(&device);
    rollback.add(move || {
        guarded.release_read_only();
        Ok(())
    });
    Ok(device)
}
