//! Disks of a machine, and where the guest sees them.
//!
//! Every disk sits behind a PCI Express port of its own, so that it can be taken away or added while the guest runs.
//! The port's place on the root bus is fixed by the disk's number; so is the address that the host names in requests.

use std::path::PathBuf;

/// Place on the root bus of the first disk's port.
const FIRST_SLOT: u8 = 0x08;
/// Disks that one machine can have: the root bus ends at slot 0x1e (QEMU's own devices are at 0x1f).
pub(crate) const MAX_DISKS: u8 = 22;

/// Whether the guest may write to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The hypervisor refuses writes.
    ReadOnly,
    /// Writes go to the file.
    ReadWrite,
}

/// A raw file that becomes a virtio block device.
#[derive(Debug, Clone)]
pub struct Disk {
    /// The file.
    pub file: PathBuf,
    /// Whether the guest may write to it.
    pub access: Access,
}

impl Disk {
    /// A disk that the guest reads: a layer.
    #[must_use]
    pub fn read_only(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), access: Access::ReadOnly }
    }

    /// A disk that the guest writes to: scratch.
    #[must_use]
    pub fn read_write(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), access: Access::ReadWrite }
    }
}

/// What persistent memory is to the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryBus {
    /// A module that the firmware's tables describe.
    Nvdimm,
    /// A virtio device.
    Virtio,
}

/// A raw file that becomes persistent memory, to which the guest may write as far as the hypervisor cares.
#[derive(Debug, Clone)]
pub struct PersistentMemory {
    /// What it is to the guest.
    pub bus: MemoryBus,
    /// The file.
    pub file: PathBuf,
    /// Its size in MiB: of a module an even number, for Linux takes it in pieces of 2 MiB, and of a virtio device a
    /// multiple of 128, in which Linux maps memory that is none of its own.
    pub size_mib: u32,
}

/// Where the guest sees a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuestDisk {
    number: u8,
}

impl GuestDisk {
    /// The address of the disk with this number, counted from 0.
    pub(crate) fn numbered(number: u8) -> Option<Self> {
        (number < MAX_DISKS).then_some(Self { number })
    }

    /// The place of the disk's port on the root bus.
    pub(crate) fn slot(self) -> u8 {
        FIRST_SLOT.saturating_add(self.number)
    }

    /// Address in Kata's notation: the slot of the port, then the slot behind it.
    #[must_use]
    pub fn pci_path(self) -> String {
        format!("{:02x}/00", self.slot())
    }

    /// The device's name in a guest in which every disk was there at boot. A name says nothing about a disk that was
    /// added or taken away later; the PCI path does.
    #[must_use]
    pub fn boot_device(self) -> String {
        format!("/dev/vd{}", char::from(b'a'.saturating_add(self.number)))
    }

    pub(crate) fn port_id(self) -> String {
        format!("port{}", self.number)
    }

    pub(crate) fn device_id(self) -> String {
        format!("disk{}", self.number)
    }

    pub(crate) fn node_name(self) -> String {
        format!("file{}", self.number)
    }

    /// QEMU's `-device` for the port.
    pub(crate) fn port_argument(self) -> String {
        let number = self.number.saturating_add(1);
        format!(
            "pcie-root-port,id={},chassis={number},slot={number},bus=pcie.0,addr={:#04x}",
            self.port_id(),
            self.slot()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_from_the_number() {
        let disk = GuestDisk::numbered(0).unwrap();
        assert_eq!((disk.pci_path().as_str(), disk.boot_device().as_str()), ("08/00", "/dev/vda"));
        let disk = GuestDisk::numbered(MAX_DISKS - 1).unwrap();
        assert_eq!((disk.pci_path().as_str(), disk.boot_device().as_str()), ("1d/00", "/dev/vdv"));
        assert_eq!(GuestDisk::numbered(MAX_DISKS), None);
    }

    #[test]
    fn no_two_disks_share_a_place() {
        let places: std::collections::BTreeSet<_> =
            (0..MAX_DISKS).map(|number| GuestDisk::numbered(number).unwrap().slot()).collect();
        assert_eq!(places.len(), usize::from(MAX_DISKS));
    }
}
