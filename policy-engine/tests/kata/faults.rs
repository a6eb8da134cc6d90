//! Policies that fail, and fail closed.

use policy_engine::EvaluationError;
use policy_engine::kata::{KataPolicy, Kind, LoadError, Refusal, StateError};
use policy_engine::limits::POLICY_BYTES_MAX;
use serde_json::json;

use crate::fixture::{container, create, denied, does, policy, refusal, rules};

#[test]
fn a_missing_rule_denies() {
    for policy in [policy(), rules("GetIPTablesRequest { input.x }"), rules("")] {
        let refused = refusal(&policy, Kind::GetIPTablesRequest, json!({}));
        assert!(matches!(refused, Refusal::Undefined { .. }), "{refused:?}");
        assert_eq!(
            refused.to_string(),
            "GetIPTablesRequest is denied: the policy has no rule that answers it"
        );
    }
}

#[test]
fn nothing_turns_a_denial_into_an_allow() {
    let policy = rules("AllowRequestsFailingPolicy := true\ndefault PauseContainerRequest := false");
    denied(&policy, Kind::PauseContainerRequest, container("a"));
    let refused = refusal(&policy, Kind::StartContainerRequest, container("a"));
    assert!(matches!(refused, Refusal::Undefined { .. }), "{refused:?}");
}

#[test]
fn an_answer_of_another_form_denies() {
    for answer in [
        "\"true\"",
        "1",
        "null",
        "[true]",
        "{true}",
        "{}",
        r#"{"allowed": "true"}"#,
        r#"{"ops": []}"#,
        r#"{"allowed": true, "ops": {}}"#,
        r#"{"allowed": [true], "ops": []}"#,
    ] {
        let policy = rules(&format!("StartContainerRequest := {answer}"));
        let refused = refusal(&policy, Kind::StartContainerRequest, container("a"));
        assert!(matches!(refused, Refusal::Malformed { .. }), "{answer}: {refused:?}");
    }
    let partial = rules("StartContainerRequest[\"allowed\"] { true }");
    let refused = refusal(&partial, Kind::StartContainerRequest, container("a"));
    assert!(matches!(refused, Refusal::Malformed { .. }), "{refused:?}");
    let nested = rules("StartContainerRequest.allowed := true");
    // An object with `allowed` in it, however it came to be.
    does(&nested, Kind::StartContainerRequest, container("a"));
}

#[test]
fn operations_on_anything_else_deny() {
    for (operation, expected) in [
        (r#"{"op": "add", "path": "/agent_policy/StartContainerRequest", "value": 1}"#, StateError::Path),
        (r#"{"op": "replace", "path": "/pstate", "value": {}}"#, StateError::Path),
        (r#"{"op": "remove", "path": ""}"#, StateError::Path),
        (r#"{"op": "copy", "path": "/pstate/a", "from": "/pstate/b"}"#, StateError::Malformed),
        (r#"{"op": "add", "path": "/pstate/a"}"#, StateError::Malformed),
        ("7", StateError::Malformed),
    ] {
        let policy = rules(&format!(r#"StartContainerRequest := {{"allowed": true, "ops": [{operation}]}}"#));
        match refusal(&policy, Kind::StartContainerRequest, container("a")) {
            Refusal::State { error, .. } => assert_eq!(error, expected, "{operation}"),
            other => panic!("{operation}: {other:?}"),
        }
    }
}

#[test]
fn contradictions_deny() {
    // Two containers of the policy fit, and the state would hold the one or the other.
    let refused = refusal(&policy(), Kind::CreateContainerRequest, create("a", &["/bin/twin"]));
    assert!(
        matches!(refused, Refusal::Evaluation { error: EvaluationError::Fault { .. }, .. }),
        "{refused:?}"
    );
    let both = rules("StartContainerRequest := true\nStartContainerRequest := false { input.container_id }");
    let refused = refusal(&both, Kind::StartContainerRequest, container("a"));
    assert!(
        matches!(refused, Refusal::Evaluation { error: EvaluationError::Fault { .. }, .. }),
        "{refused:?}"
    );
}

#[test]
fn functions_that_fail_are_undefined() {
    let policy = rules(
        "StartContainerRequest { not to_number(input.container_id) }\nPauseContainerRequest { \
         to_number(input.container_id) }\nResumeContainerRequest { regex.match(\"(\", \"\") }",
    );
    does(&policy, Kind::StartContainerRequest, container("a"));
    for kind in [Kind::PauseContainerRequest, Kind::ResumeContainerRequest] {
        let refused = refusal(&policy, kind, container("a"));
        assert!(matches!(refused, Refusal::Undefined { .. }), "{refused:?}");
    }
}

#[test]
fn functions_that_reach_out_are_not_there() {
    for call in ["http.send({})", "time.now_ns()", "opa.runtime()", "net.lookup_ip_addr(\"a\")"] {
        let policy = rules(&format!("StartContainerRequest {{ {call} }}"));
        let refused = refusal(&policy, Kind::StartContainerRequest, container("a"));
        assert!(matches!(refused, Refusal::Evaluation { .. }), "{call}: {refused:?}");
    }
}

#[test]
fn patterns_that_the_host_makes_too_large_deny() {
    let policy = rules("StartContainerRequest { not regex.match(input.container_id, \"\") }");
    let refused = refusal(&policy, Kind::StartContainerRequest, container("(\\pL{100}){100}"));
    assert!(matches!(refused, Refusal::Evaluation { .. }), "{refused:?}");
}

#[test]
fn texts_are_bounded() {
    let policy = rules("StartContainerRequest := true\nSetPolicyRequest := true");
    let text = |bytes: usize| "x".repeat(bytes);
    does(
        &policy,
        Kind::SetPolicyRequest,
        json!({ "policy": format!("package agent_policy\nStartContainerRequest := true\n#{}", text(200_000)) }),
    );
    for input in
        [json!({ "a": [{ "b": text((128 << 10) + 1) }] }), json!({ "a": { text((128 << 10) + 1): 1 } })]
    {
        let refused = refusal(&policy, Kind::StartContainerRequest, input);
        assert!(matches!(refused, Refusal::TextTooLong { .. }), "{refused:?}");
    }
    does(&policy, Kind::StartContainerRequest, json!({ "a": [text(128 << 10)] }));
}

#[test]
fn templates_deny() {
    // In the interpreter this text would end the process.
    let policy =
        rules("StartContainerRequest { not regex.template_match(\"long{.*}\", input.x, \"{\", \"}\") }");
    let refused = refusal(&policy, Kind::StartContainerRequest, json!({ "x": "a" }));
    assert!(matches!(refused, Refusal::Evaluation { .. }), "{refused:?}");
}

#[test]
fn requests_are_objects() {
    for input in [json!(null), json!([]), json!("x"), json!(true)] {
        assert!(matches!(refusal(&policy(), Kind::WaitProcessRequest, input), Refusal::Input { .. }));
    }
}

#[test]
fn both_versions_of_the_language_load() {
    for text in [
        "package agent_policy\ndefault StartContainerRequest = false\nStartContainerRequest { true }",
        "package agent_policy\nimport rego.v1\ndefault StartContainerRequest := false\nStartContainerRequest if true",
        "package agent_policy\nimport future.keywords.if\nStartContainerRequest if { 1 == 1 }",
    ] {
        let policy = KataPolicy::load(text).unwrap();
        does(&policy, Kind::StartContainerRequest, container("a"));
    }
}

#[test]
fn what_is_no_kata_policy_does_not_load() {
    for text in [
        "",
        "package policy\nStartContainerRequest := true",
        "package agent_policy.x\nStartContainerRequest := true",
        "package agent_policy\na := \"x",
        &format!("package agent_policy\na := {}1{}", "[".repeat(40), "]".repeat(40)),
    ] {
        assert!(matches!(KataPolicy::load(text), Err(LoadError::Scan(_))), "{text:?}");
    }
    for text in ["f(x) := f(x)", "f(x) := g(x)\ng(x) := f(x)", "a { b }\nb { data.agent_policy.a }"] {
        let loaded = KataPolicy::load(&format!("package agent_policy\n{text}"));
        assert!(matches!(loaded, Err(LoadError::Recursion(_))), "{text:?}");
    }
    for text in [
        "package agent_policy\nStartContainerRequest {",
        "package agent_policy\nStartContainerRequest { x }",
        "package agent_policy\nimport rego.v1\nStartContainerRequest { true }",
    ] {
        let loaded = KataPolicy::load(text);
        assert!(matches!(loaded, Err(LoadError::Parse { .. })), "{text:?}");
    }
    let large = format!("package agent_policy\n#{}", "x".repeat(POLICY_BYTES_MAX));
    assert!(matches!(KataPolicy::load(&large), Err(LoadError::TooLarge { .. })));
}
