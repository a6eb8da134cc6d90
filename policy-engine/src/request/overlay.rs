//! Root file systems: layers below, scratch above.

use super::{DeviceTarget, EnforcementPoint, Judged, Request};
use crate::name::ContainerId;
use crate::path::GuestPath;
use crate::question::{self, Question};

/// Assembles a container's root file system from mounted layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountOverlay {
    /// The container it is for.
    pub container_id: ContainerId,
    /// The layers, topmost first, as overlayfs wants them.
    pub layers: Vec<DeviceTarget>,
    /// The mounted scratch that takes the writes; without one the root is read-only.
    pub scratch: Option<GuestPath>,
    /// Where it is mounted.
    pub target: GuestPath,
}

impl Request for MountOverlay {
    const POINT: EnforcementPoint = EnforcementPoint::MountOverlay;
}

impl Judged for MountOverlay {
    fn question(&self) -> Question<'_> {
        Question::MountOverlay(question::MountOverlay {
            container_id: self.container_id.as_str(),
            layer_paths: self.layers.iter().map(|layer| layer.path().as_str()).collect(),
            target: self.target.as_str(),
        })
    }
}

/// Unmounts a container's root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmountOverlay {
    /// Where it is mounted.
    pub target: GuestPath,
}

impl Request for UnmountOverlay {
    const POINT: EnforcementPoint = EnforcementPoint::UnmountOverlay;
    const TEARDOWN: bool = true;
}

impl Judged for UnmountOverlay {
    fn question(&self) -> Question<'_> {
        Question::UnmountOverlay(question::Unmount { target: self.target.as_str() })
    }
}
