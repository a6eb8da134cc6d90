//! Disagreements that were found, as small as they can be.

use serde_json::{Value, json};

use crate::pair::Pair;
use crate::story::Step;
use crate::tally::Tally;

const CONTAINER: &str = r#"{"allow_elevated": false, "allow_stdio_access": true, "capabilities": {"ambient": [],
    "bounding": [], "effective": [], "inheritable": [], "permitted": []}, "command": ["a"], "env_rules": [],
    "exec_processes": [{"command": ["p"], "signals": []}, {"command": ["p"], "signals": [9]}], "layers": ["aa"],
    "mounts": [], "no_new_privileges": false, "seccomp_profile_sha256": "", "signals": [9],
    "user": {"group_idnames": [], "umask": "0022", "user_idname": {"pattern": "", "strategy": "any"}},
    "working_dir": "/"}"#;

fn policy() -> String {
    let rules = ["mount_device", "mount_overlay", "create_container", "exec_in_container"]
        .map(|rule| format!("{rule} := data.framework.{rule}\n"));
    format!(
        "package policy\napi_version := \"0.12.0\"\nframework_version := \"0.5.0\"\n\
         containers := [{CONTAINER}]\nreason := data.framework.reason\n{}",
        rules.concat()
    )
}

fn query(point: &str, input: Value) -> Step {
    Step::Query { rule: format!("data.policy.{point}"), input, explain: false }
}

fn process(command: &str) -> Value {
    let none: [&str; 0] = [];
    json!({
        "containerID": "c", "argList": [command], "envList": none, "workingDir": "/", "noNewPrivileges": false,
        "user": {"id": "0", "name": ""}, "groups": none, "umask": "0022",
        "capabilities": {
            "bounding": none, "effective": none, "inheritable": none, "permitted": none, "ambient": none,
        },
        "sandboxDir": "/s", "hugePagesDir": "/h", "mounts": none, "devices": none, "privileged": false,
        "seccompProfileSHA256": "", "isSandboxContainer": false,
    })
}

/// What leads to a running container.
fn started() -> Vec<Step> {
    let mount = json!({ "target": "/m0", "deviceHash": "aa", "mountPathRegex": "/m0" });
    let overlay = json!({ "containerID": "c", "layerPaths": ["/m0"], "target": "/root" });
    vec![
        query("mount_device", mount),
        query("mount_overlay", overlay),
        query("create_container", process("a")),
    ]
}

/// Each exec once doubled what the container may still turn out to be.
#[test]
fn a_container_that_lists_a_command_twice_stays_one_candidate() {
    let mut pair = Pair::load(&policy()).unwrap().unwrap();
    let mut steps = started();
    steps.extend([query("exec_in_container", process("p")), query("exec_in_container", process("p"))]);
    let mut tally = Tally::default();
    pair.run(&steps, &mut tally).unwrap();
    assert_eq!(tally.of("exec_in_container").allowed, 2);
    let state = pair.compare_states().unwrap();
    assert_eq!(state["matches"]["c"].as_array().unwrap().len(), 1);
}

/// What the host wrote beside the five sets once came back with them.
#[test]
fn an_answer_has_the_five_capability_sets_alone() {
    let mut pair = Pair::load(&policy()).unwrap().unwrap();
    let mut steps = started();
    let mut odd = process("p");
    odd["capabilities"]["metadata"] = Value::Null;
    steps.push(query("exec_in_container", odd));
    let mut tally = Tally::default();
    pair.run(&steps, &mut tally).unwrap();
    assert_eq!(tally.of("exec_in_container").allowed, 1);
}

/// The policy has no rule for signals: the question is without an answer, and the framework sees no reason.
#[test]
fn the_arguments_of_an_init_are_no_reason_to_deny_a_signal() {
    let mut pair = Pair::load(&policy()).unwrap().unwrap();
    let mut steps = started();
    for (signal, init) in [(9, true), (10, true), (9, false)] {
        let input = json!({ "containerID": "c", "signal": signal, "isInitProcess": init, "argList": ["b"] });
        let rule = "data.policy.signal_container_process".to_owned();
        steps.push(Step::Query { rule, input, explain: true });
    }
    let mut tally = Tally::default();
    pair.run(&steps, &mut tally).unwrap();
    // The signal that it does not list, and the process that it does not have.
    assert_eq!((tally.of("signal_container_process").other, tally.explained), (3, 2));
}
