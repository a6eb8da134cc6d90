//! Each explanation is asked of both evaluators: their reasons must be the same.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::{DIFFERENCES_MAX, EXPLANATION_BYTES_MAX, EXPLANATION_TEXT_BYTES_MAX, Explanation};
use crate::denial::{DENIAL_BYTES_MAX, Denial};
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

/// One change of the request that fits, the reason and the difference that it makes.
fn changes() -> Vec<(&'static str, Json, &'static str, Json)> {
    let none = Json::Null;
    let hidden = json!("(not shown)");
    let sysfs = |options: &str| json!({"destination": "/sys", "source": "sysfs", "type": "sysfs", "options": [options]});
    let bind = |source: &str| json!({"destination": "/data", "source": source, "type": "bind", "options": ["bind", "ro"]});
    let set = |names: &[&str]| json!(names);
    vec![
        (
            "/argList",
            json!(["/bin/web", "--port", "8080"]),
            "invalid command",
            difference("command", "argument 2", json!("80"), json!("8080")),
        ),
        (
            "/argList",
            json!(["/bin/web", "--port"]),
            "invalid command",
            difference("command", "argument 2", json!("80"), none.clone()),
        ),
        (
            "/argList",
            json!(["/bin/web", "--port", "80", "-v"]),
            "invalid command",
            difference("command", "argument 3", none.clone(), json!("-v")),
        ),
        (
            "/workingDir",
            json!("/"),
            "invalid working directory",
            difference("working_dir", "", json!("/srv"), json!("/")),
        ),
        (
            "/noNewPrivileges",
            json!(false),
            "invalid noNewPrivileges",
            difference("no_new_privileges", "", json!("true"), json!("false")),
        ),
        (
            "/user",
            json!({"id": "0", "name": "root"}),
            "invalid user",
            difference("user", "", json!("id 1000"), json!("id 0, name root")),
        ),
        (
            "/groups/0",
            json!({"id": "0", "name": ""}),
            "invalid user",
            difference("groups", "", json!("name staff or name matching w.*"), json!("id 0")),
        ),
        ("/umask", json!("0000"), "invalid user", difference("umask", "", json!("0022"), json!("0000"))),
        (
            "/privileged",
            json!(true),
            "privileged escalation not allowed",
            difference("allow_elevated", "", json!("false"), json!("true")),
        ),
        (
            "/seccompProfileSHA256",
            json!("ff"),
            "invalid seccomp",
            difference("seccomp_profile_sha256", "", json!(""), json!("ff")),
        ),
        (
            "/mounts/0",
            sysfs("rw"),
            "invalid mount list: /sys",
            difference("mounts", "/sys", json!("options ro"), json!("options rw")),
        ),
        (
            "/mounts/1",
            bind("/etc"),
            "invalid mount list: /data",
            difference("mounts", "/data", json!("source sandbox://data/.+"), json!("source /etc")),
        ),
        (
            "/mounts/1/destination",
            json!("/etc"),
            "invalid mount list: /etc",
            difference(
                "mounts",
                "/etc",
                none.clone(),
                json!("type bind, source /sandbox/data/x, options bind,ro"),
            ),
        ),
        (
            "/envList/1",
            json!(format!("OTHER={SECRET}")),
            "invalid env list: OTHER",
            difference("env_rules", "OTHER", none.clone(), hidden.clone()),
        ),
        (
            "/envList/1",
            json!(format!("MODE=x{SECRET}")),
            "invalid env list: MODE",
            difference("env_rules", "MODE", hidden.clone(), hidden.clone()),
        ),
        (
            "/envList/0",
            json!("MODE=slow"),
            "missing required environment variable",
            difference("env_rules", "TOKEN", hidden, none.clone()),
        ),
        (
            "/capabilities/bounding",
            set(&["CAP_KILL", "CAP_SYS_ADMIN"]),
            "capabilities don't match",
            difference("capabilities", "bounding", json!("CAP_CHOWN"), json!("CAP_SYS_ADMIN")),
        ),
        (
            "/capabilities/effective",
            set(&["CAP_KILL", "CAP_KILL"]),
            "capabilities don't match",
            difference("capabilities", "effective", json!("1 names"), json!("2 names")),
        ),
    ]
}

#[test]
fn each_change_of_a_container_is_named() {
    let mut both = Both::mounted(&[container()], "");
    for (path, value, reason, difference) in changes() {
        let explanation = both.denied("create_container", &with(create(), &[(path, value)]));
        assert_eq!(explanation.reasons, [reason], "{path}");
        assert_eq!(differences(&explanation), json!([difference]), "{path}");
        let closest = explanation.closest.unwrap();
        assert_eq!(json!(closest.differing), json!([difference["field"]]), "{path}");
        assert_eq!(closest.met.len(), 10, "{path}: {closest:?}");
        assert_eq!((closest.index, closest.container, closest.fragment), (Some(0), None, false));
        assert_eq!(closest.name.as_deref(), Some("web"));
        assert_eq!(closest.id.as_deref(), Some("registry.example/web:1"));
    }
    both.allowed("create_container", &create());
}

#[test]
fn changes_in_pairs_have_the_reasons_of_both() {
    let mut both = Both::mounted(&[container()], "");
    let changes = changes();
    for (number, (path, value, reason, _)) in changes.iter().enumerate() {
        for (other_path, other_value, other_reason, _) in changes.iter().skip(number + 1) {
            // One change inside of what the other replaces, or of the same list, is another change.
            if path.split('/').nth(1) == other_path.split('/').nth(1) {
                continue;
            }
            let request = with(create(), &[(*path, value.clone()), (*other_path, other_value.clone())]);
            let explanation = both.denied("create_container", &request);
            let reasons: BTreeSet<&str> = [*reason, *other_reason].into();
            assert_eq!(explanation.reasons, reasons.into_iter().collect::<Vec<_>>());
        }
    }
}

#[test]
fn of_several_containers_the_one_that_meets_most_is_closest() {
    let containers = [
        with(container(), &[("/command", json!(["/pause"])), ("/name", json!("pause"))]),
        with(container(), &[("/working_dir", json!("/")), ("/name", json!("other"))]),
        with(container(), &[("/working_dir", json!("/home")), ("/name", json!("late"))]),
    ];
    let mut both = Both::mounted(&containers, "");
    let name = |explanation: &Explanation| explanation.closest.as_ref().unwrap().name.clone().unwrap();
    // All conditions are met by some container; of those that meet all but one the first counts.
    let explanation = both.denied("create_container", &create());
    assert_eq!(explanation.reasons, ["no container of the policy meets all conditions at once"]);
    assert_eq!(name(&explanation), "pause");
    let explanation = both.denied("create_container", &with(create(), &[("/workingDir", json!("/x"))]));
    assert_eq!(explanation.reasons, ["invalid working directory"]);
    assert_eq!(name(&explanation), "other");
    let home = with(create(), &[("/workingDir", json!("/home")), ("/umask", json!("0077"))]);
    let explanation = both.denied("create_container", &home);
    assert_eq!(explanation.reasons, ["invalid user"]);
    assert_eq!((name(&explanation).as_str(), explanation.closest.unwrap().index), ("late", Some(2)));
}

#[test]
fn containers_between_which_the_host_would_choose() {
    let quiet = with(container(), &[("/allow_stdio_access", json!(false))]);
    let mut both = Both::mounted(&[container(), quiet], "");
    let explanation = both.denied("create_container", &create());
    assert_eq!(explanation.reasons, ["containers only distinguishable by allow_stdio_access"]);

    let rules = |name: &str| json!([{"pattern": format!("{name}=.*"), "strategy": "re2", "required": false}]);
    let containers = ["X", "Y"].map(|name| with(container(), &[("/env_rules", rules(name))]));
    let mut both = Both::mounted(&containers, "allow_environment_variable_dropping := true");
    let explanation =
        both.denied("create_container", &with(create(), &[("/envList", json!(["X=1", "Y=2"]))]));
    assert_eq!(explanation.reasons, ["containers only distinguishable by what would be dropped"]);
    assert!(explanation.closest.unwrap().differing.is_empty());
}

#[test]
fn what_may_be_dropped_is_no_difference() {
    let rights = "allow_environment_variable_dropping := true\nallow_capability_dropping := true";
    let mut both = Both::mounted(&[container()], rights);
    let request = with(
        create(),
        &[
            ("/envList", json!([format!("OTHER={SECRET}")])),
            ("/capabilities/bounding", json!(["CAP_KILL", "CAP_SYS_ADMIN"])),
        ],
    );
    let explanation = both.denied("create_container", &request);
    assert_eq!(explanation.reasons, ["capabilities don't match", "missing required environment variable"]);
    let hidden = json!("(not shown)");
    assert_eq!(
        differences(&explanation),
        json!([
            difference("env_rules", "TOKEN", hidden, Json::Null),
            difference("capabilities", "bounding", json!("CAP_CHOWN"), Json::Null),
        ])
    );
}

#[test]
fn containers_that_are_not_there() {
    let mut both = Both::with(&[container()], "");
    let devices = with(create(), &[("/devices", json!([{"path": "/dev/x"}]))]);
    let explanation = both.denied("create_container", &devices);
    assert_eq!(explanation.reasons, ["devices not supported", "no overlay mounted for container"]);
    assert!(explanation.closest.unwrap().differing.is_empty());
    let other = both.denied("create_container", &with(create(), &[("/workingDir", json!("/"))]));
    assert_eq!(other.reasons, ["no overlay mounted for container"]);
    assert_eq!(json!(other.closest.unwrap().differing), json!(["working_dir"]));
    both.denied("exec_in_container", &exec());
    let signal = json!({"containerID": "c1", "signal": 9, "isInitProcess": true, "argList": []});
    both.denied("signal_container_process", &signal);
    both.denied("shutdown_container", &json!({"containerID": "c1"}));

    let mut both = Both::running(&[container()], "");
    assert_eq!(both.denied("create_container", &create()).reasons, ["container already started"]);
    both.denied("mount_overlay", &overlay(&["/m1", "/m0"]));
    both.allowed("shutdown_container", &json!({"containerID": "c1"}));
    assert_eq!(both.denied("exec_in_container", &exec()).reasons, ["container already shut down"]);
    both.denied("signal_container_process", &signal);
}

#[test]
fn an_exec_is_compared_with_the_exec_process_that_is_most_alike() {
    let mut both = Both::running(&[container()], "");
    let mut asked = |changes: &[(&str, Json)]| {
        let explanation = both.denied("exec_in_container", &with(exec(), changes));
        let found = differences(&explanation);
        let closest = explanation.closest.unwrap();
        let place = (json!(closest.kind), closest.index, closest.container);
        assert_eq!(place, (json!("exec_process"), closest.index, Some(0)));
        (explanation.reasons, closest.index, found)
    };
    let (reasons, index, found) = asked(&[("/argList", json!(["/bin/probe", "--ready"]))]);
    assert_eq!((reasons, index), (vec!["invalid command".to_owned()], Some(0)));
    assert_eq!(found, json!([difference("command", "argument 1", json!("--live"), json!("--ready"))]));
    let (_, index, _) = asked(&[("/argList", json!(["/bin/sh", "-c"]))]);
    assert_eq!(index, Some(1));
    let (reasons, _, found) = asked(&[("/workingDir", json!("/")), ("/umask", json!("0000"))]);
    assert_eq!(reasons, ["invalid user", "invalid working directory"]);
    assert_eq!(
        found,
        json!([
            difference("working_dir", "", json!("/srv"), json!("/")),
            difference("umask", "", json!("0022"), json!("0000")),
        ])
    );

    let mut both = Both::running(&[with(container(), &[("/exec_processes", json!([]))])], "");
    let explanation = both.denied("exec_in_container", &exec());
    assert_eq!(
        differences(&explanation),
        json!([difference("command", "argument 0", Json::Null, json!("/bin/probe")),])
    );
    assert_eq!(json!(explanation.closest.unwrap().kind), json!("container"));
}

#[test]
fn a_signal_is_explained_by_the_list() {
    let mut both = Both::running(&[container()], "");
    let signal = |signal: i64, init: bool, command: Json| json!({"containerID": "c1", "signal": signal, "isInitProcess": init, "argList": command});
    let web = create()["argList"].clone();
    let explanation = both.denied("signal_container_process", &signal(1, true, web));
    assert_eq!(explanation.reasons, ["target isn't allowed to receive the signal"]);
    assert_eq!(differences(&explanation), json!([difference("signals", "", json!("9, 15"), json!("1"))]));
    let explanation = both.denied("signal_container_process", &signal(9, false, json!(["/bin/sh"])));
    assert_eq!(differences(&explanation), json!([difference("signals", "", json!(""), json!("9"))]));
    let closest = explanation.closest.unwrap();
    assert_eq!(
        (json!(closest.kind), closest.index, closest.container),
        (json!("exec_process"), Some(1), Some(0))
    );
    let explanation = both.denied("signal_container_process", &signal(15, false, json!(["/bin/other"])));
    assert_eq!(json!(explanation.closest.unwrap().differing), json!(["command"]));

    // The same command twice: the second may be sent more.
    let execs = json!([{"command": ["/bin/sh"], "signals": []}, {"command": ["/bin/sh"], "signals": [9]}]);
    let mut both = Both::running(&[with(container(), &[("/exec_processes", execs)])], "");
    both.allowed("signal_container_process", &signal(9, false, json!(["/bin/sh"])));
}

#[test]
fn layers_are_named_from_the_base() {
    let other = with(container(), &[("/layers", json!(["aa", "cc", "dd"])), ("/name", json!("other"))]);
    let mut both = Both::with(&[other, container()], "");
    let unknown = both.denied("mount_device", &device("/m0", "ee"));
    assert_eq!((unknown.reasons, unknown.layers), (vec!["deviceHash not found".to_owned()], Some(4)));
    let elsewhere = both.denied("mount_device", &device("/etc", "aa"));
    assert_eq!((elsewhere.reasons, elsewhere.layers), (vec!["mountpoint invalid".to_owned()], None));
    both.allowed("mount_device", &device("/m0", "aa"));
    both.denied("mount_device", &device("/m0", "bb"));
    both.allowed("mount_device", &device("/m2", "dd"));

    let explanation = both.denied("mount_overlay", &overlay(&["/m1", "/m0"]));
    assert_eq!(explanation.reasons, ["no matching containers for overlay"]);
    assert_eq!(explanation.closest.as_ref().unwrap().index, Some(1));
    assert_eq!(
        differences(&explanation),
        json!([difference("layers", "layer 1 (/m1)", json!("bb"), json!("not mounted")),])
    );
    let explanation = both.denied("mount_overlay", &overlay(&["/m2", "/m1", "/m0"]));
    assert_eq!(explanation.closest.as_ref().unwrap().name.as_deref(), Some("other"));
    assert_eq!(
        differences(&explanation),
        json!([difference("layers", "layer 1 (/m1)", json!("cc"), json!("not mounted")),])
    );
    let explanation = both.denied("mount_overlay", &overlay(&["/m0"]));
    assert_eq!(
        differences(&explanation),
        json!([
            difference("layers", "layer 1", json!("cc"), Json::Null),
            difference("layers", "layer 2", json!("dd"), Json::Null),
        ])
    );
    both.denied("mount_overlay", &overlay(&[]));
}

#[test]
fn processes_of_the_guest_are_compared_too() {
    let external = |name: &str, working_dir: &str, stdio: bool| {
        json!({"command": ["/bin/probe", name], "working_dir": working_dir, "allow_stdio_access": stdio,
               "env_rules": [{"pattern": format!("A={SECRET}"), "strategy": "string", "required": false}]})
    };
    let listed = |processes: &[Json]| format!("external_processes := {}", json!(processes));
    let ask = |name: &str, working_dir: &str, environment: &[&str]| json!({"argList": ["/bin/probe", name], "workingDir": working_dir, "envList": environment});
    let processes = [external("one", "/", true), external("two", "/srv", true)];
    let mut both = Both::with(&[], &listed(&processes));
    both.allowed("exec_external", &ask("two", "/srv", &["A=hunter2"]));
    let explanation = both.denied("exec_external", &ask("two", "/", &[]));
    assert_eq!(explanation.reasons, ["no external process of the policy meets all conditions at once"]);
    assert_eq!(
        differences(&explanation),
        json!([difference("command", "argument 1", json!("one"), json!("two"))])
    );
    let explanation = both.denied("exec_external", &ask("two", "/srv", &["A=other", "B=1"]));
    assert_eq!(explanation.reasons, ["invalid env list: A,B"]);
    let closest = explanation.closest.unwrap();
    assert_eq!((json!(closest.kind), closest.index), (json!("external_process"), Some(1)));

    let mut both = Both::with(&[], &listed(&[external("one", "/", true), external("one", "/", false)]));
    let explanation = both.denied("exec_external", &ask("one", "/", &[]));
    assert_eq!(explanation.reasons, ["external processes only distinguishable by allow_stdio_access"]);

    let mut both = Both::with(&[], "");
    let explanation = both.denied("exec_external", &ask("one", "/", &["A=1"]));
    assert_eq!(explanation.reasons, ["invalid command", "invalid env list: A", "invalid working directory"]);
    assert_eq!(explanation.closest, None);
    let mut both = Both::with(&[], "allow_environment_variable_dropping := true");
    let explanation = both.denied("exec_external", &ask("one", "/", &["A=1"]));
    assert_eq!(explanation.reasons, ["invalid command", "invalid working directory"]);
}

#[test]
fn questions_without_objects_have_their_reasons() {
    let mut both = Both::mounted(&[container()], "");
    let disk = |target: &str, encrypted: bool, ensure: bool, filesystem: &str| {
        json!({"target": target, "mountPathRegex": "/m[0-9]+", "encrypted": encrypted,
               "ensureFilesystem": ensure, "filesystem": filesystem})
    };
    let share =
        |target: &str| json!({"target": target, "rootPrefix": "/run", "mountPathPrefix": "/mounts/m[0-9]+"});
    let scratch = |encrypted: bool| json!({"target": "/scratch", "encrypted": encrypted});
    both.allowed("rw_mount_device", &disk("/m5", true, true, "xfs"));
    both.allowed("plan9_mount", &share("/run/c1/mounts/m0"));
    both.allowed("scratch_mount", &scratch(true));
    let unmount = json!({"unmountTarget": "/nothing"});
    for (rule, input, reasons) in [
        ("unmount_device", unmount.clone(), 1),
        ("unmount_device", json!({"unmountTarget": "/m5"}), 1),
        ("rw_unmount_device", json!({"unmountTarget": "/m0"}), 1),
        ("mount_blockdev", json!({"target": "/dev/x"}), 1),
        ("unmount_blockdev", unmount.clone(), 1),
        ("unmount_overlay", unmount.clone(), 1),
        ("scratch_mount", scratch(false), 2),
        ("scratch_unmount", unmount.clone(), 1),
        ("rw_mount_device", disk("/m5", false, false, "btrfs"), 4),
        ("rw_mount_device", disk("/etc", true, true, "ext4"), 1),
        ("rw_unmount_device", unmount.clone(), 1),
        ("plan9_mount", share("/run/c1/mounts/m0"), 1),
        ("plan9_mount", share("/run/c2/mounts/m0"), 1),
        ("plan9_unmount", unmount, 1),
        ("get_properties", json!({}), 1),
        ("dump_stacks", json!({}), 1),
        ("runtime_logging", json!({}), 1),
        ("host_network", json!({}), 1),
    ] {
        let explanation = both.denied(rule, &input);
        assert_eq!(explanation.reasons.len(), reasons, "{rule}: {:?}", explanation.reasons);
        assert_eq!(explanation.closest, None);
    }
}

/// All that a denial shows to anyone.
fn shown(denial: &Denial) -> String {
    format!("{denial}\n{denial:?}\n{}", json!(denial))
}

#[test]
fn a_host_learns_names_of_fields_and_no_values() {
    let mut both = Both::mounted(&[container()], "");
    let request = with(create(), &[("/argList/0", json!("/bin/other")), ("/mounts/1/source", json!("/etc"))]);
    let denial = Denial::explained("create_container".into(), both.denied("create_container", &request));
    assert_eq!(
        denial.to_string(),
        "create_container is denied by policy: invalid command; invalid mount list: /data; closest is container 0 \
         `web`, which differs in command, mounts"
    );
    let denial = Denial::explained("mount_device".into(), both.denied("mount_device", &device("/m7", "ee")));
    assert_eq!(
        denial.to_string(),
        "mount_device is denied by policy: deviceHash not found; the policy names 2 layers"
    );
}

#[test]
fn explanations_are_bounded() {
    let long = "é".repeat(30_000);
    let many = |entry: &dyn Fn(usize) -> Json| Json::Array((0..1_000).map(entry).collect());
    let containers = [with(
        container(),
        &[
            ("/name", json!(format!("{long}\n"))),
            ("/id", json!(long)),
            ("/command", many(&|_| json!(long.get(..2_000)))),
            ("/working_dir", json!(long)),
        ],
    )];
    let mut both = Both::mounted(&containers, "");
    let mount = |number: usize| json!({"destination": format!("/{number}"), "source": long.get(..200), "type": "bind", "options": []});
    let request = with(
        create(),
        &[
            ("/argList", many(&|number| json!(format!("{number}\u{1b}[2J")))),
            ("/workingDir", json!(long)),
            ("/envList", many(&|number| json!(format!("N{number}={SECRET}")))),
            ("/mounts", Json::Array((0..400).map(mount).collect())),
            ("/groups", many(&|number| json!({"id": number.to_string(), "name": long.get(..200)}))),
            ("/umask", json!(long)),
            ("/seccompProfileSHA256", json!(long)),
        ],
    );
    let denial = Denial::explained("create_container".into(), both.denied("create_container", &request));
    assert!(denial.to_string().len() <= DENIAL_BYTES_MAX, "{}", denial.to_string().len());
    assert!(json!(denial).to_string().len() < 4 * EXPLANATION_BYTES_MAX);
    let closest = denial.closest.as_ref().unwrap();
    assert_eq!(closest.differences.len(), DIFFERENCES_MAX);
    assert!(closest.differences_left_out > 3_000, "{}", closest.differences_left_out);
    let differences = closest.differences.iter();
    let texts = differences.flat_map(|one| [&one.element, &one.expected, &one.given]).flatten();
    let texts: Vec<&String> = texts.chain(&closest.name).chain(&closest.id).collect();
    assert!(texts.iter().map(|text| text.len()).sum::<usize>() <= EXPLANATION_BYTES_MAX);
    for text in texts {
        assert!(text.len() <= EXPLANATION_TEXT_BYTES_MAX && !text.contains(char::is_control), "{text}");
    }
}

/// A rule about the environment whose value or pattern holds the marker.
fn rule() -> impl Strategy<Value = Json> {
    let name = prop_oneof![Just("A"), Just("TOKEN"), Just("(A|B)"), Just("A.*"), Just("A\\x3d"), Just("")];
    let equals = prop_oneof![Just("="), Just("."), Just("\\x3d"), Just("[<->]"), Just("{1}=?=")];
    (name, equals, 0..4, any::<bool>()).prop_map(|(name, equals, form, required)| match form {
        0 => json!({"pattern": format!("{name}={SECRET}"), "strategy": "string", "required": required}),
        1 => json!({"pattern": format!("{name}{equals}{SECRET}|B=.*"), "strategy": "re2", "required": required}),
        2 => json!({"name": name, "name_strategy": "re2", "value": SECRET, "value_strategy": "string",
                    "required": required}),
        _ => json!({"name": name, "name_strategy": "string", "value": format!(".*{SECRET}.*"),
                    "value_strategy": "re2", "required": required}),
    })
}

fn entry() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just("A"), Just("B"), Just("TOKEN"), Just("OTHER"), Just("")];
    (name, "[a-z=]{0,2}", any::<bool>()).prop_map(|(name, rest, twice)| {
        if twice { format!("{name}={rest}{SECRET}={SECRET}") } else { format!("{name}={SECRET}{rest}") }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Neither what variables hold nor what rules want of them is in any form of a denial.
    #[test]
    fn no_value_of_an_environment_is_ever_shown(
        rules in proptest::collection::vec(proptest::collection::vec(rule(), 0..4), 1..3),
        environment in proptest::collection::vec(entry(), 0..4),
        dropping in any::<bool>(),
    ) {
        let containers: Vec<Json> =
            rules.into_iter().map(|rules| with(container(), &[("/env_rules", json!(rules))])).collect();
        let right = format!("allow_environment_variable_dropping := {dropping}");
        let mut both = Both::mounted(&containers, &right);
        let request = with(create(), &[("/envList", json!(environment)), ("/umask", json!("0777"))]);
        let denial = Denial::explained("create_container".into(), both.denied("create_container", &request));
        prop_assert!(!shown(&denial).contains(SECRET), "{}", shown(&denial));
        prop_assert!(denial.closest.is_some());
    }
}
