//! What exists in the guest. Kept apart from the policy's own state: the policy says what may be, this says
//! what is.

mod layers;
mod processes;
mod volumes;

use std::collections::BTreeMap;

use executor::container::Container;
use executor::observe::Users;
use policy_engine::{ContainerId, SandboxId};

use crate::foundation::{Foundation, Foundations, GuestKernel};

pub(crate) use layers::{LayerConflict, Layers};
pub(crate) use processes::{EXECS_MAX, ProcessKey, Processes};
pub(crate) use volumes::{VolumeConflict, Volumes};

/// A container and what it stands on.
pub(crate) struct Resident {
    /// Its root file system and all below it.
    pub(crate) foundation: Foundation<GuestKernel>,
    /// Its processes and cgroup.
    pub(crate) container: Container,
    /// Who its root file system said there is before anything ran in it.
    pub(crate) users: Users,
}

/// Everything that was made and not yet taken down.
pub(crate) struct Inventory {
    pub(crate) sandbox: Option<SandboxId>,
    pub(crate) foundations: Foundations<GuestKernel>,
    pub(crate) containers: BTreeMap<ContainerId, Resident>,
    pub(crate) processes: Processes,
}

impl Inventory {
    pub(crate) fn new(kernel: GuestKernel) -> Self {
        Self {
            sandbox: None,
            foundations: Foundations::new(kernel),
            containers: BTreeMap::new(),
            processes: Processes::default(),
        }
    }
}
