//! What a policy remembers, and what a host cannot do to it.

use policy_engine::kata::{Kind, Refusal, StateError};
use serde_json::json;

use crate::fixture::{container, create, denied, does, policy, probe, refusal, rules, web};

/// The container is known: its probe is allowed.
fn is_known(policy: &policy_engine::kata::KataPolicy, id: &str) -> bool {
    match policy.judge(Kind::ExecProcessRequest, probe(id)) {
        Ok(allowed) => {
            allowed.untouched();
            true
        }
        Err(Refusal::Denied { .. }) => false,
        Err(other) => panic!("{other:?}"),
    }
}

fn other_pod(id: &str) -> serde_json::Value {
    let mut input = web(id);
    input["OCI"]["Annotations"]["io.kubernetes.cri.sandbox-name"] = json!("other");
    input
}

#[test]
fn only_what_was_done_is_remembered() {
    let policy = policy();
    policy.judge(Kind::CreateContainerRequest, other_pod("a")).unwrap().untouched();
    assert!(!is_known(&policy, "a"));
    // The pod's name is not held to what did not happen either.
    does(&policy, Kind::CreateContainerRequest, web("a"));
    assert!(is_known(&policy, "a"));
    policy.judge(Kind::RemoveContainerRequest, container("a")).unwrap().untouched();
    assert!(is_known(&policy, "a"));
    does(&policy, Kind::RemoveContainerRequest, container("a"));
    assert!(!is_known(&policy, "a"));
}

#[test]
fn a_denial_leaves_no_state() {
    let policy = policy();
    let mut input = other_pod("a");
    input["OCI"]["Process"]["Args"] = json!(["/bin/sh"]);
    denied(&policy, Kind::CreateContainerRequest, input);
    does(&policy, Kind::CreateContainerRequest, web("a"));
}

#[test]
fn the_sandbox_name_sticks() {
    let policy = policy();
    does(&policy, Kind::CreateContainerRequest, web("a"));
    denied(&policy, Kind::CreateContainerRequest, other_pod("b"));
    does(&policy, Kind::RemoveContainerRequest, container("a"));
    // Also when no container is left.
    denied(&policy, Kind::CreateContainerRequest, other_pod("b"));
    does(&policy, Kind::CreateContainerRequest, web("b"));
}

#[test]
fn an_id_of_the_hosts_cannot_name_an_entry_of_the_sandbox() {
    let policy = policy();
    // Before there is such an entry: the policy would put the pod's name and the container in one place.
    let refused = refusal(&policy, Kind::CreateContainerRequest, web("sandbox_name"));
    assert!(matches!(refused, Refusal::State { error: StateError::Twice, .. }), "{refused:?}");
    does(&policy, Kind::CreateContainerRequest, web("a"));
    // The peer allows this one, and forgets which pod it runs.
    for kind in [Kind::RemoveContainerRequest, Kind::CreateContainerRequest, Kind::ExecProcessRequest] {
        let refused = refusal(&policy, kind, web("sandbox_name"));
        assert!(matches!(refused, Refusal::ContainerId { .. }), "{refused:?}");
    }
    denied(&policy, Kind::CreateContainerRequest, other_pod("b"));
}

#[test]
fn an_id_of_the_hosts_is_no_path() {
    let policy = policy();
    does(&policy, Kind::CreateContainerRequest, web("a"));
    for id in ["../pstate/a", "a/b", "x/../a", "~1a", "a~0", "a\0", &"a".repeat(300)] {
        for kind in [Kind::CreateContainerRequest, Kind::RemoveContainerRequest] {
            let refused = refusal(&policy, kind, web(id));
            assert!(matches!(refused, Refusal::ContainerId { .. }), "{id:?}: {refused:?}");
        }
    }
    assert!(is_known(&policy, "a"));
}

#[test]
fn what_was_never_created_is_not_removed() {
    let policy = policy();
    does(&policy, Kind::CreateContainerRequest, web("a"));
    for id in ["b", "", "namespace"] {
        let refused = refusal(&policy, Kind::RemoveContainerRequest, container(id));
        assert!(matches!(refused, Refusal::State { error: StateError::Missing, .. }), "{refused:?}");
    }
    does(&policy, Kind::RemoveContainerRequest, container("a"));
    let refused = refusal(&policy, Kind::RemoveContainerRequest, container("a"));
    assert!(matches!(refused, Refusal::State { error: StateError::Missing, .. }), "{refused:?}");
}

#[test]
fn a_second_create_of_one_id_changes_nothing() {
    let policy = policy();
    does(&policy, Kind::CreateContainerRequest, web("a"));
    // As another container of the policy: denied, and the first stays what it was.
    denied(&policy, Kind::CreateContainerRequest, create("a", &["/pause"]));
    assert!(is_known(&policy, "a"));
    // As the same one: the policy has nothing against it. The guest has, and its failure leaves the first alone.
    policy.judge(Kind::CreateContainerRequest, web("a")).unwrap().untouched();
    assert!(is_known(&policy, "a"));
}

#[test]
fn changes_are_decided_one_at_a_time() {
    let policy = policy();
    let first = policy.judge(Kind::CreateContainerRequest, web("a")).unwrap();
    // The same id twice at once would be two containers, each of which is new.
    assert!(matches!(refusal(&policy, Kind::CreateContainerRequest, web("a")), Refusal::Busy));
    assert!(matches!(refusal(&policy.clone(), Kind::RemoveContainerRequest, container("a")), Refusal::Busy));
    // Waiting takes as long as a container runs, and holds up nothing.
    let waiting = policy.judge(Kind::WaitProcessRequest, container("a")).unwrap();
    assert_eq!(waiting.kind(), Kind::WaitProcessRequest);
    first.done();
    does(&policy, Kind::RemoveContainerRequest, container("a"));
    drop(waiting);
    assert!(!policy.is_poisoned());
}

#[test]
fn what_ends_unknown_leaves_teardown_only() {
    for dropped in [false, true] {
        let policy = policy();
        does(&policy, Kind::CreateContainerRequest, web("a"));
        let allowed = policy.judge(Kind::CreateContainerRequest, web("b")).unwrap();
        if dropped {
            drop(allowed)
        } else {
            allowed.unknown()
        }
        assert!(policy.is_poisoned());
        for kind in [Kind::CreateContainerRequest, Kind::StartContainerRequest, Kind::ExecProcessRequest] {
            assert!(matches!(refusal(&policy, kind, web("a")), Refusal::Poisoned));
        }
        does(&policy, Kind::RemoveContainerRequest, container("a"));
        let _ = policy.judge(Kind::WaitProcessRequest, container("a")).unwrap();
    }
}

#[test]
fn a_request_that_only_reads_changes_no_state() {
    let policy = rules(
        r#"StatsContainerRequest := {"allowed": true, "ops": [{"op": "add", "path": "/pstate/x", "value": 1}]}"#,
    );
    let refused = refusal(&policy, Kind::StatsContainerRequest, container("a"));
    assert!(matches!(refused, Refusal::State { error: StateError::Passing, .. }), "{refused:?}");
}

#[test]
fn an_allow_that_says_no_takes_no_operations() {
    let policy = rules(
        r#"StartContainerRequest := {"allowed": false, "ops": [{"op": "add", "path": "/pstate/x", "value": 1}]}
        PauseContainerRequest { data.pstate.x == 1 }"#,
    );
    denied(&policy, Kind::StartContainerRequest, container("a"));
    assert!(matches!(
        refusal(&policy, Kind::PauseContainerRequest, container("a")),
        Refusal::Undefined { .. }
    ));
}
