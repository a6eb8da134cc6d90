//! Block devices of the host's.
//!
//! The host names a device and can exchange what the name stands for at any time. A device is therefore
//! resolved once, held open, and known by its number from then on.

mod mapped;
mod partition;
mod pci;
mod scsi;
mod sysfs;
mod write_guard;

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use policy_engine::request::{BlockSource, PartitionNumber};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};

use crate::retry::retry;
use sysfs::FoundDisk;

pub use mapped::MapDeviceError;
pub(crate) use mapped::{MappedDevice, mapper};
pub use sysfs::FindDiskError;

/// How often a device that is not there yet is looked for: five seconds. A disk is plugged in just before the
/// request that uses it, and the guest's kernel needs a moment to find it.
const HOTPLUG_ATTEMPTS: u32 = 250;

/// Why a block device was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenDeviceError {
    /// The address leads to no disk.
    #[error("cannot find the disk by its address")]
    Find(#[source] FindDiskError),
    /// The disk has no such partition.
    #[error("cannot find the partition of the disk")]
    Partition(#[source] FindDiskError),
    /// The node is missing or does not open.
    #[error("cannot open the device node")]
    Open(#[source] io::Error),
    /// The node's own data could not be read.
    #[error("cannot inspect the device node")]
    Inspect(#[source] io::Error),
    /// Not a block device: opening and reading other nodes has effects of its own.
    #[error("the device node is not a block device")]
    NotBlock,
    /// The node stands for another device than the one found by its address.
    #[error("the device node belongs to another device")]
    OtherDevice,
}

impl OpenDeviceError {
    /// Whether the device may still appear.
    fn is_transient(&self) -> bool {
        match self {
            Self::Find(cause) | Self::Partition(cause) => cause.is_transient(),
            Self::Open(cause) => absent(cause),
            Self::Inspect(_) | Self::NotBlock | Self::OtherDevice => false,
        }
    }
}

/// What a device is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
}

/// The number of a block device: `major:minor` in tables of the device mapper and in sysfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeviceNumber(u64);

impl DeviceNumber {
    fn new(major: u32, minor: u32) -> Self {
        Self(rustix::fs::makedev(major, minor))
    }

    /// Whether this is the device with such a number in a file's status.
    pub(crate) fn is_of(self, status_number: u64) -> bool {
        self.0 == status_number
    }

    fn minor(self) -> u32 {
        rustix::fs::minor(self.0)
    }
}

impl std::fmt::Display for DeviceNumber {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", rustix::fs::major(self.0), rustix::fs::minor(self.0))
    }
}

/// A block device, open.
#[derive(Debug)]
pub(crate) struct BlockDevice {
    file: File,
    number: DeviceNumber,
    size_bytes: u64,
}

impl BlockDevice {
    /// Opens the device that `source` names, waiting a while for one that is being plugged in.
    pub(crate) fn open(source: &BlockSource, access: Access) -> Result<Self, OpenDeviceError> {
        retry(HOTPLUG_ATTEMPTS, OpenDeviceError::is_transient, || Self::open_now(source, access))
    }

    /// Opens the device that `source` names at this moment.
    pub(crate) fn open_now(source: &BlockSource, access: Access) -> Result<Self, OpenDeviceError> {
        let found = match source {
            BlockSource::Node(name) => return Self::open_node(&Path::new("/dev").join(name), access),
            BlockSource::PciPath(slots) => pci::find(slots),
            BlockSource::Scsi(address) => scsi::find(*address),
        };
        Self::open_found(&found.map_err(OpenDeviceError::Find)?, access)
    }

    /// Opens a partition of this disk, waiting a while for the kernel to read the partition table.
    pub(crate) fn open_partition(&self, number: PartitionNumber) -> Result<Self, OpenDeviceError> {
        retry(HOTPLUG_ATTEMPTS, OpenDeviceError::is_transient, || self.open_partition_now(number))
    }

    /// Opens a partition that this disk has at this moment.
    pub(crate) fn open_partition_now(&self, number: PartitionNumber) -> Result<Self, OpenDeviceError> {
        let found = partition::find(self.number, number).map_err(OpenDeviceError::Partition)?;
        Self::open_found(&found, Access::ReadOnly)
    }

    /// Opens the node of what was found, and no other: its number is compared.
    fn open_found(found: &FoundDisk, access: Access) -> Result<Self, OpenDeviceError> {
        let device = Self::open_node(&Path::new("/dev").join(&found.name), access)?;
        if device.number == found.number { Ok(device) } else { Err(OpenDeviceError::OtherDevice) }
    }

    /// Opens a node directly below `/dev`, which must be a block device.
    pub(crate) fn open_node(node: &Path, access: Access) -> Result<Self, OpenDeviceError> {
        let mode = match access {
            Access::ReadOnly => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
        };
        // Without O_NONBLOCK a FIFO in the node's place would block until somebody writes to it.
        let flags = mode | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let file = rustix::fs::openat2(CWD, node, flags, Mode::empty(), resolve)
            .map_err(|error| OpenDeviceError::Open(error.into()))?;
        Self::from_file(file.into())
    }

    /// Takes over a device that is open already.
    pub(crate) fn from_file(mut file: File) -> Result<Self, OpenDeviceError> {
        let status = rustix::fs::fstat(&file).map_err(|error| OpenDeviceError::Inspect(error.into()))?;
        if FileType::from_raw_mode(status.st_mode) != FileType::BlockDevice {
            return Err(OpenDeviceError::NotBlock);
        }
        let size_bytes = file.seek(SeekFrom::End(0)).map_err(OpenDeviceError::Inspect)?;
        file.rewind().map_err(OpenDeviceError::Inspect)?;
        Ok(Self { file, number: DeviceNumber(status.st_rdev), size_bytes })
    }

    /// The device's number: what it is from now on.
    pub(crate) fn number(&self) -> DeviceNumber {
        self.number
    }

    /// The size the device had when it was opened, in bytes.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Whether `other` is this device, as large as it was.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.number == other.number && self.size_bytes == other.size_bytes
    }

    /// Reads exactly as many bytes as fit into `buffer`.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset_bytes)
    }

    /// Writes all of `bytes` and waits until the disk has them.
    pub(crate) fn write_all_at(&self, bytes: &[u8], offset_bytes: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset_bytes)?;
        self.file.sync_all()
    }

    /// The device as a file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The device as a stream, from its start.
    pub(crate) fn stream(&self) -> io::Result<&File> {
        (&self.file).rewind()?;
        Ok(&self.file)
    }

    /// Makes the guest's kernel refuse writes, until everybody who asked for it has let go.
    pub(crate) fn hold_read_only(&self) -> io::Result<()> {
        write_guard::hold(self)
    }

    /// Lets go: the last one leaves the device writable if it was.
    pub(crate) fn release_read_only(&self) {
        write_guard::release(self);
    }
}

impl AsFd for BlockDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn absent(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [rustix::io::Errno::NOENT, rustix::io::Errno::NXIO, rustix::io::Errno::NODEV]
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_block_devices_are_opened() {
        let open = |path: &Path| BlockDevice::open_node(path, Access::ReadOnly);
        assert!(matches!(open(Path::new("/dev/null")), Err(OpenDeviceError::NotBlock)));
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(matches!(open(&fifo), Err(OpenDeviceError::NotBlock)));
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        assert!(matches!(open(&link), Err(OpenDeviceError::Open(_))));
    }
}
