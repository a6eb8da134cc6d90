//! Mounted layers, shared by containers.

use std::collections::BTreeMap;

use policy_engine::RootHash;
use policy_engine::request::{DeviceTarget, LayerFilesystem, MountDevice};

/// Mounted layers by target, each with the number of containers that stand on it.
pub(crate) struct Layers<L>(BTreeMap<DeviceTarget, Shared<L>>);

struct Shared<L> {
    layer: L,
    content: Content,
    users: usize,
}

/// What a layer is to whoever reads it. Which disk it came from is of no account.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    root_hash: RootHash,
    filesystem: LayerFilesystem,
}

impl Content {
    fn of(request: &MountDevice) -> Self {
        Self { root_hash: request.root_hash, filesystem: request.filesystem }
    }
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

impl<L> Default for Layers<L> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<L> Layers<L> {
    /// Whether the layer of `request` is mounted already.
    pub(crate) fn is_mounted(&self, request: &MountDevice) -> Result<bool, LayerConflict> {
        match self.0.get(&request.target) {
            None => Ok(false),
            Some(shared) if shared.content == Content::of(request) => Ok(true),
            Some(shared) => {
                Err(LayerConflict { target: request.target.clone(), mounted: shared.content.root_hash })
            }
        }
    }

    /// Takes the layer of `request` in, which was just mounted and which nobody uses yet.
    pub(crate) fn insert(&mut self, request: &MountDevice, layer: L) {
        let shared = Shared { layer, content: Content::of(request), users: 0 };
        self.0.insert(request.target.clone(), shared);
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
    pub(crate) fn get(&self, target: &DeviceTarget) -> Option<&L> {
        self.0.get(target).map(|shared| &shared.layer)
    }

    /// Gives the layer at `target` away, to be unmounted; `None` while a container stands on it.
    pub(crate) fn take_idle(&mut self, target: &DeviceTarget) -> Option<L> {
        if !self.is_idle(target) {
            return None;
        }
        self.0.remove(target).map(|shared| shared.layer)
    }

    /// How many containers stand on each layer.
    #[cfg(test)]
    pub(crate) fn users(&self) -> BTreeMap<DeviceTarget, usize> {
        self.0.iter().map(|(target, shared)| (target.clone(), shared.users)).collect()
    }
}
