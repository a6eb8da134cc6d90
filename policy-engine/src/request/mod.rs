//! The vocabulary: everything that a host can ask of the guest and that changes it.
//!
//! Both front doors translate into these types and nothing else reaches a decision. A request holds all
//! that its execution needs: there is no second copy of it beside the permit.

mod container;
mod device;
mod lifecycle;
pub mod linux;
mod overlay;
mod process;
mod resources;
mod sandbox;
mod scratch;
mod sealed_layer;
mod volume;

pub use container::{
    ContainerKind, ContainerMount, CreateContainer, HUGE_PAGES_DIRECTORY, SANDBOX_MOUNTS_DIRECTORY,
};
pub use device::{
    BlockSource, DeviceTarget, HashOffset, HashSalt, HashTree, LayerFilesystem, MountDevice,
    ParseBlockSourceError, ParseDeviceTargetError, ParseHashSaltError, ParsePartitionNumberError,
    PartitionNumber, ScsiAddress, UnmountDevice,
};
pub use lifecycle::{
    GetProperties, PauseContainer, ResumeContainer, ShutdownContainer, Signal, SignalContainerProcess,
    UpdateContainer,
};
pub use overlay::{MountOverlay, UnmountOverlay};
pub use process::{
    CapabilitySets, DEFAULT_CAPABILITIES, ExecInContainer, ProcessSpec, Rlimit, TerminalSize, User,
};
pub use resources::{
    BlockIoResources, CpuResources, DeviceNumber, DeviceRate, DeviceWeight, HugepageLimit, HugepageSize,
    IndexList, Maximum, MemoryResources, ParseHugepageSizeError, ParseIndexListError, ParseUnifiedFileError,
    RdmaLimit, Resources, ThrottleKind, UnifiedFile, UnifiedSetting,
};
pub use sandbox::{CreateSandbox, DestroySandbox, Hostname, ParseHostnameError};
pub use scratch::{ScratchBacking, ScratchMount, ScratchUnmount};
pub use sealed_layer::MountSealedLayer;
pub use volume::{
    MountVolume, ParseVolumeTargetError, UnmountVolume, VolumeBacking, VolumeMode, VolumeTarget,
};

use private::Judged;

/// A question of the CCE policy's API: one rule of the tenant's policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EnforcementPoint {
    /// `mount_device`
    MountDevice,
    /// `unmount_device`
    UnmountDevice,
    /// `mount_overlay`
    MountOverlay,
    /// `unmount_overlay`
    UnmountOverlay,
    /// `create_container`
    CreateContainer,
    /// `exec_in_container`
    ExecInContainer,
    /// `signal_container_process`
    SignalContainerProcess,
    /// `shutdown_container`
    ShutdownContainer,
    /// `scratch_mount`
    ScratchMount,
    /// `scratch_unmount`
    ScratchUnmount,
    /// `get_properties`
    GetProperties,
    /// `linux_settings`: of containers and processes that ask for more than the guest gives every one
    /// ([`linux`]). The framework has no such rule, only a policy of the tenant's own can have one.
    LinuxSettings,
    /// `load_fragment`
    LoadFragment,
    /// `load_transparency_trust_list`
    LoadTransparencyTrustList,
    /// Bringing the sandbox up: no rule of the CCE policy speaks of it, a fixed rule of the guest does
    /// (once, before the first container).
    CreateSandbox,
    /// Pausing, resuming and limiting a container: no rule of the CCE policy speaks of it, and it is always allowed,
    /// since the host can stop the guest's processors and take its memory.
    ControlContainer,
    /// Taking the guest down: always allowed, since the host can cut the power.
    DestroySandbox,
}

impl EnforcementPoint {
    /// The name of the rule in the policy, and in explanations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MountDevice => "mount_device",
            Self::UnmountDevice => "unmount_device",
            Self::MountOverlay => "mount_overlay",
            Self::UnmountOverlay => "unmount_overlay",
            Self::CreateContainer => "create_container",
            Self::ExecInContainer => "exec_in_container",
            Self::SignalContainerProcess => "signal_container_process",
            Self::ShutdownContainer => "shutdown_container",
            Self::ScratchMount => "scratch_mount",
            Self::ScratchUnmount => "scratch_unmount",
            Self::GetProperties => "get_properties",
            Self::LinuxSettings => "linux_settings",
            Self::LoadFragment => "load_fragment",
            Self::LoadTransparencyTrustList => "load_transparency_trust_list",
            Self::CreateSandbox => "create_sandbox",
            Self::ControlContainer => "control_container",
            Self::DestroySandbox => "destroy_sandbox",
        }
    }
}

/// A request that can be judged. Closed: only this crate's types implement it.
pub trait Request: Judged + std::fmt::Debug + Send + 'static {
    /// The rule that judges it.
    const POINT: EnforcementPoint;

    /// Whether it only takes things down. A poisoned guest does nothing else.
    const TEARDOWN: bool = false;
}

/// A request that reads and changes nothing: it is judged, but leaves no permit to settle.
pub trait ReadRequest: Request {}

mod private {
    /// What the engine needs of a request; unreachable outside the crate, which closes [`super::Request`].
    pub trait Judged {
        /// What the policy is asked.
        fn question(&self) -> crate::question::Question<'_>;

        /// What it is asked first, when the request has settings that the guest does not give of its own accord.
        fn settings(&self) -> Option<crate::question::Question<'_>> {
            None
        }

        /// Takes over what the decision changed: dropped environment, dropped capabilities, stdio.
        fn amend(&mut self, _amendment: &crate::amendment::Amendment) {}
    }
}
