//! Layers that the guest made itself.

use super::{DeviceTarget, EnforcementPoint, Judged, Request};
use crate::digest::RootHash;
use crate::question::{self, Question};

/// Mounts a layer that the guest holds in sealed memory of its own, such as one that it pulled.
///
/// The policy is asked what it is asked about a layer on a disk: it names content and not where content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSealedLayer {
    /// Where it is mounted. The guest chooses.
    pub target: DeviceTarget,
    /// The root hash that policy must name. The guest computed it of the memory that is mounted.
    pub root_hash: RootHash,
}

impl Request for MountSealedLayer {
    const POINT: EnforcementPoint = EnforcementPoint::MountDevice;
}

impl Judged for MountSealedLayer {
    fn question(&self) -> Question<'_> {
        Question::MountDevice(question::MountDevice {
            target: self.target.path().as_str(),
            device_hash: self.root_hash.to_string().into(),
            mount_path_regex: DeviceTarget::PATTERN,
        })
    }
}
