//! `cce policy explain` as a program: answers and exit codes.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::disallowed_methods, reason = "what is tested is a program")]

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Must appear nowhere: in each value of an environment.
const SECRET: &str = "hunter2";

fn policy() -> String {
    let container = json!({
        "id": "registry.example/web:1", "name": "web",
        "command": ["/bin/web", "--port", "80"],
        "env_rules": [
            {"pattern": format!("TOKEN={SECRET}"), "strategy": "string", "required": true},
            {"pattern": "TERM=xterm", "strategy": "string", "required": false},
        ],
        "layers": ["aa"], "mounts": [], "exec_processes": [], "signals": [],
        "user": {
            "user_idname": {"pattern": "1000", "strategy": "id"},
            "group_idnames": [{"pattern": "", "strategy": "any"}],
            "umask": "0022",
        },
        "capabilities": {"bounding": [], "effective": [], "inheritable": [], "permitted": [], "ambient": []},
        "seccomp_profile_sha256": "", "allow_elevated": false, "working_dir": "/",
        "allow_stdio_access": false, "no_new_privileges": true,
    });
    let mut policy = format!(
        "package policy\n\napi_version := \"0.12.0\"\nframework_version := \"0.5.0\"\ncontainers := [{container}]\n"
    );
    for rule in ["mount_device", "mount_overlay", "create_container", "get_properties"] {
        policy.push_str(&format!("{rule} := data.framework.{rule}\n"));
    }
    policy + "reason := {\"errors\": data.framework.errors}\n"
}

fn create(environment: &[String]) -> Value {
    json!({"rule": "create_container", "input": {
        "containerID": "c1", "argList": ["/bin/web", "--port", "8080"], "envList": environment,
        "workingDir": "/", "sandboxDir": "/s", "hugePagesDir": "/h", "mounts": [], "devices": [],
        "privileged": false, "noNewPrivileges": true, "user": {"id": "1000", "name": ""},
        "groups": [{"id": "0", "name": "root"}], "umask": "0022",
        "capabilities": {"bounding": [], "effective": [], "inheritable": [], "permitted": [], "ambient": []},
        "seccompProfileSHA256": "", "isSandboxContainer": false,
    }})
}

fn mounts() -> [Value; 2] {
    let mount = json!({"target": "/m0", "deviceHash": "aa", "mountPathRegex": "/m[0-9]+"});
    let overlay = json!({"containerID": "c1", "layerPaths": ["/m0"], "target": "/c1"});
    // As recorders of decisions spell rules.
    [
        json!({"rule": "data.policy.mount_device", "input": mount}),
        json!({"rule": "mount_overlay", "input": overlay}),
    ]
}

fn write(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Exit code, standard output, standard error.
fn explain(json: bool, policy: &str, request: &str) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let (policy, request) = (write(&folder, "policy.rego", policy), write(&folder, "request.json", request));
    let output = Command::new(env!("CARGO_BIN_EXE_cce"))
        .args(if json { &["--json"][..] } else { &[] })
        .args(["policy", "explain", "--policy", &policy, "--request", &request])
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_denial_tells_what_came_closest_and_no_value() {
    let [mount, overlay] = mounts();
    let requests = json!([mount, overlay, create(&[format!("PASSWORD={SECRET}"), "TERM=xterm".to_owned()])]);
    let (code, output, _) = explain(true, &policy(), &requests.to_string());
    assert_eq!(code, 1, "{output}");
    let answer: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(answer["allowed"], json!(false));
    assert_eq!(answer["requests"], json!(3));
    let denial = &answer["denials"][0];
    assert_eq!((&denial["request"], &denial["rule"]), (&json!(2), &json!("create_container")));
    let reasons = ["invalid command", "invalid env list: PASSWORD", "missing required environment variable"];
    assert_eq!(denial["reasons"], json!(reasons));
    let closest = &denial["closest"];
    assert_eq!((&closest["kind"], &closest["index"]), (&json!("container"), &json!(0)));
    assert_eq!((&closest["name"], &closest["id"]), (&json!("web"), &json!("registry.example/web:1")));
    assert_eq!(closest["differing"], json!(["command", "env_rules"]));
    let differences = json!([
        {"field": "command", "element": "argument 2", "expected": "80", "given": "8080"},
        {"field": "env_rules", "element": "PASSWORD", "expected": null, "given": "(not shown)"},
        {"field": "env_rules", "element": "TOKEN", "expected": "(not shown)", "given": null},
    ]);
    assert_eq!(closest["differences"], differences);
    assert!(!output.contains(SECRET), "{output}");

    let (code, output, _) = explain(false, &policy(), &requests.to_string());
    assert_eq!(code, 1);
    assert!(!output.contains(SECRET), "{output}");
    for line in [
        "2 of 3 requests allowed",
        "request 2: create_container is denied by policy",
        "  invalid command",
        "closest is container 0 `web`, which differs in command, env_rules",
        "  command, argument 2",
        "    expected  80",
        "    given     8080",
        "  env_rules, PASSWORD",
    ] {
        assert!(output.lines().any(|found| found == line), "{line:?} in {output}");
    }
}

#[test]
fn an_allowed_request_ends_with_zero() {
    let [mount, overlay] = mounts();
    for (requests, count) in [(mount.clone(), 1), (json!([mount, overlay]), 2)] {
        let (code, output, error) = explain(true, &policy(), &requests.to_string());
        assert_eq!(code, 0, "{error}");
        let answer: Value = serde_json::from_str(&output).unwrap();
        assert_eq!(answer, json!({"allowed": true, "requests": count, "denials": []}));
    }
}

#[test]
fn bad_input_ends_with_two() {
    let request = mounts()[0].to_string();
    let unknown = json!({"rule": "fly", "input": {}}).to_string();
    for (policy, request, words) in [
        ("package nothing\n", request.as_str(), "the package must be `policy`"),
        (&policy(), "{", "not JSON"),
        (&policy(), "[]", "no request"),
        (&policy(), "[{\"rule\": 1}]", "an object of `rule` and `input`"),
        (&policy(), &unknown, "no rule `fly`"),
    ] {
        let (code, _, error) = explain(false, policy, request);
        assert_eq!(code, 2, "{error}");
        assert!(error.contains(words), "{words:?} in {error}");
    }
    let missing = Path::new("missing").to_str().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cce"))
        .args(["policy", "explain", "--policy", missing, "--request", "-"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
