//! Read-only layer devices.

use std::fmt;
use std::str::FromStr;

use super::{EnforcementPoint, Judged, Request};
use crate::digest::RootHash;
use crate::path::{GuestPath, ParsePathError};
use crate::question::{self, Question};

/// Where layers are mounted: `/run/mounts/scsi/m<N>`, the form that CCE policies name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceTarget(GuestPath);

impl DeviceTarget {
    /// The directory of all layer mounts.
    pub const DIRECTORY: &'static str = "/run/mounts/scsi";

    /// The pattern that the policy is told: it matches every target and nothing else.
    pub const PATTERN: &'static str = "/run/mounts/scsi/m[0-9]+";

    /// The path of the mount.
    #[must_use]
    pub fn path(&self) -> &GuestPath {
        &self.0
    }
}

/// Why a text is not a layer's mount target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseDeviceTargetError {
    /// Not a guest path.
    #[error("the mount point of a layer is not a path")]
    Path(#[source] ParsePathError),
    /// A path of another form: nothing of the host's is mounted anywhere else.
    #[error("the mount point of a layer is `/run/mounts/scsi/m` and up to nine digits")]
    Form,
}

impl FromStr for DeviceTarget {
    type Err = ParseDeviceTargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path: GuestPath = text.parse().map_err(ParseDeviceTargetError::Path)?;
        let number = text.strip_prefix("/run/mounts/scsi/m").ok_or(ParseDeviceTargetError::Form)?;
        if !(1..=9).contains(&number.len()) || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseDeviceTargetError::Form);
        }
        Ok(Self(path))
    }
}

/// Where the guest finds a block device. The host chooses it freely: dm-verity decides what may be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BlockSource {
    /// A virtio-blk device by its PCI path: slot numbers from the root bus down.
    PciPath(Vec<u8>),
    /// A device node, directly below `/dev`.
    Node(String),
}

/// Why a text names no block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseBlockSourceError {
    /// Neither `/dev/<name>` nor a PCI path.
    #[error("a block device is `/dev/<name>` or a PCI path such as `05` or `02/05`")]
    Form,
    /// PCI slots are two hexadecimal digits, `00` to `1f`, four levels at the most.
    #[error("a PCI path has one to four slots from `00` to `1f`")]
    PciSlot,
}

impl FromStr for BlockSource {
    type Err = ParseBlockSourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(name) = text.strip_prefix("/dev/") {
            let plain =
                (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            return plain.then(|| Self::Node(name.to_owned())).ok_or(ParseBlockSourceError::Form);
        }
        if text.is_empty() || text.starts_with('/') {
            return Err(ParseBlockSourceError::Form);
        }
        let slot = |part: &str| match (part.len(), u8::from_str_radix(part, 16)) {
            (2, Ok(number)) if number < 0x20 && !part.starts_with('+') => Ok(number),
            _ => Err(ParseBlockSourceError::PciSlot),
        };
        let slots = text.split('/').take(5).map(slot).collect::<Result<Vec<_>, _>>()?;
        if slots.len() > 4 { Err(ParseBlockSourceError::PciSlot) } else { Ok(Self::PciPath(slots)) }
    }
}

impl fmt::Display for BlockSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(formatter, "/dev/{name}"),
            Self::PciPath(slots) => {
                let parts: Vec<String> = slots.iter().map(|slot| format!("{slot:02x}")).collect();
                formatter.write_str(&parts.join("/"))
            }
        }
    }
}

/// The file system of a layer. The kernel parses it only behind dm-verity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerFilesystem {
    /// ext4 with 4 KiB blocks.
    Ext4,
    /// erofs.
    Erofs,
}

impl LayerFilesystem {
    /// The kernel's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Erofs => "erofs",
        }
    }
}

/// Mounts a layer read-only behind dm-verity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountDevice {
    /// Where it is mounted.
    pub target: DeviceTarget,
    /// The root hash that policy must name and the kernel enforces.
    pub root_hash: RootHash,
    /// The device that holds data and hash tree.
    pub source: BlockSource,
    /// Where the verity superblock starts, which is the size of the data area, in bytes.
    pub hash_offset_bytes: u64,
    /// The file system in the data area.
    pub filesystem: LayerFilesystem,
}

impl Request for MountDevice {
    const POINT: EnforcementPoint = EnforcementPoint::MountDevice;
}

impl Judged for MountDevice {
    fn question(&self) -> Question<'_> {
        Question::MountDevice(question::MountDevice {
            target: self.target.path().as_str(),
            device_hash: self.root_hash.to_string().into(),
            mount_path_regex: DeviceTarget::PATTERN,
        })
    }
}

/// Unmounts a layer and removes its dm-verity device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmountDevice {
    /// Where it is mounted.
    pub target: DeviceTarget,
}

impl Request for UnmountDevice {
    const POINT: EnforcementPoint = EnforcementPoint::UnmountDevice;
    const TEARDOWN: bool = true;
}

impl Judged for UnmountDevice {
    fn question(&self) -> Question<'_> {
        Question::UnmountDevice(question::Unmount { target: self.target.path().as_str() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_mounted_in_one_place() {
        assert!("/run/mounts/scsi/m0".parse::<DeviceTarget>().is_ok());
        for bad in ["/run/mounts/scsi/m", "/run/mounts/scsi/mx", "/etc", "/run/mounts/scsi/m0/../m1", "m0"] {
            assert!(bad.parse::<DeviceTarget>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn block_devices_are_nodes_or_pci_paths() {
        for good in ["/dev/vda", "/dev/loop12", "05", "02/1f"] {
            assert_eq!(good.parse::<BlockSource>().unwrap().to_string(), good);
        }
        for bad in
            ["", "/dev/", "/dev/../x", "/dev/mapper/x", "/etc/passwd", "5", "20", "+5", "01/02/03/04/05", "/"]
        {
            assert!(bad.parse::<BlockSource>().is_err(), "{bad:?}");
        }
    }
}
