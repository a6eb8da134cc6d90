//! What containers stand on: layers that they share, scratch and a root of their own, and volumes of the pod.
//!
//! Each step is decided, done and entered in this order. What fails is undone from the top; what policy or the kernel
//! does not let go is kept as a remnant, so that nothing below it is taken away.

mod kernel;

use policy_engine::request::{
    DeviceTarget, MountDevice, MountOverlay, MountSealedLayer, MountVolume, ScratchMount, ScratchUnmount,
    UnmountDevice, UnmountOverlay, UnmountVolume, VolumeBacking, VolumeTarget,
};
use policy_engine::{Engine, GuestPath, RootHash};

use crate::decision::OperationError;
use crate::inventory::{Layers, Volumes};
use crate::request::{RootFilesystem, RootLayers, VolumePlan};

pub(crate) use kernel::{GuestKernel, Kernel};

/// What one container stands on, in the order in which it was made.
pub(crate) struct Foundation<K: Kernel> {
    /// The volumes that were made for it. They become the sandbox's when the container is there.
    volumes: Vec<VolumeTarget>,
    /// Its layers, base first. Others may share them.
    layers: Vec<DeviceTarget>,
    /// Its writable space.
    scratch: Option<(GuestPath, K::Scratch)>,
    /// Its root file system.
    overlay: Option<(GuestPath, K::Overlay)>,
    /// The kernel did not let the root go: nothing is taken from below it, ever.
    stuck: bool,
}

impl<K: Kernel> Foundation<K> {
    fn new() -> Self {
        Self { volumes: Vec::new(), layers: Vec::new(), scratch: None, overlay: None, stuck: false }
    }

    /// The root file system.
    pub(crate) fn root(&self) -> Option<&K::Overlay> {
        self.overlay.as_ref().map(|(_, overlay)| overlay)
    }

    fn is_empty(&self) -> bool {
        self.volumes.is_empty() && self.layers.is_empty() && self.scratch.is_none() && self.overlay.is_none()
    }
}

/// All that containers stand on.
pub(crate) struct Foundations<K: Kernel> {
    kernel: K,
    layers: Layers<K::Layer>,
    volumes: Volumes<K::Volume>,
    /// The sandbox's scratch, which volumes are directories of, and whether only the guest can read it.
    scratch: Option<SandboxScratch<K::Scratch>>,
    /// Held so that nothing is unmounted behind the policy's back; the guest ends with them.
    remnants: Vec<Foundation<K>>,
}

struct SandboxScratch<S> {
    target: GuestPath,
    encrypted: bool,
    mounted: S,
}

impl<K: Kernel> Foundations<K> {
    pub(crate) fn new(kernel: K) -> Self {
        Self {
            kernel,
            layers: Layers::default(),
            volumes: Volumes::default(),
            scratch: None,
            remnants: Vec::new(),
        }
    }

    /// The directories of the guest that containers may mount parts of, where policy allows it.
    pub(crate) fn volume_paths(&self) -> Vec<GuestPath> {
        self.volumes.paths()
    }

    /// Makes all that a container's root needs, and the volumes that are not there yet. When a step fails, the steps
    /// before it are undone. `image` has the layers of a root that was pulled, base first.
    pub(crate) fn raise(
        &mut self,
        engine: &Engine,
        plan: RootFilesystem,
        image: &[K::Sealed],
    ) -> Result<Foundation<K>, OperationError> {
        let mut foundation = Foundation::new();
        match self.build(engine, plan, image, &mut foundation) {
            Ok(()) => Ok(foundation),
            Err(error) => {
                // The first error is what the host learns.
                let _undone = self.lower(engine, foundation);
                Err(error)
            }
        }
    }

    /// The container of `foundation` exists: the volumes that were made for it are the sandbox's from now on.
    pub(crate) fn leave_volumes(&self, foundation: &mut Foundation<K>) {
        foundation.volumes.clear();
    }

    /// Takes a foundation down, from its top. Nothing is taken from below what stays; the first error is returned.
    pub(crate) fn lower(
        &mut self,
        engine: &Engine,
        mut foundation: Foundation<K>,
    ) -> Result<(), OperationError> {
        let result = if foundation.stuck { Ok(()) } else { self.take_down(engine, &mut foundation) };
        self.retain(foundation);
        result
    }

    /// Keeps what nothing can be taken from.
    pub(crate) fn retain(&mut self, foundation: Foundation<K>) {
        if !foundation.is_empty() {
            self.remnants.push(foundation);
        }
    }

    /// Makes the sandbox's scratch and its first volumes. When a step fails, the steps before it are undone.
    pub(crate) fn prepare_sandbox(
        &mut self,
        engine: &Engine,
        scratch: Option<ScratchMount>,
        volumes: Vec<VolumePlan>,
    ) -> Result<(), OperationError> {
        let result = self.furnish(engine, scratch, volumes);
        if result.is_err() {
            let _undone = self.clear_sandbox(engine);
        }
        result
    }

    /// Takes down what outlives containers: remnants once more, volumes, and the sandbox's scratch.
    pub(crate) fn clear_sandbox(&mut self, engine: &Engine) -> Result<(), OperationError> {
        let mut outcome = Ok(());
        for remnant in std::mem::take(&mut self.remnants) {
            outcome = outcome.and(self.lower(engine, remnant));
        }
        let targets: Vec<_> = self.volumes.targets().rev().cloned().collect();
        for target in targets {
            outcome = outcome.and(self.unmount_volume(engine, &target));
        }
        if self.volumes.targets().next().is_some() {
            // Directories of the scratch are still mounted.
            return outcome;
        }
        if let Some(scratch) = &self.scratch {
            let permit = match engine.decide(ScratchUnmount { target: scratch.target.clone() }) {
                Ok(permit) => permit,
                Err(refusal) => return outcome.and(Err(refusal.into())),
            };
            match self.scratch.take() {
                Some(scratch) => outcome = outcome.and(self.kernel.unmount_scratch(permit, scratch.mounted)),
                None => permit.untouched(),
            }
        }
        outcome
    }

    fn furnish(
        &mut self,
        engine: &Engine,
        scratch: Option<ScratchMount>,
        volumes: Vec<VolumePlan>,
    ) -> Result<(), OperationError> {
        if let Some(request) = scratch {
            if self.scratch.is_some() {
                return Err(OperationError::Exists { what: "scratch" });
            }
            let (target, encrypted) = (request.target.clone(), request.backing.is_encrypted());
            let mounted = self.kernel.mount_scratch(engine.decide(request)?)?;
            self.scratch = Some(SandboxScratch { target, encrypted, mounted });
        }
        volumes.into_iter().try_for_each(|plan| self.mount_volume(engine, plan).map(|_| ()))
    }

    fn build(
        &mut self,
        engine: &Engine,
        plan: RootFilesystem,
        image: &[K::Sealed],
        foundation: &mut Foundation<K>,
    ) -> Result<(), OperationError> {
        let RootFilesystem { volumes, layers, scratch, mut overlay } = plan;
        for volume in volumes {
            foundation.volumes.extend(self.mount_volume(engine, volume)?);
        }
        match layers {
            RootLayers::Disks(disks) => {
                for disk in disks {
                    let target = disk.target.clone();
                    self.mount_layer(engine, disk)?;
                    self.layers.acquire(&target);
                    foundation.layers.push(target);
                }
            }
            RootLayers::Image { .. } => {
                for sealed in image {
                    let target = self.mount_sealed_layer(engine, sealed, &foundation.layers)?;
                    self.layers.acquire(&target);
                    foundation.layers.push(target);
                }
                overlay.layers = foundation.layers.iter().rev().cloned().collect();
            }
        }
        if let Some(request) = scratch {
            let target = request.target.clone();
            let scratch = self.kernel.mount_scratch(engine.decide(request)?)?;
            foundation.scratch = Some((target, scratch));
        }
        let target = overlay.target.clone();
        let overlay = self.mount_overlay(engine, overlay, foundation)?;
        foundation.overlay = Some((target, overlay));
        Ok(())
    }

    fn mount_layer(&mut self, engine: &Engine, request: MountDevice) -> Result<(), OperationError> {
        if !self.layers.is_mounted(&request)? {
            let layer = self.kernel.mount_layer(engine.decide(request.clone())?)?;
            self.layers.insert(&request, layer);
        }
        Ok(())
    }

    /// Mounts a layer that the guest made, unless it is mounted already, and says where. An image may have one layer
    /// twice, but the kernel does not stack one directory twice: that layer is mounted twice.
    fn mount_sealed_layer(
        &mut self,
        engine: &Engine,
        sealed: &K::Sealed,
        taken: &[DeviceTarget],
    ) -> Result<DeviceTarget, OperationError> {
        let root_hash = K::root_hash(sealed);
        if let Some(target) = self.layers.find(root_hash, taken) {
            return Ok(target.clone());
        }
        let request = self.sealed_layer(root_hash)?;
        let layer = self.kernel.mount_sealed_layer(engine.decide(request.clone())?, sealed)?;
        self.layers.insert_sealed(&request, layer);
        Ok(request.target)
    }

    /// Whether the policy would let a layer with `root_hash` be mounted now, or has let it. Nothing is mounted.
    pub(crate) fn would_mount(&self, engine: &Engine, root_hash: RootHash) -> Result<(), OperationError> {
        if self.layers.find(root_hash, &[]).is_none() {
            engine.decide(self.sealed_layer(root_hash)?)?.untouched();
        }
        Ok(())
    }

    fn sealed_layer(&self, root_hash: RootHash) -> Result<MountSealedLayer, OperationError> {
        let target = self.layers.free_target();
        let target = target.ok_or(OperationError::State { needed: "too many layers are mounted" })?;
        Ok(MountSealedLayer { target, root_hash })
    }

    fn mount_overlay(
        &self,
        engine: &Engine,
        request: MountOverlay,
        foundation: &Foundation<K>,
    ) -> Result<K::Overlay, OperationError> {
        let permit = engine.decide(request)?;
        let named = &permit.request().layers;
        let mounted: Vec<_> = named.iter().filter_map(|target| self.layers.get(target)).collect();
        let scratch = foundation.scratch.as_ref().map(|(_, scratch)| scratch);
        self.kernel.mount_overlay(permit, &mounted, scratch)
    }

    /// Makes a volume unless it is there already; returns where it is if it was made.
    fn mount_volume(
        &mut self,
        engine: &Engine,
        plan: VolumePlan,
    ) -> Result<Option<VolumeTarget>, OperationError> {
        let request = self.volume_request(plan)?;
        if self.volumes.is_mounted(&request)? {
            return Ok(None);
        }
        let permit = engine.decide(request.clone())?;
        let scratch = self.scratch.as_ref().map(|scratch| &scratch.mounted);
        let volume = self.kernel.mount_volume(permit, scratch)?;
        let target = request.target.clone();
        self.volumes.insert(request, volume);
        Ok(Some(target))
    }

    /// Adds what the guest knows: which scratch a directory lies on, and whether the host can read that.
    fn volume_request(&self, plan: VolumePlan) -> Result<MountVolume, OperationError> {
        let VolumePlan { target, backing, mode, group, nosuid, noexec } = plan;
        let backing = match (backing, &self.scratch) {
            (Some(backing), _) => VolumeBacking::Own(backing),
            (None, Some(SandboxScratch { target, encrypted, .. })) => {
                VolumeBacking::Directory { scratch: target.clone(), encrypted: *encrypted }
            }
            (None, None) => {
                return Err(OperationError::State { needed: "a local volume needs scratch of the sandbox" });
            }
        };
        Ok(MountVolume { target, backing, mode, group, nosuid, noexec })
    }

    fn unmount_volume(&mut self, engine: &Engine, target: &VolumeTarget) -> Result<(), OperationError> {
        let permit = engine.decide(UnmountVolume { target: target.clone() })?;
        match self.volumes.take(target) {
            Some(volume) => self.kernel.unmount_volume(permit, volume),
            None => {
                permit.untouched();
                Ok(())
            }
        }
    }

    fn take_down(&mut self, engine: &Engine, foundation: &mut Foundation<K>) -> Result<(), OperationError> {
        if let Some((target, _)) = &foundation.overlay {
            let permit = engine.decide(UnmountOverlay { target: target.clone() })?;
            match foundation.overlay.take() {
                Some((_, overlay)) => {
                    // Until it is known to be gone it reads its layers and writes its scratch.
                    foundation.stuck = true;
                    self.kernel.unmount_overlay(permit, overlay)?;
                    foundation.stuck = false;
                }
                None => permit.untouched(),
            }
        }
        let mut outcome = self.take_down_scratch(engine, foundation);
        for target in foundation.layers.drain(..) {
            outcome = outcome.and(self.release_layer(engine, &target));
        }
        for target in foundation.volumes.drain(..).rev() {
            outcome = outcome.and(self.unmount_volume(engine, &target));
        }
        outcome
    }

    fn take_down_scratch(
        &self,
        engine: &Engine,
        foundation: &mut Foundation<K>,
    ) -> Result<(), OperationError> {
        let Some((target, _)) = &foundation.scratch else { return Ok(()) };
        let permit = engine.decide(ScratchUnmount { target: target.clone() })?;
        match foundation.scratch.take() {
            Some((_, scratch)) => self.kernel.unmount_scratch(permit, scratch),
            None => {
                permit.untouched();
                Ok(())
            }
        }
    }

    /// Counts one user of a layer less, and unmounts one that nobody uses. One that policy keeps mounted stays in the
    /// inventory: the next container may stand on it.
    fn release_layer(&mut self, engine: &Engine, target: &DeviceTarget) -> Result<(), OperationError> {
        self.layers.release(target);
        if !self.layers.is_idle(target) {
            return Ok(());
        }
        let permit = engine.decide(UnmountDevice { target: target.clone() })?;
        match self.layers.take_idle(target) {
            Some(layer) => self.kernel.unmount_layer(permit, layer),
            None => {
                permit.untouched();
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
