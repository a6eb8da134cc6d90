//! Random sequences of creations and removals, with failures of policy and kernel in between, beside a model that only
//! counts.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

mod fake_kernel;
mod model;
mod pulled;

use policy_engine::Engine;
use proptest::prelude::*;

use super::*;
use fake_kernel::{FakeKernel, Fault, World};
use model::{Model, Order};

/// What the containers of the policy stand on, base first, by number of layer.
pub(super) const ROOTS: [&[u8]; 3] = [&[0, 1], &[0, 2], &[1]];

/// A policy of the framework's with a container for each of [`ROOTS`].
fn policy() -> String {
    const CONTAINER: &str = r#"{"allow_elevated":false,"allow_stdio_access":true,"capabilities":{"ambient":[],
        "bounding":[],"effective":[],"inheritable":[],"permitted":[]},"command":["/bin/sh"],"env_rules":[],
        "exec_processes":[],"id":"i","layers":LAYERS,"mounts":[],"name":"n","no_new_privileges":true,
        "seccomp_profile_sha256":"","signals":[],"user":{"group_idnames":[{"pattern":"","strategy":"any"}],
        "umask":"0022","user_idname":{"pattern":"0","strategy":"id"}},"working_dir":"/"}"#;
    let containers = ROOTS.map(|layers| {
        let hashes: Vec<_> = layers.iter().map(|layer| model::root_hash(*layer)).collect();
        CONTAINER.replace("LAYERS", &serde_json::to_string(&hashes).unwrap())
    });
    let points = ["mount_device", "unmount_device", "mount_overlay", "unmount_overlay", "scratch_mount"];
    let points = points.into_iter().chain(["scratch_unmount"]);
    let rules: String = points.map(|point| format!("{point} := data.framework.{point}\n")).collect();
    format!(
        "package policy\napi_version := \"0.10.0\"\nframework_version := \"0.2.3\"\nfragments := []\n\
         containers := [{}]\nallow_unencrypted_scratch := false\n{rules}",
        containers.join(",")
    )
}

fn fault() -> impl Strategy<Value = Option<Fault>> {
    let fault = (0..6usize, any::<bool>()).prop_map(|(step, undone)| Fault { step, undone });
    proptest::option::weighted(0.3, fault)
}

fn order() -> impl Strategy<Value = Order> {
    let creation = (0..ROOTS.len(), any::<bool>(), proptest::option::of(0..2u8), fault());
    prop_oneof![
        6 => creation.prop_map(|(root, scratch, volume, fault)| Order::Create { root, scratch, volume, fault }),
        5 => (any::<usize>(), fault()).prop_map(|(which, fault)| Order::Remove { which, fault }),
        1 => (0..ROOTS.len()).prop_map(|root| Order::WithForeignLayer { root }),
        1 => (0..ROOTS.len()).prop_map(|root| Order::WithOtherLayerInPlace { root }),
        1 => any::<usize>().prop_map(|which| Order::Repeat { which }),
        1 => Just(Order::WithOtherVolume),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_mounted_is_what_containers_stand_on(orders in proptest::collection::vec(order(), 1..24)) {
        let mut model = Model::new(&policy());
        for order in orders {
            model.carry_out(&order)?;
        }
        model.take_all_down()?;
    }
}

/// The first failure that leaves something behind: nothing new is made, and everything else is still taken down.
#[test]
fn what_cannot_be_undone_leaves_only_teardown() {
    let policy = policy();
    // An overlay, a layer and a scratch that the kernel keeps, each in a removal.
    for step in 0..3 {
        let mut model = Model::new(&policy);
        for root in [0, 1] {
            model.carry_out(&Order::Create { root, scratch: true, volume: None, fault: None }).unwrap();
        }
        let fault = Some(Fault { step, undone: false });
        model.carry_out(&Order::Remove { which: 0, fault }).unwrap();
        assert!(model.engine.is_poisoned(), "step {step}");
        model.carry_out(&Order::Create { root: 2, scratch: false, volume: None, fault: None }).unwrap();
        model.take_all_down().unwrap();
    }
}

#[test]
fn a_local_volume_needs_scratch_of_the_sandbox_and_is_as_secret_as_that() {
    let mut model = Model::new(&policy());
    let local = |foundations: &mut Foundations<FakeKernel>, engine: &Engine| {
        foundations.prepare_sandbox(engine, None, vec![model::local_volume()])
    };
    let error = local(&mut model.foundations, &model.engine).unwrap_err();
    assert!(matches!(error, OperationError::State { .. }), "{error:?}");
    let plain = |source: &str| ScratchMount {
        target: "/run/gcs/c/pod/volumes".parse().unwrap(),
        backing: policy_engine::request::ScratchBacking::PlainDisk { source: source.parse().unwrap() },
    };
    let engine = Engine::load(policy().replace("scratch := false", "scratch := true").as_bytes()).unwrap();
    model.foundations.prepare_sandbox(&engine, Some(plain("/dev/vdb")), vec![model::local_volume()]).unwrap();
    assert_eq!(
        model.world.borrow().volumes.values().collect::<Vec<_>>(),
        [&false],
        "it is told to be encrypted"
    );
    model.foundations.clear_sandbox(&engine).unwrap();
    assert!(model.world.borrow().is_empty());
    let refused = model.foundations.prepare_sandbox(&model.engine, Some(plain("/dev/vdb")), Vec::new());
    assert!(matches!(refused, Err(OperationError::Refused(_))), "{refused:?}");
    assert!(model.world.borrow().is_empty());
}
