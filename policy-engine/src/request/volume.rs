//! Volumes of the pod: writable directories that begin empty and that its containers share.

use std::fmt;
use std::str::FromStr;

use super::{EnforcementPoint, Judged, Request, SANDBOX_MOUNTS_DIRECTORY, ScratchBacking};
use crate::path::{GuestPath, ParsePathError};
use crate::question::{self, Question};

/// Where a volume is: strictly below [`SANDBOX_MOUNTS_DIRECTORY`], which is what `sandbox://` stands for in the mount
/// sources of a policy, or the place of the pod's shared memory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeTarget(GuestPath);

impl VolumeTarget {
    /// Where Kata's shims ask for the pod's shared memory.
    pub const SHARED_MEMORY: &'static str = "/run/kata-containers/sandbox/shm";
    /// Names on the way from the directory of all volumes to one, at the most.
    const DEPTH_MAX: usize = 16;

    /// The path of the mount.
    #[must_use]
    pub fn path(&self) -> &GuestPath {
        &self.0
    }

    /// Whether one of the two lies in the other, or both are one.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (one, other) = (self.0.as_path(), other.0.as_path());
        one.starts_with(other) || other.starts_with(one)
    }
}

/// Why a text is not a volume's mount point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseVolumeTargetError {
    /// Not a guest path.
    #[error("the mount point of a volume is not a path")]
    Path(#[source] ParsePathError),
    /// A path of another form: nothing of the host's is mounted anywhere else.
    #[error("the mount point of a volume is 1 to 16 names below `{SANDBOX_MOUNTS_DIRECTORY}`")]
    Form,
}

impl FromStr for VolumeTarget {
    type Err = ParseVolumeTargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path: GuestPath = text.parse().map_err(ParseVolumeTargetError::Path)?;
        let depth = path.as_path().strip_prefix(SANDBOX_MOUNTS_DIRECTORY).map(|rest| rest.iter().count());
        let below = depth.is_ok_and(|names| (1..=Self::DEPTH_MAX).contains(&names));
        if below || text == Self::SHARED_MEMORY { Ok(Self(path)) } else { Err(ParseVolumeTargetError::Form) }
    }
}

impl fmt::Display for VolumeTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What a volume is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeBacking {
    /// A file system of its own.
    Own(ScratchBacking),
    /// A directory of the sandbox's scratch.
    Directory {
        /// Where that scratch is mounted.
        scratch: GuestPath,
        /// Whether only the guest can read what is written to it: the guest's knowledge, never the host's word.
        encrypted: bool,
    },
}

/// Permissions of a directory: the twelve lowest bits of a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeMode(u16);

impl VolumeMode {
    /// Whoever has the volume may write to it: what Kubernetes gives its `emptyDir`.
    pub const OPEN: Self = Self(0o777);
    /// New files get the directory's group.
    const SET_GROUP: u16 = 0o2000;

    /// The mode `bits`; `None` for bits that are no permissions.
    #[must_use]
    pub fn new(bits: u32) -> Option<Self> {
        u16::try_from(bits).ok().filter(|bits| *bits <= 0o7777).map(Self)
    }

    /// The same for a directory whose group new files get.
    #[must_use]
    pub fn with_set_group(self) -> Self {
        Self(self.0 | Self::SET_GROUP)
    }

    /// The bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0.into()
    }
}

/// Makes a volume of the pod, which lives as long as the sandbox. It is judged as scratch is: nothing of the host's is
/// in it, and who may mount it is the affair of `create_container`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountVolume {
    /// Where it is mounted.
    pub target: VolumeTarget,
    /// What it is made of.
    pub backing: VolumeBacking,
    /// Permissions of its root directory.
    pub mode: VolumeMode,
    /// The group of its root directory; without one it is root's.
    pub group: Option<u32>,
    /// Whether no program on it gets raised rights.
    pub nosuid: bool,
    /// Whether nothing on it is executed.
    pub noexec: bool,
}

impl Request for MountVolume {
    const POINT: EnforcementPoint = EnforcementPoint::ScratchMount;
}

impl Judged for MountVolume {
    fn question(&self) -> Question<'_> {
        let encrypted = match &self.backing {
            VolumeBacking::Own(backing) => backing.is_encrypted(),
            VolumeBacking::Directory { encrypted, .. } => *encrypted,
        };
        Question::ScratchMount(question::ScratchMount { target: self.target.path().as_str(), encrypted })
    }
}

/// Unmounts a volume; its content is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmountVolume {
    /// Where it is mounted.
    pub target: VolumeTarget,
}

impl Request for UnmountVolume {
    const POINT: EnforcementPoint = EnforcementPoint::ScratchUnmount;
    const TEARDOWN: bool = true;
}

impl Judged for UnmountVolume {
    fn question(&self) -> Question<'_> {
        Question::ScratchUnmount(question::Unmount { target: self.target.path().as_str() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_lie_below_the_sandboxs_mounts() {
        let deep = format!("{SANDBOX_MOUNTS_DIRECTORY}{}", "/d".repeat(17));
        for good in ["/run/gcs/sandboxMounts/tmp/atlas/emptydir/cache", VolumeTarget::SHARED_MEMORY] {
            assert_eq!(good.parse::<VolumeTarget>().unwrap().to_string(), good);
        }
        for bad in [
            "/run/gcs/sandboxMounts",
            "/run/gcs/sandboxMountsX/a",
            "/run/gcs/sandboxMounts/../c",
            "/run/kata-containers/sandbox",
            "/run/kata-containers/sandbox/shm/a",
            "/etc",
            &deep,
        ] {
            assert!(bad.parse::<VolumeTarget>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_volume_overlaps_what_it_is_in() {
        let target =
            |name: &str| format!("{SANDBOX_MOUNTS_DIRECTORY}/{name}").parse::<VolumeTarget>().unwrap();
        assert!(target("a").overlaps(&target("a")));
        assert!(target("a").overlaps(&target("a/b")) && target("a/b").overlaps(&target("a")));
        assert!(!target("a").overlaps(&target("ab")));
    }

    #[test]
    fn modes_are_permissions_only() {
        assert_eq!(VolumeMode::new(0o1777).map(VolumeMode::bits), Some(0o1777));
        assert_eq!(VolumeMode::new(0o10000), None);
        assert_eq!(VolumeMode::OPEN.with_set_group().bits(), 0o2777);
    }
}
