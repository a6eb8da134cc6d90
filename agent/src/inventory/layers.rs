//! Mounted layers, shared by containers.

use std::collections::BTreeMap;

use policy_engine::RootHash;
use policy_engine::request::{DeviceTarget, LayerFilesystem, MountDevice, MountSealedLayer};

/// The last number that a layer's place can have.
const LAST_NUMBER: u32 = 999_999_999;

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

    /// What the guest makes of archives is always ext4.
    fn made_here(root_hash: RootHash) -> Self {
        Self { root_hash, filesystem: LayerFilesystem::Ext4 }
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

    /// Takes a layer in that the guest made, and that nobody uses yet.
    pub(crate) fn insert_sealed(&mut self, request: &MountSealedLayer, layer: L) {
        let shared = Shared { layer, content: Content::made_here(request.root_hash), users: 0 };
        self.0.insert(request.target.clone(), shared);
    }

    /// Where the layer with `root_hash` is mounted, other than at one of `taken`. Which disk or memory holds it is of no
    /// account.
    pub(crate) fn find(&self, root_hash: RootHash, taken: &[DeviceTarget]) -> Option<&DeviceTarget> {
        let content = Content::made_here(root_hash);
        let mut same = self.0.iter().filter(|(_, shared)| shared.content == content);
        same.find(|(target, _)| !taken.contains(target)).map(|(target, _)| target)
    }

    /// A place where no layer is. Hosts count up from zero, so the guest counts down.
    pub(crate) fn free_target(&self) -> Option<DeviceTarget> {
        let targets = (0..=LAST_NUMBER).rev().map(|number| format!("{}/m{number}", DeviceTarget::DIRECTORY));
        targets.filter_map(|target| target.parse().ok()).find(|target| !self.0.contains_key(target))
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
