//! Disagreements that were found, as small as they can be.

use serde_json::{Value, json};

use crate::pair::Pair;
use crate::story::Step;
use crate::tally::Tally;

const CONTAINER: &str = r#"{"allow_elevated": false, "allow_stdio_access": true, "capabilities": {"ambient": [],
    "bounding": [], "effective": [], "inheritable": [], "permitted": []}, "command": ["a"], "env_rules": [],
    "exec_processes": [{"command": ["p"], "signals": []}, {"command": ["p"], "signals": [9]}], "layers": ["aa"],
    "mounts": [], "no_new_privileges": false, "seccomp_profile_sha256": "", "signals": [],
    "user": {"group_idnames": [], "umask": "0022", "user_idname": {"pattern": "", "strategy": "any"}},
    "working_dir": "/"}"#;

fn policy() -> String {
    let rules = ["mount_device", "mount_overlay", "create_container", "exec_in_container"]
        .map(|rule| format!("{rule} := data.framework.{rule}\n"));
    format!(
        "package policy\napi_version := \"0.12.0\"\nframework_version := \"0.5.0\"\n\
         containers := [{CONTAINER}]\n{}",
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

/// Each exec once doubled what the container may still turn out to be.
#[test]
fn a_container_that_lists_a_command_twice_stays_one_candidate() {
    let mut pair = Pair::load(&policy()).unwrap().unwrap();
    let mount = json!({ "target": "/m0", "deviceHash": "aa", "mountPathRegex": "/m0" });
    let overlay = json!({ "containerID": "c", "layerPaths": ["/m0"], "target": "/root" });
    let steps = [
        query("mount_device", mount),
        query("mount_overlay", overlay),
        query("create_container", process("a")),
        query("exec_in_container", process("p")),
        query("exec_in_container", process("p")),
    ];
    let mut tally = Tally::default();
    pair.run(&steps, &mut tally).unwrap();
    assert_eq!(tally.of("exec_in_container").allowed, 2);
    let state = pair.compare_states().unwrap();
    assert_eq!(state["matches"]["c"].as_array().unwrap().len(), 1);
}
