//! The hands that mount and unmount.

use std::sync::Arc;

use executor::boot::SecurityContext;
use executor::layers::{self, Layer, SealedLayer};
use executor::mounts::{self, Overlay};
use executor::scratch::{self, Scratch};
use executor::volumes::{self, Volume};
use policy_engine::request::{
    MountDevice, MountOverlay, MountSealedLayer, MountVolume, ScratchMount, ScratchUnmount, UnmountDevice,
    UnmountOverlay, UnmountVolume,
};
use policy_engine::{Permit, RootHash};

use crate::decision::OperationError;

/// Mounts and unmounts what a permit names, and settles it. The guest's kernel, except in tests of what is counted.
pub(crate) trait Kernel {
    type Layer;
    /// The content of a layer that the guest made.
    type Sealed;
    type Scratch;
    type Overlay;
    type Volume;

    fn mount_layer(&self, permit: Permit<MountDevice>) -> Result<Self::Layer, OperationError>;

    fn root_hash(sealed: &Self::Sealed) -> RootHash;

    fn mount_sealed_layer(
        &self,
        permit: Permit<MountSealedLayer>,
        sealed: &Self::Sealed,
    ) -> Result<Self::Layer, OperationError>;

    fn unmount_layer(&self, permit: Permit<UnmountDevice>, layer: Self::Layer) -> Result<(), OperationError>;

    fn mount_scratch(&self, permit: Permit<ScratchMount>) -> Result<Self::Scratch, OperationError>;

    fn unmount_scratch(
        &self,
        permit: Permit<ScratchUnmount>,
        scratch: Self::Scratch,
    ) -> Result<(), OperationError>;

    fn mount_overlay(
        &self,
        permit: Permit<MountOverlay>,
        layers: &[&Self::Layer],
        scratch: Option<&Self::Scratch>,
    ) -> Result<Self::Overlay, OperationError>;

    fn unmount_overlay(
        &self,
        permit: Permit<UnmountOverlay>,
        overlay: Self::Overlay,
    ) -> Result<(), OperationError>;

    /// `scratch` is the sandbox's.
    fn mount_volume(
        &self,
        permit: Permit<MountVolume>,
        scratch: Option<&Self::Scratch>,
    ) -> Result<Self::Volume, OperationError>;

    fn unmount_volume(
        &self,
        permit: Permit<UnmountVolume>,
        volume: Self::Volume,
    ) -> Result<(), OperationError>;
}

/// The kernel of this guest.
pub(crate) struct GuestKernel {
    /// What every container is shown above its layers.
    pub(crate) security_context: SecurityContext,
}

impl Kernel for GuestKernel {
    type Layer = Layer;
    type Sealed = Arc<SealedLayer>;
    type Scratch = Scratch;
    type Overlay = Overlay;
    type Volume = Volume;

    fn mount_layer(&self, permit: Permit<MountDevice>) -> Result<Layer, OperationError> {
        let target = permit.request().target.path().to_string();
        layers::mount_device(permit).map_err(|source| OperationError::MountDevice { target, source })
    }

    fn root_hash(sealed: &Arc<SealedLayer>) -> RootHash {
        sealed.root_hash()
    }

    fn mount_sealed_layer(
        &self,
        permit: Permit<MountSealedLayer>,
        sealed: &Arc<SealedLayer>,
    ) -> Result<Layer, OperationError> {
        let target = permit.request().target.path().to_string();
        layers::mount_sealed_layer(permit, sealed)
            .map_err(|source| OperationError::MountDevice { target, source })
    }

    fn unmount_layer(&self, permit: Permit<UnmountDevice>, layer: Layer) -> Result<(), OperationError> {
        layers::unmount_device(permit, layer).map_err(OperationError::UnmountDevice)
    }

    fn mount_scratch(&self, permit: Permit<ScratchMount>) -> Result<Scratch, OperationError> {
        scratch::mount_scratch(permit).map_err(OperationError::ScratchMount)
    }

    fn unmount_scratch(
        &self,
        permit: Permit<ScratchUnmount>,
        scratch: Scratch,
    ) -> Result<(), OperationError> {
        scratch::unmount_scratch(permit, scratch).map_err(OperationError::ScratchUnmount)
    }

    fn mount_overlay(
        &self,
        permit: Permit<MountOverlay>,
        layers: &[&Layer],
        scratch: Option<&Scratch>,
    ) -> Result<Overlay, OperationError> {
        mounts::mount_overlay(permit, layers, scratch, Some(&self.security_context))
            .map_err(OperationError::MountOverlay)
    }

    fn unmount_overlay(
        &self,
        permit: Permit<UnmountOverlay>,
        overlay: Overlay,
    ) -> Result<(), OperationError> {
        mounts::unmount_overlay(permit, overlay).map_err(OperationError::UnmountOverlay)
    }

    fn mount_volume(
        &self,
        permit: Permit<MountVolume>,
        scratch: Option<&Scratch>,
    ) -> Result<Volume, OperationError> {
        volumes::mount_volume(permit, scratch).map_err(OperationError::MountVolume)
    }

    fn unmount_volume(&self, permit: Permit<UnmountVolume>, volume: Volume) -> Result<(), OperationError> {
        volumes::unmount_volume(permit, volume).map_err(OperationError::UnmountVolume)
    }
}
