//! Each explanation is asked of both evaluators: their reasons must be the same.

mod bounds;
mod containers;
mod questions;

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use super::Explanation;
use crate::evaluator::{EvaluatorKind, Session};
use crate::native::Native;
use crate::native::points::Answer;
use crate::question::Question;

/// In each value of an environment, and nowhere else.
const SECRET: &str = "hunter2";

fn data() -> Map<String, Json> {
    let mount = |destination: &str, options: &[&str]| json!({"destination": destination, "type": "sysfs", "source": "sysfs", "options": options});
    let data = json!({
        "defaultMounts": [mount("/sys", &["ro"])],
        "privilegedMounts": [mount("/sys", &["rw"])],
        "defaultPrivilegedCapabilities": ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN"],
        "defaultUnprivilegedCapabilities": ["CAP_CHOWN", "CAP_KILL"],
        "sandboxPrefix": "sandbox://", "hugePagesPrefix": "hugepages://", "plan9Prefix": "plan9://",
    });
    data.as_object().unwrap().clone()
}

/// A container of the policy.
fn container() -> Json {
    json!({
        "name": "web", "id": "registry.example/web:1",
        "command": ["/bin/web", "--port", "80"],
        "env_rules": [
            {"pattern": format!("TOKEN={SECRET}"), "strategy": "string", "required": true},
            {"pattern": format!("(A|B).*={SECRET}.*"), "strategy": "re2", "required": false},
            {"name": "MODE", "name_strategy": "string", "value": format!("{SECRET}|slow"),
             "value_strategy": "re2", "required": false},
        ],
        "layers": ["aa", "bb"],
        "mounts": [{"destination": "/data", "source": "sandbox://data/.+", "type": "bind", "options": ["ro", "bind"]}],
        "exec_processes": [
            {"command": ["/bin/probe", "--live"], "signals": [15]},
            {"command": ["/bin/sh"], "signals": []},
        ],
        "signals": [9, 15],
        "user": {
            "user_idname": {"pattern": "1000", "strategy": "id"},
            "group_idnames": [{"pattern": "staff", "strategy": "name"}, {"pattern": "w.*", "strategy": "re2"}],
            "umask": "0022",
        },
        "capabilities": {"bounding": ["CAP_KILL", "CAP_CHOWN"], "effective": ["CAP_KILL"], "inheritable": [],
                         "permitted": [], "ambient": []},
        "seccomp_profile_sha256": "", "allow_elevated": false, "working_dir": "/srv",
        "allow_stdio_access": true, "no_new_privileges": true,
    })
}

fn with(mut json: Json, changes: &[(&str, Json)]) -> Json {
    for (path, value) in changes {
        *json.pointer_mut(path).unwrap() = value.clone();
    }
    json
}

/// The request that [`container`] allows.
fn create() -> Json {
    json!({
        "containerID": "c1", "argList": ["/bin/web", "--port", "80"],
        "envList": [format!("TOKEN={SECRET}"), "MODE=slow"], "workingDir": "/srv",
        "sandboxDir": "/sandbox/", "hugePagesDir": "/huge/",
        "mounts": [
            {"destination": "/sys", "source": "sysfs", "type": "sysfs", "options": ["ro"]},
            {"destination": "/data", "source": "/sandbox/data/x", "type": "bind", "options": ["bind", "ro"]},
        ],
        "devices": [], "privileged": false, "noNewPrivileges": true, "user": {"id": "1000", "name": "web"},
        "groups": [{"id": "50", "name": "staff"}], "umask": "0022",
        "capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_KILL"], "inheritable": [],
                         "permitted": [], "ambient": []},
        "seccompProfileSHA256": "", "isSandboxContainer": false,
    })
}

fn exec() -> Json {
    let mut input = with(create(), &[("/argList", json!(["/bin/probe", "--live"]))]);
    let fields = input.as_object_mut().unwrap();
    for name in ["sandboxDir", "hugePagesDir", "mounts", "devices", "privileged", "seccompProfileSHA256"] {
        fields.remove(name);
    }
    input
}

/// Both evaluators with the same policy and state.
struct Both {
    native: Native,
    session: Session,
}

impl Both {
    fn with(containers: &[Json], more: &str) -> Self {
        let mut policy = format!(
            "package policy\n\napi_version := \"0.12.0\"\nframework_version := \"0.5.0\"\ncontainers := {}\n{more}\n",
            json!(containers)
        );
        for rule in [
            "mount_device",
            "unmount_device",
            "mount_overlay",
            "unmount_overlay",
            "create_container",
            "exec_in_container",
            "exec_external",
            "signal_container_process",
            "shutdown_container",
            "scratch_mount",
            "scratch_unmount",
            "rw_mount_device",
            "rw_unmount_device",
            "plan9_mount",
            "plan9_unmount",
            "get_properties",
            "dump_stacks",
            "runtime_logging",
            "host_network",
            "mount_blockdev",
            "unmount_blockdev",
        ] {
            policy.push_str(&format!("{rule} := data.framework.{rule}\n"));
        }
        let native = Native::load(&policy, &data()).expect("a native policy");
        Self {
            native,
            session: Session::load(policy.as_bytes(), data(), EvaluatorKind::Interpreter).unwrap(),
        }
    }

    /// With the layers `aa` and `bb` mounted and the overlay of `c1`.
    fn mounted(containers: &[Json], more: &str) -> Self {
        let mut both = Self::with(containers, more);
        both.allowed("mount_device", &device("/m0", "aa"));
        both.allowed("mount_device", &device("/m1", "bb"));
        both.allowed("mount_overlay", &overlay(&["/m1", "/m0"]));
        both
    }

    fn running(containers: &[Json], more: &str) -> Self {
        let mut both = Self::mounted(containers, more);
        both.allowed("create_container", &create());
        both
    }

    fn allowed(&mut self, rule: &str, input: &Json) {
        let question = Question::read(rule, input).unwrap();
        let Answer::Allowed(allowed) = self.native.answer(&question) else { panic!("{rule} is denied") };
        self.native.commit(allowed.change);
        let answer = self.session.query(&format!("data.policy.{rule}"), input).unwrap();
        assert_eq!(answer["allowed"], json!(true), "{rule}");
    }

    fn denied(&mut self, rule: &str, input: &Json) -> Explanation {
        let question = Question::read(rule, input).unwrap();
        assert!(matches!(self.native.answer(&question), Answer::Denied), "{rule} {input}");
        let explanation = self.native.explain(&question).unwrap();
        let mut asked = input.clone();
        asked["rule"] = json!(rule);
        let reasons: BTreeSet<String> =
            serde_json::from_value(self.session.query("data.framework.errors", &asked).unwrap()).unwrap();
        assert_eq!(explanation.reasons, reasons.into_iter().collect::<Vec<_>>(), "{rule} {input}");
        explanation
    }
}

fn device(target: &str, root_hash: &str) -> Json {
    json!({"target": target, "deviceHash": root_hash, "mountPathRegex": "/m[0-9]+"})
}

fn overlay(paths: &[&str]) -> Json {
    json!({"containerID": "c1", "layerPaths": paths, "target": "/c1"})
}

fn differences(explanation: &Explanation) -> Json {
    json!(explanation.closest.as_ref().unwrap().differences)
}

fn difference(field: &str, element: &str, expected: Json, given: Json) -> Json {
    match element {
        "" => json!({"field": field, "expected": expected, "given": given}),
        _ => json!({"field": field, "element": element, "expected": expected, "given": given}),
    }
}
