//! Mounted layers, shared by containers.

use std::collections::BTreeMap;

use executor::layers::Layer;
use policy_engine::RootHash;
use policy_engine::request::{DeviceTarget, MountDevice};

/// Mounted layers by target, each with the number of containers that stand on it.
#[derive(Default)]
pub(crate) struct Layers(BTreeMap<DeviceTarget, Shared>);

struct Shared {
    layer: Layer,
    root_hash: RootHash,
    users: usize,
}

/// A layer that is mounted is not what the request says is there.
///
/// Attack: a mount point that is in use is named again with another disk, and the second is never checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("another layer is mounted at {}: its root hash is {mounted}", target.path())]
pub(crate) struct LayerConflict {
    target: DeviceTarget,
    mounted: RootHash,
}

impl Layers {
    /// Whether the layer of `request` is mounted already.
    pub(crate) fn is_mounted(&self, request: &MountDevice) -> Result<bool, LayerConflict> {
        match self.0.get(&request.target) {
            None => Ok(false),
            Some(shared) if shared.root_hash == request.root_hash => Ok(true),
            Some(shared) => Err(LayerConflict { target: request.target.clone(), mounted: shared.root_hash }),
        }
    }

    /// Takes a layer in that was just mounted and that nobody uses yet.
    pub(crate) fn insert(&mut self, target: DeviceTarget, root_hash: RootHash, layer: Layer) {
        self.0.insert(target, Shared { layer, root_hash, users: 0 });
    }

    /// Counts one more container on the layer at `target`.
    pub(crate) fn acquire(&mut self, target: &DeviceTarget) {
        if let Some(shared) = self.0.get_mut(target) {
            shared.users = shared.users.saturating_add(1);
        }
    }

    /// Counts one container less on the layer at `target`.
    pub(crate) fn release(&mut self, target: &DeviceTarget) {
        if let Some(shared) = self.0.get_mut(target) {
            shared.users = shared.users.saturating_sub(1);
        }
    }

    /// Whether the layer at `target` is mounted and no container stands on it.
    pub(crate) fn is_idle(&self, target: &DeviceTarget) -> bool {
        self.0.get(target).is_some_and(|shared| shared.users == 0)
    }

    /// The layer at `target`.
    pub(crate) fn get(&self, target: &DeviceTarget) -> Option<&Layer> {
        self.0.get(target).map(|shared| &shared.layer)
    }

    /// Gives the layer at `target` away, to be unmounted; `None` while a container stands on it.
    pub(crate) fn take_idle(&mut self, target: &DeviceTarget) -> Option<Layer> {
        if !self.is_idle(target) {
            return None;
        }
        self.0.remove(target).map(|shared| shared.layer)
    }
}
