//! Roots on layers that the guest made: shared by content, and gone with their last container.

use policy_engine::RootHash;

use super::super::*;
use super::fake_kernel::{FakeKernel, Fault};
use super::model::Model;
use super::policy;
use crate::request::RootLayers;

fn root(id: &str) -> RootFilesystem {
    let layers = RootLayers::Image {
        reference: "registry.example/image:1".parse().unwrap(),
        metadata: std::collections::BTreeMap::new(),
    };
    let overlay = MountOverlay {
        container_id: id.parse().unwrap(),
        layers: Vec::new(),
        scratch: None,
        target: format!("/run/kata-containers/{id}/rootfs").parse().unwrap(),
    };
    RootFilesystem { volumes: Vec::new(), layers, scratch: None, overlay }
}

fn raise(model: &mut Model, id: &str, layers: &[u8]) -> Result<Foundation<FakeKernel>, OperationError> {
    let image: Vec<RootHash> = layers.iter().map(|layer| [*layer; 32].into()).collect();
    model.foundations.raise(&model.engine, root(id), &image)
}

#[test]
fn pulled_layers_are_shared_by_content() {
    let mut model = Model::new(&policy());
    let first = raise(&mut model, "first", &[0, 1]).unwrap();
    let second = raise(&mut model, "second", &[0, 2]).unwrap();
    assert_eq!(model.world.borrow().layers.len(), 3);
    model.foundations.would_mount(&model.engine, [1; 32].into()).unwrap();
    model.foundations.lower(&model.engine, first).unwrap();
    assert_eq!(model.world.borrow().layers.len(), 2);
    model.foundations.lower(&model.engine, second).unwrap();
    let world = model.world.borrow();
    assert!(world.is_empty() && world.violations.is_empty(), "{world:?}");
}

#[test]
fn an_image_is_the_policys_or_nothing_is_left_of_it() {
    // A foreign layer, another order, one layer less, one layer twice, none at all.
    for layers in [&[0, 9][..], &[1, 0], &[0], &[0, 1, 1], &[]] {
        let mut model = Model::new(&policy());
        let refused = raise(&mut model, "first", layers).err().unwrap();
        assert!(matches!(refused, OperationError::Refused(_)), "{layers:?}: {refused:?}");
        let world = model.world.borrow();
        assert!(world.is_empty() && world.violations.is_empty(), "{layers:?}: {world:?}");
        assert!(!model.engine.is_poisoned(), "{layers:?}");
    }
}

#[test]
fn asking_mounts_nothing() {
    let model = Model::new(&policy());
    // Whatever the kernel was asked first would fail.
    model.world.borrow_mut().set_fault(Some(Fault { step: 0, undone: true }));
    for _ in 0..2 {
        model.foundations.would_mount(&model.engine, [0; 32].into()).unwrap();
        let denied = model.foundations.would_mount(&model.engine, [9; 32].into());
        assert!(matches!(denied, Err(OperationError::Refused(_))), "{denied:?}");
    }
    assert!(model.world.borrow().is_empty());
}
