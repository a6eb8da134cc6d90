//! What exists in the guest. Kept apart from the policy's own state: the policy says what may be, this says
//! what is.

mod layers;
mod processes;

use std::collections::BTreeMap;

use executor::container::Container;
use executor::mounts::Overlay;
use executor::scratch::Scratch;
use policy_engine::request::DeviceTarget;
use policy_engine::{ContainerId, GuestPath, SandboxId};

pub(crate) use layers::{LayerConflict, Layers};
pub(crate) use processes::{EXECS_MAX, ProcessKey, Processes};

/// A container and what it stands on, in the order in which it was made.
pub(crate) struct Resident {
    /// Its layers, base first. Others may share them.
    pub(crate) layers: Vec<DeviceTarget>,
    /// Its writable space.
    pub(crate) scratch: Option<(GuestPath, Scratch)>,
    /// Its root file system.
    pub(crate) overlay: (GuestPath, Overlay),
    /// Its processes and cgroup.
    pub(crate) container: Container,
}

/// What a container stood on and policy, or the kernel, would not let go.
#[derive(Default)]
pub(crate) struct Foundation {
    pub(crate) layers: Vec<DeviceTarget>,
    pub(crate) scratch: Option<(GuestPath, Scratch)>,
    pub(crate) overlay: Option<(GuestPath, Overlay)>,
}

/// Everything that was made and not yet taken down.
#[derive(Default)]
pub(crate) struct Inventory {
    pub(crate) sandbox: Option<SandboxId>,
    pub(crate) layers: Layers,
    pub(crate) containers: BTreeMap<ContainerId, Resident>,
    /// Held so that nothing is unmounted behind the policy's back; the guest ends with them.
    pub(crate) remnants: Vec<Foundation>,
    pub(crate) processes: Processes,
}
