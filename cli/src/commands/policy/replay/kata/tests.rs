use serde_json::json;

use super::*;

const POLICY: &str = r#"
package agent_policy

default ExecProcessRequest := false

default RemoveContainerRequest := true

CreateContainerRequest := {"allowed": true, "ops": ops} {
	ops := [{"op": "add", "path": concat("/", ["/pstate", input.container_id]), "value": 0}]
}

ExecProcessRequest {
	data.pstate[input.container_id] == 0
	is_null(input.string_user)
}
"#;

fn case(allowed: bool, kind: &str, container: &str) -> Json {
    let request = json!({ "container_id": container });
    json!({ "description": kind, "allowed": allowed, "kind": kind, "request": request, "state": {} })
}

fn replay(cases: &Json) -> anyhow::Result<Comparison> {
    compare(&KataPolicy::load(POLICY).unwrap(), cases.to_string().as_bytes())
}

#[test]
fn state_carries_over() {
    let comparison = replay(&json!([
        case(false, "ExecProcessRequest", "a"),
        case(true, "CreateContainerRequest", "a"),
        case(true, "ExecProcessRequest", "a"),
        case(false, "ExecProcessRequest", "b"),
        case(true, "RemoveContainerRequest", "a"),
        // No rule: denied.
        case(false, "PauseContainerRequest", "a"),
    ]))
    .unwrap();
    assert_eq!((comparison.queries, comparison.agree, comparison.differ), (6, 6, 0));
    assert_eq!(comparison.to_string(), "6 queries, 6 agree, 0 differ");
}

#[test]
fn differences_are_told() {
    let comparison = replay(&json!([
        case(true, "ExecProcessRequest", "a"),
        case(false, "CreateContainerRequest", "a"),
        case(true, "PauseContainerRequest", "a"),
    ]))
    .unwrap();
    assert_eq!(
        comparison.to_string(),
        "3 queries, 0 agree, 3 differ\n\
         case 1, ExecProcessRequest, \"ExecProcessRequest\": expected allowed; ExecProcessRequest is denied by \
         policy\n\
         case 2, CreateContainerRequest, \"CreateContainerRequest\": expected denied, is allowed\n\
         case 3, PauseContainerRequest, \"PauseContainerRequest\": expected allowed; PauseContainerRequest is \
         denied: the policy has no rule that answers it"
    );
}

#[test]
fn only_the_first_differences_are_told() {
    let cases: Vec<Json> = (0..50).map(|_| case(true, "ExecProcessRequest", "a")).collect();
    let comparison = replay(&Json::Array(cases)).unwrap();
    assert_eq!((comparison.differ, comparison.differences.len()), (50, DIFFERENCES_SHOWN));
}

#[test]
fn what_is_no_test_case_is_an_error() {
    for cases in [
        json!({}),
        json!([{}]),
        json!([{ "description": "", "allowed": true, "kind": "ExecProcessRequest" }]),
        json!([case(true, "AllowRequestsFailingPolicy", "a")]),
        json!([{ "description": "", "allowed": true, "kind": "ExecProcessRequest", "request": [] }]),
    ] {
        replay(&cases).unwrap_err();
    }
}
