//! What ought to be mounted: a list of containers and what each stands on.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::prelude::*;
use proto::kata::agent::{CreateContainerRequest, Storage};
use proto::kata::oci;

use super::super::*;
use super::{FakeKernel, Fault, ROOTS, World};
use crate::request::ContainerPlan;

/// A layer that no container of the policy has.
const FOREIGN: u8 = 9;

/// What the host asks for.
#[derive(Debug, Clone)]
pub(super) enum Order {
    Create {
        root: usize,
        scratch: bool,
        volume: Option<u8>,
        fault: Option<Fault>,
    },
    Remove {
        which: usize,
        fault: Option<Fault>,
    },
    /// The topmost layer is one that policy denies.
    WithForeignLayer {
        root: usize,
    },
    /// The topmost layer is at the place of another one that may be mounted.
    WithOtherLayerInPlace {
        root: usize,
    },
    /// The root of a container that is there.
    Repeat {
        which: usize,
    },
    /// A volume at the place of another, or inside of it.
    WithOtherVolume,
}

/// A container that is there.
struct Resident {
    foundation: Foundation<FakeKernel>,
    overlay: String,
    below: Vec<String>,
}

pub(super) struct Model {
    pub(super) engine: Engine,
    pub(super) foundations: Foundations<FakeKernel>,
    pub(super) world: Rc<RefCell<World>>,
    residents: Vec<Resident>,
    volumes: BTreeSet<String>,
    next_id: usize,
}

pub(super) fn root_hash(layer: u8) -> String {
    format!("{layer:02x}").repeat(32)
}

fn layer_place(layer: u8) -> String {
    format!("/run/mounts/scsi/m{layer}")
}

fn volume_place(volume: u8) -> String {
    format!("/run/gcs/sandboxMounts/volume{volume}")
}

/// A volume that is a directory of the sandbox's scratch.
pub(super) fn local_volume() -> VolumePlan {
    let message = request("c0", &[(0, 0)], false, vec![storage("local", "local", &volume_place(0), &[])]);
    ContainerPlan::try_from(&message).unwrap().root.volumes.remove(0)
}

fn storage(driver: &str, fstype: &str, place: &str, options: &[String]) -> Storage {
    Storage {
        driver: driver.to_owned(),
        source: fstype.to_owned(),
        fstype: fstype.to_owned(),
        mount_point: place.to_owned(),
        options: options.to_vec(),
        ..Default::default()
    }
}

/// A container on `layers`, base first, each with the number of its place; and `volumes`.
fn request(
    id: &str,
    layers: &[(u8, u8)],
    scratch: bool,
    mut storages: Vec<Storage>,
) -> CreateContainerRequest {
    for (content, place) in layers {
        let options = [
            "ro".to_owned(),
            "X-kata.dmverity-enabled=true".to_owned(),
            format!("X-kata.dmverity.roothash={}", root_hash(*content)),
            "X-kata.dmverity.hashoffset=4096".to_owned(),
        ];
        let layer = storage("blk", "ext4", &layer_place(*place), &options);
        storages.push(Storage { source: "01".to_owned(), ..layer });
    }
    let lower: Vec<_> = layers.iter().rev().map(|(_, place)| layer_place(*place)).collect();
    let mut options = vec![format!("lowerdir={}", lower.join(":"))];
    if scratch {
        let place = scratch_place(id);
        storages.push(storage("ephemeral", "tmpfs", &place, &[]));
        options.push(format!("X-kata.overlay-upper={place}"));
    }
    storages.push(storage("overlayfs", "overlay", &root_place(id), &options));
    let spec = oci::Spec {
        Process: Some(oci::Process {
            Args: vec!["/bin/sh".to_owned()],
            Cwd: "/".to_owned(),
            User: Some(oci::User::default()).into(),
            ..Default::default()
        })
        .into(),
        Root: Some(oci::Root { Path: root_place(id), ..Default::default() }).into(),
        Linux: Some(oci::Linux::default()).into(),
        ..Default::default()
    };
    CreateContainerRequest {
        container_id: id.to_owned(),
        storages,
        OCI: Some(spec).into(),
        ..Default::default()
    }
}

fn scratch_place(id: &str) -> String {
    format!("/run/gcs/c/pod/scratch/{id}")
}

fn root_place(id: &str) -> String {
    format!("/run/kata-containers/{id}/rootfs")
}

/// The layers of a root, each at its own place.
fn layers(root: usize) -> Vec<(u8, u8)> {
    ROOTS[root].iter().map(|layer| (*layer, *layer)).collect()
}

impl Model {
    pub(super) fn new(policy: &str) -> Self {
        let kernel = FakeKernel::default();
        Self {
            engine: Engine::load(policy.as_bytes()).unwrap(),
            world: Rc::clone(&kernel.0),
            foundations: Foundations::new(kernel),
            residents: Vec::new(),
            volumes: BTreeSet::new(),
            next_id: 0,
        }
    }

    pub(super) fn carry_out(&mut self, order: &Order) -> Result<(), TestCaseError> {
        match order {
            Order::Create { root, scratch, volume, fault } => {
                let id = self.new_id();
                let volume = volume.map(volume_place);
                let volumes = volume.iter().map(|place| storage("ephemeral", "tmpfs", place, &[])).collect();
                let message = request(&id, &layers(*root), *scratch, volumes);
                if self.create(&message, *fault)? {
                    let mut below: Vec<_> =
                        ROOTS[*root].iter().rev().map(|layer| layer_place(*layer)).collect();
                    below.extend(scratch.then(|| scratch_place(&id)));
                    let resident = self.residents.last_mut().unwrap();
                    (resident.overlay, resident.below) = (root_place(&id), below);
                    self.volumes.extend(volume);
                }
            }
            Order::Remove { which, fault } => {
                if !self.residents.is_empty() {
                    let resident = self.residents.remove(which % self.residents.len());
                    self.remove(resident, *fault)?;
                }
            }
            Order::WithForeignLayer { root } => {
                let id = self.new_id();
                let mut layers = layers(*root);
                layers.push((FOREIGN, FOREIGN));
                self.refused(&request(&id, &layers, true, Vec::new()))?;
            }
            Order::WithOtherLayerInPlace { root } => {
                // The place of the base, with the content of another layer that policy knows. Where nobody uses it,
                // the layer is mounted there and taken down again, since policy knows no such root.
                let id = self.new_id();
                let mut layers = layers(*root);
                layers[0].0 = (layers[0].0 + 1) % 3;
                if layers.len() == 1 {
                    layers[0].0 = 0;
                    layers.push((FOREIGN, FOREIGN));
                }
                self.refused(&request(&id, &layers, false, Vec::new()))?;
            }
            Order::Repeat { which } => {
                if !self.residents.is_empty() {
                    let id = which % self.residents.len();
                    let overlay = self.residents[id].overlay.clone();
                    let id = overlay.split('/').nth(3).unwrap().to_owned();
                    self.refused(&request(&id, &layers(0), false, Vec::new()))?;
                }
            }
            Order::WithOtherVolume => {
                let (id, other) = (self.new_id(), self.new_id());
                if self.volumes.contains(&volume_place(0)) {
                    let larger = storage("ephemeral", "tmpfs", &volume_place(0), &["size=1".to_owned()]);
                    self.refused(&request(&id, &layers(0), false, vec![larger]))?;
                    let inner = storage("ephemeral", "tmpfs", &format!("{}/in", volume_place(0)), &[]);
                    self.refused(&request(&other, &layers(0), false, vec![inner]))?;
                }
            }
        }
        self.check()
    }

    /// Removes everything, and demands that nothing stays unless something could not be undone.
    pub(super) fn take_all_down(&mut self) -> Result<(), TestCaseError> {
        while let Some(resident) = self.residents.pop() {
            self.remove(resident, None)?;
            self.check()?;
        }
        let cleared = self.foundations.clear_sandbox(&self.engine);
        prop_assert_eq!(&self.world.borrow().violations, &Vec::<String>::new());
        if !self.engine.is_poisoned() {
            prop_assert!(cleared.is_ok(), "{:?}", cleared);
            prop_assert!(self.world.borrow().is_empty(), "{:?}", self.world.borrow());
        }
        Ok(())
    }

    fn new_id(&mut self) -> String {
        self.next_id += 1;
        format!("c{}", self.next_id)
    }

    /// Asks for a container, and says whether it came to be.
    fn create(
        &mut self,
        message: &CreateContainerRequest,
        fault: Option<Fault>,
    ) -> Result<bool, TestCaseError> {
        let plan = ContainerPlan::try_from(message).unwrap();
        let was_poisoned = self.engine.is_poisoned();
        let before = self.mounted();
        self.world.borrow_mut().set_fault(fault);
        let raised = self.foundations.raise(&self.engine, plan.root, &[]);
        self.world.borrow_mut().set_fault(None);
        match raised {
            Ok(mut foundation) => {
                prop_assert!(!was_poisoned, "something was made in a poisoned guest");
                self.foundations.leave_volumes(&mut foundation);
                self.residents.push(Resident { foundation, overlay: String::new(), below: Vec::new() });
                Ok(true)
            }
            Err(error) => {
                prop_assert!(was_poisoned || fault.is_some(), "refused without a reason: {}", error);
                if !self.engine.is_poisoned() || was_poisoned {
                    prop_assert_eq!(self.mounted(), before, "a failed creation changed something");
                }
                Ok(false)
            }
        }
    }

    /// Asks for a container that must not be, and demands that nothing changes.
    fn refused(&mut self, message: &CreateContainerRequest) -> Result<(), TestCaseError> {
        let before = self.mounted();
        let plan = ContainerPlan::try_from(message).unwrap();
        let refused = self.foundations.raise(&self.engine, plan.root, &[]).err();
        let decided = matches!(
            refused,
            Some(
                OperationError::Refused(_)
                    | OperationError::LayerConflict(_)
                    | OperationError::VolumeConflict(_)
            )
        );
        prop_assert!(decided, "{:?}", refused);
        prop_assert_eq!(self.mounted(), before, "a refused creation changed something");
        Ok(())
    }

    fn remove(&mut self, resident: Resident, fault: Option<Fault>) -> Result<(), TestCaseError> {
        self.world.borrow_mut().set_fault(fault);
        let lowered = self.foundations.lower(&self.engine, resident.foundation);
        self.world.borrow_mut().set_fault(None);
        if lowered.is_ok() {
            prop_assert!(!self.world.borrow().overlays.contains_key(&resident.overlay));
        } else {
            prop_assert!(self.engine.is_poisoned(), "{:?}", lowered);
        }
        Ok(())
    }

    /// What is mounted now.
    fn mounted(&self) -> World {
        self.world.borrow().clone()
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let world = self.world.borrow();
        prop_assert_eq!(&world.violations, &Vec::<String>::new());
        // Whatever happened, a container that is there has all that it stands on.
        for resident in &self.residents {
            prop_assert_eq!(world.overlays.get(&resident.overlay), Some(&resident.below));
        }
        let parts = || self.residents.iter().flat_map(|resident| &resident.below);
        for part in parts() {
            prop_assert!(
                world.layers.contains_key(part) || world.scratches.contains_key(part),
                "{part} is gone"
            );
        }
        if self.engine.is_poisoned() {
            return Ok(());
        }
        let mut users = BTreeMap::new();
        for part in parts().filter(|part| part.starts_with(DeviceTarget::DIRECTORY)) {
            *users.entry(part.clone()).or_insert(0usize) += 1;
        }
        let counted = self.foundations.layers.users();
        let counted: BTreeMap<_, _> =
            counted.iter().map(|(at, users)| (at.path().to_string(), *users)).collect();
        prop_assert_eq!(counted, users.clone(), "the counts are wrong");
        prop_assert!(
            world.layers.keys().eq(users.keys()),
            "{:?} is mounted, {:?} in use",
            world.layers,
            users
        );
        prop_assert_eq!(world.overlays.len(), self.residents.len());
        let scratches = parts().filter(|part| !part.starts_with(DeviceTarget::DIRECTORY)).count();
        prop_assert_eq!(world.scratches.len(), scratches);
        prop_assert!(world.volumes.keys().eq(&self.volumes), "{:?} for {:?}", world.volumes, self.volumes);
        prop_assert!(self.foundations.remnants.is_empty(), "remnants in a guest that knows its state");
        Ok(())
    }
}
