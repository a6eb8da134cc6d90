use serde_json::{Value as Json, json};

use super::*;

const ALIASES: &str = "mount_device := data.framework.mount_device\n\
    mount_overlay := data.framework.mount_overlay\n\
    create_container := data.framework.create_container\n\
    load_fragment := data.framework.load_fragment\n";

fn policy(rules: &str) -> String {
    format!("package policy\napi_version := \"0.12.0\"\nframework_version := \"0.5.0\"\n{ALIASES}{rules}\n")
}

fn container(command: &str, env_pattern: &str) -> Json {
    json!({
        "command": [command], "env_rules": [{"pattern": env_pattern, "strategy": "re2", "required": false}],
        "layers": ["aa"], "mounts": [], "exec_processes": [], "signals": [],
        "user": {
            "user_idname": {"pattern": "", "strategy": "any"},
            "group_idnames": [{"pattern": "", "strategy": "any"}],
            "umask": "0022",
        },
        "capabilities": null, "seccomp_profile_sha256": "", "allow_elevated": false, "working_dir": "/",
        "allow_stdio_access": true, "no_new_privileges": false,
    })
}

fn query(rule: &str, input: &Json, result: &Json) -> Json {
    json!({"op": "query", "rule": format!("data.policy.{rule}"), "input": input, "result": result})
}

fn mount(target: &str, hash: &str, allowed: bool) -> Json {
    let input = json!({"target": target, "deviceHash": hash, "mountPathRegex": "/m[0-9]+"});
    query("mount_device", &input, &json!({ "allowed": allowed }))
}

/// Creates container `c` of the layer `aa` with one environment variable.
fn creation(env: &str, allowed: bool) -> [Json; 3] {
    let overlay = json!({"containerID": "c", "layerPaths": ["/m0"], "target": "/c"});
    let names = json!(["CAP_CHOWN"]);
    let input = json!({
        "containerID": "c", "argList": ["/bin/a"], "envList": [env], "workingDir": "/", "sandboxDir": "/s",
        "hugePagesDir": "/h", "mounts": [], "devices": [], "privileged": false, "noNewPrivileges": false,
        "user": {"id": "0", "name": ""}, "groups": [], "umask": "0022", "seccompProfileSHA256": "",
        "isSandboxContainer": false,
        "capabilities": {
            "bounding": names, "effective": names, "inheritable": [], "permitted": names, "ambient": [],
        },
    });
    [
        mount("/m0", "aa", true),
        query("mount_overlay", &overlay, &json!({"allowed": true})),
        query(
            "create_container",
            &input,
            &json!({"allowed": allowed, "env_list": [env], "allow_stdio_access": true}),
        ),
    ]
}

fn session(policy: &str, steps: &[Json]) -> RecordedSession {
    let names = ["CAP_CHOWN"];
    let data = json!({
        "defaultMounts": [], "privilegedMounts": [], "sandboxPrefix": "sandbox://",
        "hugePagesPrefix": "hugepages://", "plan9Prefix": "plan9://", "metadata": {},
        "defaultPrivilegedCapabilities": names, "defaultUnprivilegedCapabilities": names,
    });
    let text = json!({"id": "s", "policy": policy, "os": "linux", "data": data, "steps": steps}).to_string();
    RecordedSession::parse(text.as_bytes()).unwrap()
}

fn report(session: &RecordedSession) -> Report {
    let mut replay = Replay::new(Comparison::Decisions, EvaluatorKind::Interpreter);
    replay.play(session).unwrap();
    replay.report().clone()
}

/// (agree, differ, depend on half-anchored patterns)
fn counts(session: &RecordedSession) -> (u64, u64, u64) {
    let report = report(session);
    assert_eq!(report.queries, [report.agree, report.differ, report.half_anchored].iter().sum::<u64>());
    (report.agree, report.differ, report.half_anchored)
}

fn one_container(env_pattern: &str) -> String {
    policy(&format!("containers := [{}]", container("/bin/a", env_pattern)))
}

#[test]
fn agreement_and_differences_are_counted() {
    let steps = [mount("/m0", "aa", true), mount("/m0", "aa", false), mount("/m1", "bb", true)];
    let report = report(&session(&one_container("A=1"), &steps));
    assert_eq!((report.sessions, report.queries, report.agree, report.differ), (1, 3, 2, 1));
    let difference = &report.differences[0];
    assert_eq!((difference.step, difference.field), (2, "allowed"));
    assert_eq!((difference.recorded.as_str(), difference.given.as_str()), ("true", "false"));
    assert!(difference.to_string().starts_with("session s, step 2: data.policy.mount_device, allowed\n"));
}

#[test]
fn only_some_differences_are_kept() {
    let steps: Vec<Json> = (0..30).map(|_| mount("/m0", "bb", true)).collect();
    let report = report(&session(&one_container("A=1"), &steps));
    assert_eq!((report.differ, report.differences.len()), (30, DIFFERENCES_MAX));
}

#[test]
fn saved_states_come_back() {
    let steps = [
        json!({"op": "save_metadata"}),
        mount("/m0", "aa", true),
        json!({"op": "restore_metadata"}),
        mount("/m0", "aa", true),
    ];
    assert_eq!(counts(&session(&one_container("A=1"), &steps)), (2, 0, 0));
}

#[test]
fn decisions_that_need_half_anchors_are_listed_apart() {
    // `^A=1|B=.*$` matches what begins with `A=1`.
    let policy = one_container("A=1|B=.*");
    assert_eq!(counts(&session(&policy, &creation("A=1", true))), (3, 0, 0));
    assert_eq!(counts(&session(&policy, &creation("A=12", true))), (2, 0, 1));
    // Neither reading allows this one, so it is a difference.
    assert_eq!(counts(&session(&policy, &creation("C=3", true))), (2, 1, 0));
    // And what both readings allow is none that depends on them.
    assert_eq!(counts(&session(&policy, &creation("B=3", false))), (2, 1, 0));
}

#[test]
fn mount_sources_are_read_with_half_anchors_too() {
    let mut object = container("/bin/a", "A=1");
    object["mounts"] = json!([{
        "source": "sandbox:///x|/y", "destination": "/d", "options": ["ro"], "type": "bind",
    }]);
    let policy = policy(&format!("containers := [{object}]"));
    for (source, expected) in [("/s/x", (3, 0, 0)), ("/s/x/z", (2, 0, 1)), ("/elsewhere", (2, 1, 0))] {
        let mut steps = creation("A=1", true);
        steps[2]["input"]["mounts"] =
            json!([{"source": source, "destination": "/d", "options": ["ro"], "type": "bind"}]);
        assert_eq!(counts(&session(&policy, &steps)), expected, "{source}");
    }
}

fn fragment(namespace: &str, command: &str) -> [Json; 2] {
    let load = json!({
        "issuer": "i", "feed": namespace, "namespace": namespace, "fragment_loaded": false,
        "has_header_svn": false, "header_svn": null, "receipts": [],
    });
    let object = container(command, "A=1");
    let code = format!(
        "package {namespace}\nsvn := \"1\"\nframework_version := \"0.5.0\"\ncontainers := [{object}]\n"
    );
    [
        query("load_fragment", &load, &json!({"allowed": true, "parameters": [{}]})),
        json!({"op": "add_module", "namespace": namespace, "code": code, "parameters": {}}),
    ]
}

fn containers_of(namespace: &str, defined: bool) -> Json {
    let result = if defined { json!("1") } else { Json::Null };
    json!({"op": "query", "rule": format!("data.{namespace}.svn"), "input": {}, "result": result})
}

fn fragment_policy() -> String {
    let entry = |feed: &str| json!({"issuer": "i", "feed": feed, "minimum_svn": 1, "includes": ["containers"], "parameters": {}});
    policy(&format!("fragments := [{}, {}]", entry("first"), entry("second")))
}

#[test]
fn the_named_fragment_is_removed() {
    for (module, first_stays) in [("i>first", false), ("i>second", true), ("second", true)] {
        let mut steps = Vec::new();
        steps.extend(fragment("first", "/bin/a"));
        steps.extend(fragment("second", "/bin/b"));
        steps.push(json!({"op": "remove_module", "module": module}));
        steps.extend([containers_of("first", first_stays), containers_of("second", !first_stays)]);
        let mut replay = Replay::new(Comparison::Strict, EvaluatorKind::Interpreter);
        replay.play(&session(&fragment_policy(), &steps)).unwrap();
        assert_eq!((replay.report().queries, replay.report().differ), (4, 0), "{module}");
        let (first, second) = (containers_of("first", !first_stays), containers_of("second", first_stays));
        let count = steps.len();
        (steps[count - 2], steps[count - 1]) = (first, second);
        let mut replay = Replay::new(Comparison::Strict, EvaluatorKind::Interpreter);
        replay.play(&session(&fragment_policy(), &steps)).unwrap();
        assert_eq!(replay.report().differ, 2, "{module}");
    }
}

#[test]
fn a_refused_fragment_leaves_questions_without_an_answer() {
    let mut steps = Vec::from(fragment("first", "/bin/a"));
    steps[1]["code"] = json!("package framework\nmount_device := {\"allowed\": true}\n");
    steps.extend([mount("/m0", "aa", false), json!({"op": "remove_module", "module": "i>first"})]);
    let policy = format!("{}\ncontainers := [{}]", fragment_policy(), container("/bin/a", "A=1"));
    steps.push(mount("/m0", "aa", true));
    assert_eq!(counts(&session(&policy, &steps)), (3, 0, 0));
}

#[test]
fn a_refused_policy_denies() {
    let steps = [mount("/m0", "aa", false), mount("/m0", "aa", true)];
    let report = report(&session("package policy\nallowed := {", &steps));
    assert_eq!((report.agree, report.differ), (1, 1));
    assert!(report.differences[0].given.starts_with("failed: the policy"), "{:?}", report.differences);
}

#[test]
fn an_error_of_the_recorded_engine_is_a_denial() {
    let mut denied = mount("/m0", "bb", true);
    denied["error"] = json!("eval_conflict_error");
    denied["result"] = Json::Null;
    let mut allowed = mount("/m0", "aa", true);
    allowed["error"] = json!("eval_conflict_error");
    assert_eq!(counts(&session(&one_container("A=1"), &[denied, allowed])), (1, 1, 0));
}

#[test]
fn impossible_steps_are_errors_that_name_their_place() {
    for (step, expected) in [
        (json!({"op": "restore_metadata"}), "no state was saved"),
        (json!({"op": "remove_module", "module": "i>f"}), "there is no fragment `i>f` to remove"),
    ] {
        let session = session(&one_container("A=1"), &[mount("/m0", "aa", true), step]);
        let error =
            Replay::new(Comparison::Decisions, EvaluatorKind::Interpreter).play(&session).unwrap_err();
        assert_eq!(error.to_string(), "session s, step 1");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), expected);
    }
}
