//! Devices that the device mapper makes.

use std::io;
use std::path::PathBuf;

use super::{Access, BlockDevice, DeviceNumber, OpenDeviceError};
use crate::retry::release;
use crate::rollback::Rollback;
use crate::sys::device_mapper::{DeviceMapper, Table, Target};

/// Why there is no mapped device.
#[derive(Debug, thiserror::Error)]
pub enum MapDeviceError {
    /// No random name for it.
    #[error("cannot draw a device name")]
    Name(#[source] getrandom::Error),
    /// The device mapper does not open.
    #[error("cannot open the device mapper")]
    Control(#[source] io::Error),
    /// The kernel did not create the device.
    #[error("cannot create the mapped device")]
    Create(#[source] io::Error),
    /// The kernel refused the table.
    #[error("the kernel refuses the table of the mapped device")]
    LoadTable(#[source] io::Error),
    /// The device did not start.
    #[error("cannot start the mapped device")]
    Resume(#[source] io::Error),
    /// The device's own node does not open.
    #[error("cannot open the mapped device")]
    Open(#[source] OpenDeviceError),
}

/// The device mapper; nothing where the kernel has none.
pub(crate) fn mapper() -> Result<Option<DeviceMapper>, MapDeviceError> {
    DeviceMapper::open().map_err(MapDeviceError::Control)
}

/// A device that the device mapper made. Dropping it leaves the device as it is.
#[derive(Debug)]
pub(crate) struct MappedDevice {
    name: String,
    number: DeviceNumber,
}

impl MappedDevice {
    /// Makes a device. How to remove it again is added to `rollback` as soon as the kernel has it.
    pub(crate) fn create(
        mapper: &DeviceMapper,
        target: &Target<'_>,
        rollback: &mut Rollback,
    ) -> Result<Self, MapDeviceError> {
        let name = unguessable_name(target.kind)?;
        let number = mapper.create(&name, target.read_only).map_err(MapDeviceError::Create)?;
        let device = Self { name: name.clone(), number: DeviceNumber(number) };
        rollback.add(move || remove(&name));
        mapper.load_table(&device.name, target).map_err(MapDeviceError::LoadTable)?;
        mapper.resume(&device.name).map_err(MapDeviceError::Resume)?;
        Ok(device)
    }

    /// Replaces the table of a running device.
    pub(crate) fn reload(&self, mapper: &DeviceMapper, target: &Target<'_>) -> Result<(), MapDeviceError> {
        mapper.load_table(&self.name, target).map_err(MapDeviceError::LoadTable)?;
        mapper.suspend(&self.name).map_err(MapDeviceError::Resume)?;
        mapper.resume(&self.name).map_err(MapDeviceError::Resume)
    }

    /// The device's number.
    pub(crate) fn number(&self) -> DeviceNumber {
        self.number
    }

    /// Opens the device, and no other: the node's number is compared.
    pub(crate) fn open(&self, access: Access) -> Result<BlockDevice, MapDeviceError> {
        let node = PathBuf::from(format!("/dev/dm-{}", self.number.minor()));
        let device = BlockDevice::open_node(&node, access).map_err(MapDeviceError::Open)?;
        if device.number() == self.number {
            Ok(device)
        } else {
            Err(MapDeviceError::Open(OpenDeviceError::OtherDevice))
        }
    }

    /// What the target says of itself.
    pub(crate) fn status(&self, mapper: &DeviceMapper) -> io::Result<String> {
        mapper.status(&self.name)
    }

    /// The table that is in force, by the kernel's account.
    pub(crate) fn table(&self, mapper: &DeviceMapper) -> io::Result<Table> {
        mapper.table(&self.name)
    }

    /// Removes the device.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove(&self.name)
    }
}

fn remove(name: &str) -> io::Result<()> {
    let mapper = DeviceMapper::open()?.ok_or(io::ErrorKind::NotFound)?;
    release(|| mapper.remove(name))
}

/// Names are global in the kernel: one that cannot be guessed meets no other.
fn unguessable_name(kind: &str) -> Result<String, MapDeviceError> {
    let number = getrandom::u64().map_err(MapDeviceError::Name)?;
    Ok(format!("cce-{kind}-{number:016x}"))
}
