//! A kernel that only remembers, and fails when it is told to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use policy_engine::request::{MountSealedLayer, Request, VolumeBacking};

use super::super::*;
use policy_engine::Permit;

/// The failure of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Fault {
    /// How many operations succeed before.
    pub(super) step: usize,
    /// Whether all of it could be undone. What is being taken down never can.
    pub(super) undone: bool,
}

/// What is mounted, by where it is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in super::super) struct World {
    pub(super) layers: BTreeMap<String, ()>,
    pub(super) scratches: BTreeMap<String, ()>,
    /// Each with all that it stands on.
    pub(super) overlays: BTreeMap<String, Vec<String>>,
    /// Each with whether policy was told that nobody else reads it.
    pub(super) volumes: BTreeMap<String, bool>,
    /// Things that no mount can be built on and that no operation may touch.
    pub(super) violations: Vec<String>,
    pub(super) fault: Option<Fault>,
}

impl World {
    pub(super) fn is_empty(&self) -> bool {
        let overlays = self.overlays.is_empty() && self.scratches.is_empty();
        overlays && self.layers.is_empty() && self.volumes.is_empty()
    }

    pub(super) fn set_fault(&mut self, fault: Option<Fault>) {
        self.fault = fault;
    }

    /// Whether the present operation fails, and if so whether it is undone.
    fn failure(&mut self) -> Option<bool> {
        let fault = self.fault.as_mut()?;
        if fault.step > 0 {
            fault.step -= 1;
            return None;
        }
        self.fault.take().map(|fault| fault.undone)
    }

    fn demand(&mut self, holds: bool, violation: String) {
        if !holds {
            self.violations.push(violation);
        }
    }
}

/// Something mounted.
#[derive(Debug)]
pub(in super::super) struct Mounted(String);

#[derive(Debug, Clone, Default)]
pub(in super::super) struct FakeKernel(pub(super) Rc<RefCell<World>>);

impl FakeKernel {
    /// Mounts something unless that fails: then it is undone, or nobody knows.
    fn mount<R: Request>(
        &self,
        permit: Permit<R>,
        name: &str,
        add: impl FnOnce(&mut World) -> bool,
    ) -> Result<Mounted, OperationError> {
        let mut world = self.0.borrow_mut();
        match world.failure() {
            Some(true) => {
                permit.untouched();
                return Err(OperationError::State { needed: "a kernel that works" });
            }
            Some(false) => {
                permit.unknown();
                return Err(OperationError::State { needed: "a kernel that tidies up" });
            }
            None => {}
        }
        let new = add(&mut world);
        world.demand(new, format!("{name} is mounted twice"));
        permit.done();
        Ok(Mounted(name.to_owned()))
    }

    /// Unmounts something unless that fails: then it stays.
    fn unmount<R: Request>(
        &self,
        permit: Permit<R>,
        take: impl FnOnce(&mut World),
    ) -> Result<(), OperationError> {
        let mut world = self.0.borrow_mut();
        if world.failure().is_some() {
            permit.unknown();
            return Err(OperationError::State { needed: "a kernel that lets go" });
        }
        take(&mut world);
        permit.done();
        Ok(())
    }
}

/// Nothing mounted stands on what is called `name`.
fn demand_unused(world: &mut World, name: &str) {
    let used = world.overlays.values().flatten().any(|below| below == name);
    world.demand(!used, format!("{name} is taken away below an overlay"));
}

impl Kernel for FakeKernel {
    type Layer = Mounted;
    type Sealed = RootHash;
    type Scratch = Mounted;
    type Overlay = Mounted;
    type Volume = Mounted;

    fn mount_layer(&self, permit: Permit<MountDevice>) -> Result<Mounted, OperationError> {
        let name = permit.request().target.path().to_string();
        self.mount(permit, &name, |world| world.layers.insert(name.clone(), ()).is_none())
    }

    fn root_hash(sealed: &RootHash) -> RootHash {
        *sealed
    }

    fn mount_sealed_layer(
        &self,
        permit: Permit<MountSealedLayer>,
        sealed: &RootHash,
    ) -> Result<Mounted, OperationError> {
        assert_eq!(permit.request().root_hash, *sealed);
        let name = permit.request().target.path().to_string();
        self.mount(permit, &name, |world| world.layers.insert(name.clone(), ()).is_none())
    }

    fn unmount_layer(&self, permit: Permit<UnmountDevice>, layer: Mounted) -> Result<(), OperationError> {
        self.unmount(permit, |world| {
            demand_unused(world, &layer.0);
            world.layers.remove(&layer.0);
        })
    }

    fn mount_scratch(&self, permit: Permit<ScratchMount>) -> Result<Mounted, OperationError> {
        let name = permit.request().target.to_string();
        self.mount(permit, &name, |world| world.scratches.insert(name.clone(), ()).is_none())
    }

    fn unmount_scratch(
        &self,
        permit: Permit<ScratchUnmount>,
        scratch: Mounted,
    ) -> Result<(), OperationError> {
        self.unmount(permit, |world| {
            demand_unused(world, &scratch.0);
            world.scratches.remove(&scratch.0);
        })
    }

    fn mount_overlay(
        &self,
        permit: Permit<MountOverlay>,
        layers: &[&Mounted],
        scratch: Option<&Mounted>,
    ) -> Result<Mounted, OperationError> {
        let request = permit.request();
        let name = request.target.to_string();
        let below: Vec<_> = layers.iter().copied().chain(scratch).map(|part| part.0.clone()).collect();
        let asked = request.layers.iter().map(|layer| layer.path()).chain(&request.scratch);
        let exact = asked.map(ToString::to_string).eq(below.iter().cloned());
        self.mount(permit, &name, |world| {
            let mounted = below
                .iter()
                .all(|part| world.layers.contains_key(part) || world.scratches.contains_key(part));
            world.demand(exact && mounted, format!("{name} stands on something else"));
            world.overlays.insert(name.clone(), below).is_none()
        })
    }

    fn unmount_overlay(
        &self,
        permit: Permit<UnmountOverlay>,
        overlay: Mounted,
    ) -> Result<(), OperationError> {
        self.unmount(permit, |world| {
            world.overlays.remove(&overlay.0);
        })
    }

    fn mount_volume(
        &self,
        permit: Permit<MountVolume>,
        scratch: Option<&Mounted>,
    ) -> Result<Mounted, OperationError> {
        let request = permit.request();
        let name = request.target.to_string();
        let encrypted = match &request.backing {
            VolumeBacking::Own(backing) => backing.is_encrypted(),
            VolumeBacking::Directory { scratch: place, encrypted } => {
                assert_eq!(scratch.map(|scratch| scratch.0.as_str()), Some(place.as_str()));
                *encrypted
            }
        };
        self.mount(permit, &name, |world| world.volumes.insert(name.clone(), encrypted).is_none())
    }

    fn unmount_volume(&self, permit: Permit<UnmountVolume>, volume: Mounted) -> Result<(), OperationError> {
        self.unmount(permit, |world| {
            world.volumes.remove(&volume.0);
        })
    }
}
