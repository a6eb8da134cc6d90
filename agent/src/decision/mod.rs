//! What the guest does about a request: it asks the policy, hands the permit to the executor, and keeps the
//! inventory.
//!
//! Changes run one at a time on a thread of their own ([`Worker`]). A host that gives up waiting does not
//! cancel anything: what was begun is finished or undone.

mod control;
mod create_container;
mod guest;
mod processes;
mod remove_container;
mod worker;

use executor::container as containers;
use executor::{layers, mounts, observe, scratch, volumes};
use policy_engine::Refusal;

use crate::inventory::{LayerConflict, VolumeConflict};

pub(crate) use control::{OomEvents, OomReceiver};
pub(crate) use guest::Guest;
pub(crate) use worker::{Overloaded, Worker};

/// Why an operation did not happen, or not wholly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperationError {
    /// There is no permit.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing of that name exists.
    #[error("there is no such {what}")]
    NotFound { what: &'static str },
    /// Something of that name exists, and stays as it is.
    #[error("a {what} of this id exists already")]
    Exists { what: &'static str },
    /// The request comes too early or too late.
    #[error("{needed}")]
    State { needed: &'static str },
    /// A mount point is in use for another layer.
    #[error(transparent)]
    LayerConflict(#[from] LayerConflict),
    /// A volume cannot be made beside those that there are.
    #[error(transparent)]
    VolumeConflict(#[from] VolumeConflict),
    #[error("cannot mount layer {target}")]
    MountDevice {
        target: String,
        #[source]
        source: layers::MountDeviceError,
    },
    #[error("cannot unmount a layer")]
    UnmountDevice(#[source] layers::UnmountDeviceError),
    #[error("cannot mount scratch")]
    ScratchMount(#[source] scratch::ScratchMountError),
    #[error("cannot unmount scratch")]
    ScratchUnmount(#[source] scratch::ScratchUnmountError),
    #[error("cannot assemble the root file system")]
    MountOverlay(#[source] mounts::MountOverlayError),
    #[error("cannot take the root file system apart")]
    UnmountOverlay(#[source] mounts::UnmountOverlayError),
    #[error("cannot make a volume")]
    MountVolume(#[source] volumes::MountVolumeError),
    #[error("cannot take a volume down")]
    UnmountVolume(#[source] volumes::UnmountVolumeError),
    #[error("cannot read the container's users")]
    Users(#[source] observe::ReadUsersError),
    #[error("cannot create the container")]
    Create(#[source] containers::CreateError),
    #[error("cannot start the container")]
    Start(#[source] containers::StartContainerError),
    #[error("cannot execute the process")]
    Exec(#[source] containers::ExecError),
    #[error("cannot pause or resume the container")]
    Pause(#[source] containers::PauseError),
    #[error("cannot change the container's limits")]
    Update(#[source] containers::UpdateError),
    #[error("cannot send the signal")]
    Signal(#[source] containers::SignalError),
    #[error("cannot read the statistics")]
    Stats(#[source] containers::StatsError),
    #[error("cannot remove the container")]
    Remove(#[source] containers::RemoveError),
}
