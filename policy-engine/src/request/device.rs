//! Read-only layer devices.

mod hash_tree;
mod source;

use std::str::FromStr;

pub use hash_tree::{HashOffset, HashSalt, HashTree, ParseHashSaltError};
pub use source::{
    BlockSource, ParseBlockSourceError, ParsePartitionNumberError, PartitionNumber, ScsiAddress,
};

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

/// The file system of a layer. The kernel parses it only behind the root hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerFilesystem {
    /// ext4 with 4 KiB blocks.
    Ext4,
    /// erofs.
    Erofs,
    /// squashfs.
    Squashfs,
}

impl LayerFilesystem {
    /// The kernel's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Erofs => "erofs",
            Self::Squashfs => "squashfs",
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
    /// The disk that holds data and hash tree.
    pub source: BlockSource,
    /// The partition that holds them; without one they have the whole disk.
    pub partition: Option<PartitionNumber>,
    /// Where the hash tree is and what it was made with. The host's word: the root hash proves it or nothing is read.
    pub hash_tree: HashTree,
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
}
