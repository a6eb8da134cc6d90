//! Setting another policy.

use policy_engine::kata::{Kind, LoadError, Refusal};
use serde_json::{Value as Json, json};

use crate::fixture::{container, denied, does, policy, refusal, rules, web};

/// Allows to be replaced, and to start and to pause.
const OPEN: &str =
    "SetPolicyRequest := true\nStartContainerRequest := true\ndefault PauseContainerRequest := false";

fn new(rules: &str) -> Json {
    json!({ "policy": format!("package agent_policy\n{rules}\n") })
}

#[test]
fn the_present_policy_decides() {
    let refused = refusal(&policy(), Kind::SetPolicyRequest, new("SetPolicyRequest := true"));
    assert!(matches!(refused, Refusal::Undefined { .. }), "{refused:?}");
    denied(&rules("default SetPolicyRequest := false"), Kind::SetPolicyRequest, new(OPEN));
}

#[test]
fn it_is_set_once() {
    let policy = rules(OPEN);
    does(&policy, Kind::SetPolicyRequest, new("SetPolicyRequest := true\nPauseContainerRequest := true"));
    does(&policy, Kind::PauseContainerRequest, container("a"));
    let refused = refusal(&policy, Kind::StartContainerRequest, container("a"));
    assert!(matches!(refused, Refusal::Undefined { .. }), "{refused:?}");
    // The new policy would allow it.
    assert!(matches!(refusal(&policy, Kind::SetPolicyRequest, new(OPEN)), Refusal::PolicyIsSet));
}

#[test]
fn not_even_a_second_time_at_once() {
    let policy = rules(OPEN);
    does(&policy, Kind::SetPolicyRequest, new(OPEN));
    assert!(matches!(refusal(&policy, Kind::SetPolicyRequest, new(OPEN)), Refusal::PolicyIsSet));
}

#[test]
fn nothing_happens_before() {
    let policy = rules(OPEN);
    // Reading is not happening, and neither is what was undone.
    let _ = policy.judge(Kind::WaitProcessRequest, container("a")).unwrap_err();
    policy.judge(Kind::StartContainerRequest, container("a")).unwrap().untouched();
    policy.judge(Kind::SetPolicyRequest, new(OPEN)).unwrap().untouched();
    does(&policy, Kind::StartContainerRequest, container("a"));
    assert!(matches!(refusal(&policy, Kind::SetPolicyRequest, new(OPEN)), Refusal::PolicyIsSet));
}

#[test]
fn a_bad_policy_leaves_the_present_one() {
    let policy = rules(OPEN);
    for bad in ["package agent_policy\nSetPolicyRequest := {", "package policy\nSetPolicyRequest := true", ""]
    {
        let refused = refusal(&policy, Kind::SetPolicyRequest, json!({ "policy": bad }));
        assert!(
            matches!(refused, Refusal::Policy(LoadError::Parse { .. } | LoadError::Scan(_))),
            "{refused:?}"
        );
    }
    for none in [json!({}), json!({ "policy": 1 })] {
        assert!(matches!(refusal(&policy, Kind::SetPolicyRequest, none), Refusal::Input { .. }));
    }
    denied(&policy, Kind::PauseContainerRequest, container("a"));
    does(&policy, Kind::SetPolicyRequest, new("PauseContainerRequest := true"));
    does(&policy, Kind::PauseContainerRequest, container("a"));
}

#[test]
fn the_new_policy_starts_without_state() {
    let policy = rules(
        r#"SetPolicyRequest := {"allowed": true, "ops": [{"op": "add", "path": "/pstate/x", "value": 1}]}"#,
    );
    does(&policy, Kind::SetPolicyRequest, new("StartContainerRequest { data.pstate == {} }"));
    does(&policy, Kind::StartContainerRequest, web("a"));
}
