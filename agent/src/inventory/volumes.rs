//! Volumes of the pod.

use policy_engine::GuestPath;
use policy_engine::request::{MountVolume, VolumeTarget};

/// The most volumes of a pod.
const VOLUMES_MAX: usize = 128;

/// Mounted volumes in the order in which they were made. They are the sandbox's: containers come and go.
pub(crate) struct Volumes<V>(Vec<(MountVolume, V)>);

/// A volume cannot be made beside those that there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VolumeConflict {
    /// Attack: a volume that is in use is named again as another one, and the second request is believed to hold.
    #[error("another volume is mounted at {target}")]
    Other { target: VolumeTarget },
    /// Attack: what is made in a volume lies where its containers can exchange it.
    #[error("the volume at {target} would lie in another, or another in it")]
    Nested { target: VolumeTarget },
    #[error("a pod has at most {VOLUMES_MAX} volumes")]
    TooMany,
}

impl<V> Default for Volumes<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Volumes<V> {
    /// Whether the very volume of `request` is mounted already.
    pub(crate) fn is_mounted(&self, request: &MountVolume) -> Result<bool, VolumeConflict> {
        let target = || request.target.clone();
        match self.0.iter().find(|(mounted, _)| mounted.target.overlaps(&request.target)) {
            Some((mounted, _)) if mounted == request => Ok(true),
            Some((mounted, _)) if mounted.target == request.target => {
                Err(VolumeConflict::Other { target: target() })
            }
            Some(_) => Err(VolumeConflict::Nested { target: target() }),
            None if self.0.len() >= VOLUMES_MAX => Err(VolumeConflict::TooMany),
            None => Ok(false),
        }
    }

    /// Takes the volume of `request` in, which was just mounted.
    pub(crate) fn insert(&mut self, request: MountVolume, volume: V) {
        self.0.push((request, volume));
    }

    /// Gives the volume at `target` away, to be unmounted.
    pub(crate) fn take(&mut self, target: &VolumeTarget) -> Option<V> {
        let position = self.0.iter().position(|(mounted, _)| mounted.target == *target)?;
        Some(self.0.remove(position).1)
    }

    /// Where the volumes are, in the order in which they were made.
    pub(crate) fn targets(&self) -> impl DoubleEndedIterator<Item = &VolumeTarget> {
        self.0.iter().map(|(mounted, _)| &mounted.target)
    }

    /// The directories that containers may mount parts of.
    pub(crate) fn paths(&self) -> Vec<GuestPath> {
        self.targets().map(|target| target.path().clone()).collect()
    }
}
