//! What settling a permit does.
use crate::fixture::{BASE, FOREIGN, TOP, denied, does, engine, id, mount_device, target};
use policy_engine::request::{CreateSandbox, DestroySandbox, GetProperties, UnmountDevice};
use policy_engine::{Engine, Refusal};
use proptest::prelude::*;

fn is_mounted(engine: &Engine) -> bool {
    // Mounting at the same place again is denied, mounting a fresh one is not.
    match engine.decide(mount_device(0, BASE)) {
        Ok(permit) => {
            permit.untouched();
            false
        }
        Err(Refusal::Denied(denial)) => {
            assert_eq!(denial.reasons, ["device already mounted at path"]);
            true
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn only_what_was_done_is_remembered() {
    let engine = engine();
    engine.decide(mount_device(0, BASE)).unwrap().untouched();
    assert!(!is_mounted(&engine));
    let grant = engine.decide(mount_device(0, BASE)).unwrap().done();
    assert_eq!(grant.request().target, target(0));
    assert!(is_mounted(&engine));
    engine.decide(UnmountDevice { target: target(0) }).unwrap().untouched();
    assert!(is_mounted(&engine));
    does(&engine, UnmountDevice { target: target(0) });
    assert!(!is_mounted(&engine));
}

fn assert_only_teardown(engine: &Engine) {
    assert!(engine.is_poisoned());
    assert!(matches!(engine.decide(mount_device(1, TOP)), Err(Refusal::Poisoned)));
    assert!(matches!(engine.attempt(), Err(Refusal::Poisoned)));
    let sandbox = CreateSandbox { sandbox_id: "pod".parse().unwrap(), hostname: None };
    assert!(matches!(engine.decide(sandbox), Err(Refusal::Poisoned)));
    does(engine, DestroySandbox);
}

#[test]
fn an_unknown_end_leaves_only_teardown() {
    let engine = engine();
    engine.decide(mount_device(0, BASE)).unwrap().unknown();
    assert_only_teardown(&engine);
}

#[test]
fn a_dropped_permit_leaves_only_teardown() {
    let engine = engine();
    drop(engine.decide(mount_device(0, BASE)).unwrap());
    assert_only_teardown(&engine);
}

#[test]
fn a_panic_with_a_permit_leaves_only_teardown() {
    let engine = engine();
    let worker = engine.clone();
    std::thread::spawn(move || {
        let _permit = worker.decide(mount_device(0, BASE)).unwrap();
        panic!("in the middle of an effect");
    })
    .join()
    .unwrap_err();
    assert_only_teardown(&engine);
}

#[test]
fn a_forgotten_permit_closes_the_guest() {
    let engine = engine();
    #[expect(clippy::disallowed_methods, clippy::mem_forget, reason = "the attack")]
    std::mem::forget(engine.decide(mount_device(0, BASE)).unwrap());
    assert!(matches!(engine.decide(mount_device(1, TOP)), Err(Refusal::Busy)));
    assert!(matches!(engine.decide(DestroySandbox), Err(Refusal::Busy)));
    // Reading changes nothing and waits for nobody.
    assert!(engine.inspect(GetProperties { container_id: id("web") }).is_ok());
}

#[test]
fn changes_are_decided_one_at_a_time() {
    let engine = engine();
    let permit = engine.decide(mount_device(0, BASE)).unwrap();
    assert!(matches!(engine.decide(mount_device(1, TOP)), Err(Refusal::Busy)));
    let _ = permit.done();
    does(&engine, mount_device(1, TOP));
}

#[test]
fn a_denial_changes_nothing() {
    let engine = engine();
    assert_eq!(denied(&engine, mount_device(0, FOREIGN)), ["deviceHash not found"]);
    assert!(!engine.is_poisoned());
    assert!(!is_mounted(&engine));
}

#[derive(Debug, Clone, Copy)]
enum End {
    Done,
    Untouched,
    Unknown,
    Dropped,
}

fn steps() -> impl Strategy<Value = Vec<(u32, bool, End)>> {
    let end = prop_oneof![
        8 => Just(End::Done),
        4 => Just(End::Untouched),
        1 => Just(End::Unknown),
        1 => Just(End::Dropped),
    ];
    prop::collection::vec((0u32..3, any::<bool>(), end), 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Mounts and unmounts in any order with any ends against a plain model.
    #[test]
    fn the_state_follows_what_was_done(steps in steps()) {
        let engine = engine();
        let mut mounted = [false; 3];
        let mut poisoned = false;
        for (slot, mount, end) in steps {
            let here = usize::try_from(slot).unwrap();
            let settled = if mount {
                settle(&engine, mount_device(slot, BASE), end)
            } else {
                settle(&engine, UnmountDevice { target: target(slot) }, end)
            };
            let expected = mounted[here] != mount && !(poisoned && mount);
            prop_assert_eq!(settled, expected);
            if settled {
                match end {
                    End::Done => mounted[here] = mount,
                    End::Untouched => {}
                    End::Unknown | End::Dropped => poisoned = true,
                }
            }
            prop_assert_eq!(engine.is_poisoned(), poisoned);
        }
    }
}

/// Whether there was a permit.
fn settle<R: policy_engine::request::Request>(engine: &Engine, request: R, end: End) -> bool {
    let Ok(permit) = engine.decide(request) else { return false };
    match end {
        End::Done => drop(permit.done()),
        End::Untouched => permit.untouched(),
        End::Unknown => permit.unknown(),
        End::Dropped => drop(permit),
    }
    true
}
