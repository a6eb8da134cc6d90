//! Rules of the framework at their edges: what must not be allowed although a part of it fits.

use policy_engine::{Engine, EvaluatorKind, Session};
use serde_json::{Value, json};

use crate::fixture::create_container;
use crate::session::{ISSUER, POLICY, allowed, data, reasons};

fn session_of(policy: &str) -> Session {
    Session::load(policy.as_bytes(), data(), EvaluatorKind::Interpreter).unwrap()
}

fn layer(target: &str) -> Value {
    json!({"target": target, "deviceHash": "aa", "mountPathRegex": "/m[0-9]+"})
}

#[test]
fn a_mount_point_holds_one_device_of_either_kind() {
    let policy = format!("{POLICY}\nunmount_device := data.framework.unmount_device\n");
    let mut session = session_of(&policy);
    let disk = json!({
        "target": "/m1", "encrypted": true, "ensureFilesystem": true, "filesystem": "ext4",
        "mountPathRegex": "/m[0-9]+",
    });
    let unmount = json!({"unmountTarget": "/m1"});
    let saved = session.save();
    assert!(allowed(&mut session, "rw_mount_device", &disk));
    assert!(!allowed(&mut session, "mount_device", &layer("/m1")));
    assert_eq!(
        reasons(&mut session, "mount_device", layer("/m1")),
        json!(["device already mounted at path"])
    );
    assert!(!allowed(&mut session, "unmount_device", &unmount));
    assert_eq!(
        reasons(&mut session, "unmount_device", unmount.clone()),
        json!(["received read-only unmount request, but device provided is read-write"])
    );
    session.restore(&saved);
    assert!(allowed(&mut session, "mount_device", &layer("/m1")));
    assert!(!allowed(&mut session, "rw_mount_device", &disk));
    assert_eq!(reasons(&mut session, "rw_mount_device", disk), json!(["device already mounted at path"]));
    assert!(!allowed(&mut session, "rw_unmount_device", &unmount));
    assert_eq!(
        reasons(&mut session, "rw_unmount_device", unmount),
        json!(["received read-write unmount request, but device provided is read-only"])
    );
}

fn create(capabilities: &[&str]) -> Value {
    json!({
        "containerID": "web", "argList": ["/bin/web"], "envList": ["MODE=fast"], "workingDir": "/",
        "sandboxDir": "/sandbox", "hugePagesDir": "/huge", "mounts": [], "devices": [], "privileged": false,
        "noNewPrivileges": false, "user": {"id": "1", "name": "www"}, "groups": [], "umask": "0027",
        "seccompProfileSHA256": "", "isSandboxContainer": false,
        "capabilities": {
            "bounding": capabilities, "effective": ["CAP_CHOWN"], "inheritable": [], "permitted": ["CAP_CHOWN"],
            "ambient": [],
        },
    })
}

fn with_overlay(policy: &str) -> Session {
    let mut session = session_of(policy);
    assert!(allowed(&mut session, "mount_device", &layer("/m1")));
    let overlay = json!({"containerID": "web", "layerPaths": ["/m1"], "target": "/rootfs"});
    assert!(allowed(&mut session, "mount_overlay", &overlay));
    session
}

#[test]
fn capabilities_are_dropped_since_framework_0_2_2() {
    let policy = format!("{POLICY}\nallow_capability_dropping := true\n");
    let more = create(&["CAP_CHOWN", "CAP_SYS_ADMIN"]);
    assert!(allowed(&mut with_overlay(&policy), "create_container", &more));
    assert!(!allowed(&mut with_overlay(POLICY), "create_container", &more));
    // The older framework upgrades the user's rules as well: umask 0022 and any user.
    let mut more = more;
    more["umask"] = json!("0022");
    let old = policy
        .replace("framework_version := \"0.5.0\"", "framework_version := \"0.2.0\"")
        .replace("\"name\": \"MODE\", \"name_strategy\": \"string\", \"value\": \"fast|slow\", \"value_strategy\": \"re2\"",
            "\"pattern\": \"MODE=fast\", \"strategy\": \"string\"");
    assert!(!allowed(&mut with_overlay(&old), "create_container", &more));
    let mut exact = create(&["CAP_CHOWN"]);
    exact["umask"] = json!("0022");
    assert!(allowed(&mut with_overlay(&old), "create_container", &exact));
}

#[test]
fn every_candidate_must_say_the_same_of_stdio() {
    let (before, rest) = POLICY.split_once("containers := [").unwrap();
    let (first, after) = rest.split_once("\n]\n").unwrap();
    let stdio = "\"allow_stdio_access\": false,";
    for (other, expected) in [(stdio, true), ("\"allow_stdio_access\": true,", false), ("", false)] {
        let policy = format!("{before}containers := [{first}{}\n]\n{after}", first.replace(stdio, other));
        let mut session = with_overlay(&policy);
        assert_eq!(allowed(&mut session, "create_container", &create(&["CAP_CHOWN"])), expected, "{other}");
    }
    let silent = POLICY.replace(stdio, "");
    assert!(!allowed(&mut with_overlay(&silent), "create_container", &create(&["CAP_CHOWN"])));
}

#[test]
fn a_root_without_layers_is_no_root() {
    let policy = POLICY.replace("\"layers\": [\"aa\"]", "\"layers\": []");
    let overlay = json!({"containerID": "web", "layerPaths": [], "target": "/rootfs"});
    assert!(!allowed(&mut session_of(&policy), "mount_overlay", &overlay));
}

#[test]
fn an_id_that_was_shut_down_gets_a_root_but_no_container() {
    let policy = format!(
        "{POLICY}\nshutdown_container := data.framework.shutdown_container\n\
         unmount_overlay := data.framework.unmount_overlay\n"
    );
    let mut session = with_overlay(&policy);
    assert!(allowed(&mut session, "create_container", &create(&["CAP_CHOWN"])));
    assert!(allowed(&mut session, "shutdown_container", &json!({"containerID": "web"})));
    assert!(allowed(&mut session, "unmount_overlay", &json!({"unmountTarget": "/rootfs"})));
    let overlay = json!({"containerID": "web", "layerPaths": ["/m1"], "target": "/rootfs"});
    assert!(allowed(&mut session, "mount_overlay", &overlay));
    assert!(!allowed(&mut session, "create_container", &create(&["CAP_CHOWN"])));
}

#[test]
fn mounts_that_the_guest_adds_are_known_to_every_container() {
    let mut session = with_overlay(POLICY);
    let hosts = json!({"destination": "/etc/hosts", "options": ["rbind"], "source": "/run/gcs/c/hosts", "type": "bind"});
    let mut request = create(&["CAP_CHOWN"]);
    request["mounts"] = json!([hosts]);
    assert!(!allowed(&mut session, "create_container", &request));
    session.set_data("defaultMounts", json!([hosts])).unwrap();
    // Another source, twice an option, no destination.
    for (field, value) in [
        ("source", json!("/run/gcs/c/shadow")),
        ("options", json!(["rbind", "rbind"])),
        ("destination", json!("")),
    ] {
        let mut bad = request.clone();
        bad["mounts"][0][field] = value;
        assert!(!allowed(&mut session, "create_container", &bad), "{field}");
    }
    assert!(allowed(&mut session, "create_container", &request));
}

#[test]
fn a_mount_without_a_destination_is_refused() {
    let policy = POLICY.replace("\"destination\": \"/data\"", "\"destination\": \"\"");
    let mut request = create(&["CAP_CHOWN"]);
    request["mounts"] = json!([{"destination": "", "options": ["ro"], "source": "plan9://", "type": "bind"}]);
    assert!(!allowed(&mut with_overlay(&policy), "create_container", &request));
}

#[test]
fn an_exec_is_as_privileged_as_its_container() {
    let policy = format!(
        "{}\nexec_in_container := data.framework.exec_in_container\n",
        POLICY.replace(
            "\"exec_processes\": []",
            "\"exec_processes\": [{\"command\": [\"ls\"], \"signals\": []}]"
        )
    );
    let wide = json!(["CAP_CHOWN", "CAP_SYS_ADMIN"]);
    let sets =
        json!({"bounding": wide, "effective": wide, "inheritable": wide, "permitted": wide, "ambient": []});
    for privileged in [true, false] {
        let mut session = with_overlay(&policy);
        let mut request = create(&["CAP_CHOWN"]);
        if privileged {
            request["privileged"] = json!(true);
            request["capabilities"] = sets.clone();
        }
        assert!(allowed(&mut session, "create_container", &request));
        let mut exec = create(&["CAP_CHOWN"]);
        exec["argList"] = json!(["ls"]);
        assert_eq!(allowed(&mut session, "exec_in_container", &exec), !privileged);
        exec["capabilities"] = sets.clone();
        // What the request says of itself does not count.
        exec["privileged"] = json!(true);
        assert_eq!(allowed(&mut session, "exec_in_container", &exec), privileged);
    }
}

#[test]
fn an_older_policy_without_external_processes_takes_none_from_fragments() {
    for (version, expected) in [("0.5.0", true), ("0.4.0", false)] {
        let policy = POLICY
            .replace("framework_version := \"0.5.0\"", &format!("framework_version := \"{version}\""))
            .replace("external_processes := [{", "formerly_external_processes := [{")
            .replace("\"includes\": [\"containers\"]", "\"includes\": [\"external_processes\"]");
        let mut session = session_of(&policy);
        let text = "package sidecar\nframework_version := \"0.5.0\"\nsvn := 2\nexternal_processes := \
            [{\"command\": [\"/probe\"], \"env_rules\": [], \"working_dir\": \"/\", \"allow_stdio_access\": false}]\n";
        assert!(load(&mut session, text, 2));
        let probe = json!({"argList": ["/probe"], "envList": [], "workingDir": "/"});
        assert_eq!(allowed(&mut session, "exec_external", &probe), expected, "{version}");
    }
}

/// Asks both questions of the sidecar fragment.
fn load(session: &mut Session, text: &str, svn: i64) -> bool {
    let mut request = json!({
        "issuer": ISSUER, "feed": "example/sidecar", "namespace": "sidecar", "fragment_loaded": false,
        "has_header_svn": true, "header_svn": svn, "receipts": [],
    });
    if !allowed(session, "load_fragment", &request) {
        return false;
    }
    session.add_fragment("sidecar", text, &json!({})).unwrap();
    request["fragment_loaded"] = json!(true);
    let answer = allowed(session, "load_fragment", &request);
    session.remove_fragment(0).unwrap();
    answer
}

#[test]
fn a_fragment_states_a_framework_that_is_known() {
    for (version, expected) in [
        ("framework_version := \"0.5.0\"", true),
        ("framework_svn := \"0.5.0\"", true),
        ("framework_version := \"0.2.0\"", true),
        ("framework_version := \"0.5.1\"", false),
        ("framework_version := 5", false),
        ("", false),
    ] {
        let text = format!("package sidecar\n{version}\nsvn := 2\ncontainers := []\n");
        assert_eq!(load(&mut session_of(POLICY), &text, 2), expected, "{version}");
    }
}

#[test]
fn versions_of_fragments_compare_by_type() {
    for (minimum, header, text, expected) in [
        ("2", json!(2), None, true),
        ("2", json!(1), None, false),
        ("\"2\"", json!(2), None, true),
        ("\"02\"", json!(2), Some("\"2\""), true),
        ("2", json!(3), Some("2"), false),
        ("2", Value::Null, Some("\"10\""), true),
        ("2", Value::Null, Some("\"1\""), false),
        ("2", Value::Null, None, false),
        ("\"1.2.0\"", Value::Null, Some("\"1.10.0\""), true),
        ("\"1.2.0\"", Value::Null, Some("\"1.1.9\""), false),
        // A number is no semantic version, nor the reverse.
        ("\"1.2.0\"", json!(9), None, false),
        ("2", Value::Null, Some("\"9.0.0\""), false),
        ("\"1.2.0\"", Value::Null, Some("9"), false),
        ("2", Value::Null, Some("\"a\""), false),
    ] {
        let policy = POLICY.replace("\"minimum_svn\": 2", &format!("\"minimum_svn\": {minimum}"));
        let mut session = session_of(&policy);
        let svn = text.map(|svn| format!("svn := {svn}\n")).unwrap_or_default();
        let text = format!("package sidecar\nframework_version := \"0.5.0\"\n{svn}");
        session.add_fragment("sidecar", &text, &json!({})).unwrap();
        let request = json!({
            "issuer": ISSUER, "feed": "example/sidecar", "namespace": "sidecar", "fragment_loaded": true,
            "has_header_svn": !header.is_null(), "header_svn": header, "receipts": [],
        });
        let answer = allowed(&mut session, "load_fragment", &request);
        assert_eq!(answer, expected, "minimum {minimum}, header {header}, {svn}");
    }
}

fn fragments(entries: &Value) -> Session {
    let (before, rest) = POLICY.split_once("fragments := [").unwrap();
    let (_, after) = rest.split_once("\n]\n").unwrap();
    session_of(&format!("{before}fragments := {entries}\n{after}"))
}

fn entry(includes: &Value, parameters: &Value) -> Value {
    json!({
        "issuer": ISSUER, "feed": "example/sidecar", "minimum_svn": 1, "includes": includes,
        "parameters": parameters,
    })
}

#[test]
fn entries_that_include_different_things_are_a_conflict() {
    let text = "package sidecar\nframework_version := \"0.5.0\"\nsvn := 2\ncontainers := []\n";
    let (some, more) = (json!(["containers"]), json!(["containers", "namespace"]));
    let none = json!({});
    assert!(load(&mut fragments(&json!([entry(&some, &none), entry(&some, &none)])), text, 2));
    let mut conflict = fragments(&json!([entry(&some, &none), entry(&more, &none)]));
    conflict.add_fragment("sidecar", text, &none).unwrap();
    let request = json!({
        "issuer": ISSUER, "feed": "example/sidecar", "namespace": "sidecar", "fragment_loaded": true,
        "has_header_svn": true, "header_svn": 2, "receipts": [],
    });
    assert!(conflict.query("data.policy.load_fragment", &request).is_err());
}

#[test]
fn each_entry_is_a_variant_of_the_fragment() {
    let includes = json!(["containers"]);
    let same = json!({"flag": "-q"});
    let mut session = fragments(&json!([entry(&includes, &same), entry(&includes, &same)]));
    let request = json!({
        "issuer": ISSUER, "feed": "example/sidecar", "namespace": "sidecar", "fragment_loaded": false,
        "has_header_svn": true, "header_svn": 2, "receipts": [],
    });
    let answer = session.query("data.policy.load_fragment", &request).unwrap();
    assert_eq!(answer["parameters"], json!([same, same]));
}

#[test]
fn an_older_fragment_passes_only_the_parameters_that_it_states() {
    let mut session = fragments(&json!([
        entry(&json!(["fragments"]), &json!({})),
        {
            "issuer": ISSUER, "feed": "example/inner", "minimum_svn": 1, "includes": ["containers"],
            "parameters": {"flag": "-q"},
        },
    ]));
    let inner = |parameters: &str| {
        format!(
            "{{\"issuer\": \"{ISSUER}\", \"feed\": \"example/inner\", \"minimum_svn\": 1, \"includes\": []{parameters}}}"
        )
    };
    let text = |inner: &str| {
        format!("package sidecar\nframework_version := \"0.4.0\"\nsvn := 2\nfragments := [{inner}]\n")
    };
    let request = json!({
        "issuer": ISSUER, "feed": "example/inner", "namespace": "inner", "fragment_loaded": false,
        "has_header_svn": true, "header_svn": 2, "receipts": [],
    });
    assert!(load(&mut session, &text(&inner("")), 2));
    let answer = session.query("data.policy.load_fragment", &request).unwrap();
    assert_eq!(answer["parameters"], json!([{"flag": "-q"}]));
    assert!(load(&mut session, &text(&inner(", \"parameters\": {\"flag\": \"-v\"}")), 2));
    let answer = session.query("data.policy.load_fragment", &request).unwrap();
    assert_eq!(answer["parameters"], json!([{"flag": "-v"}, {"flag": "-q"}]));
}

#[test]
fn no_ledger_poses_as_a_trust_list() {
    let mut session = session_of(POLICY);
    let request = |receipts: Value| {
        json!({
            "issuer": ISSUER, "feed": "example/recorded", "namespace": "recorded", "fragment_loaded": false,
            "has_header_svn": true, "header_svn": 1, "receipts": receipts,
        })
    };
    let posing = request(json!([{"issuer": "TTL:ledgers", "ttl_subjects": []}]));
    assert!(!allowed(&mut session, "load_fragment", &posing));
    let right = request(json!([{"issuer": "ledger", "ttl_subjects": ["ledgers"]}]));
    assert!(allowed(&mut session, "load_fragment", &right));
}

#[test]
fn receipts_count_before_the_fragment_is_read_and_not_after() {
    let mut session = session_of(POLICY);
    let text = "package recorded\nframework_version := \"0.5.0\"\nsvn := 1\ncontainers := []\n";
    let mut request = json!({
        "issuer": ISSUER, "feed": "example/recorded", "namespace": "recorded", "fragment_loaded": false,
        "has_header_svn": true, "header_svn": 1, "receipts": [],
    });
    assert!(!allowed(&mut session, "load_fragment", &request));
    session.add_fragment("recorded", text, &json!({})).unwrap();
    request["fragment_loaded"] = json!(true);
    assert!(allowed(&mut session, "load_fragment", &request));
}

#[test]
fn platform_rules_are_alternatives_for_every_container() {
    let rules = "platform_rules := [\
        {\"env_rules\": [{\"pattern\": \"A=1\", \"strategy\": \"string\", \"required\": true}]},\
        {\"env_rules\": [{\"pattern\": \"B=1\", \"strategy\": \"string\", \"required\": false}], \"mounts\": []}]\n";
    let policy = format!("{POLICY}\n{rules}");
    for (environment, expected) in [
        (json!(["MODE=fast", "A=1"]), true),
        (json!(["MODE=fast", "B=1"]), true),
        (json!(["MODE=fast"]), true),
        (json!(["A=1"]), false),
        (json!(["MODE=fast", "A=1", "B=1"]), false),
    ] {
        let mut request = create(&["CAP_CHOWN"]);
        request["envList"] = environment.clone();
        let mut session = with_overlay(&policy);
        assert_eq!(allowed(&mut session, "create_container", &request), expected, "{environment}");
    }
    // The older framework did not know them: the name may mean anything there.
    let old = policy.replace("framework_version := \"0.5.0\"", "framework_version := \"0.4.1\"");
    let mut request = create(&["CAP_CHOWN"]);
    request["envList"] = json!(["MODE=fast", "A=1"]);
    assert!(!allowed(&mut with_overlay(&old), "create_container", &request));
}

#[test]
fn platform_rules_of_a_fragment_reach_the_policys_containers() {
    let policy = POLICY.replace("\"includes\": [\"containers\"]", "\"includes\": [\"platform_rules\"]");
    let text = "package sidecar\nframework_version := \"0.5.0\"\nsvn := 2\n\
        platform_rules := [{\"env_rules\": [{\"pattern\": \"A=1\", \"strategy\": \"string\", \"required\": false}]}]\n";
    let mut request = create(&["CAP_CHOWN"]);
    request["envList"] = json!(["MODE=fast", "A=1"]);
    assert!(!allowed(&mut with_overlay(&policy), "create_container", &request));
    let mut session = session_of(&policy);
    assert!(load(&mut session, text, 2));
    assert!(allowed(&mut session, "mount_device", &layer("/m1")));
    let overlay = json!({"containerID": "web", "layerPaths": ["/m1"], "target": "/rootfs"});
    assert!(allowed(&mut session, "mount_overlay", &overlay));
    assert!(allowed(&mut session, "create_container", &request));
}

#[test]
fn a_right_is_granted_by_true_alone() {
    for value in ["false", "\"yes\"", "1", "null", "[]"] {
        let policy = POLICY.replace("allow_dump_stacks := true", &format!("allow_dump_stacks := {value}"));
        assert!(!allowed(&mut session_of(&policy), "dump_stacks", &json!({})), "{value}");
    }
}

#[test]
fn a_policy_without_a_version_has_no_api() {
    let policy = POLICY.replace("api_version := \"0.12.0\"", "");
    for name in ["mount_device", "no_such_point"] {
        let info = session_of(&policy)
            .query("data.framework.enforcement_point_info", &json!({"name": name, "rule": name}))
            .unwrap();
        assert_eq!(info["version_missing"], json!(true), "{name}");
        assert_eq!(info["available"], json!(false), "{name}");
    }
    let info = session_of(POLICY)
        .query("data.framework.enforcement_point_info", &json!({"name": "no_such_point", "rule": ""}))
        .unwrap();
    assert_eq!(info["unknown"], json!(true));
}

#[test]
fn the_sandbox_directory_is_no_pattern() {
    let policy = POLICY.replace("\"source\": \"plan9://\"", "\"source\": \"sandbox:///tmp/a|b\"");
    let mut session = with_overlay(&policy);
    let saved = session.save();
    for (source, expected) in [
        ("/sand.box/tmp/a", true),
        ("/sandXbox/tmp/a", false),
        ("/sand.box/tmp/a/../../etc", false),
        ("/etc/b", false),
        ("b", false),
    ] {
        let mut request = create(&["CAP_CHOWN"]);
        request["sandboxDir"] = json!("/sand.box");
        request["mounts"] =
            json!([{"destination": "/data", "options": ["ro"], "source": source, "type": "bind"}]);
        assert_eq!(allowed(&mut session, "create_container", &request), expected, "{source}");
        session.restore(&saved);
    }
}

#[test]
fn what_is_kept_keeps_its_order() {
    let policy = "package policy\napi_version := \"0.10.0\"\ncreate_container := {\"allowed\": true, \
        \"env_list\": [\"B=1\", \"A=1\"]}\n";
    let engine = Engine::load(policy.as_bytes()).unwrap();
    let mut request = create_container("web");
    request.process.env = ["A=1", "C=1", "B=1", "A=1"].map(str::to_owned).into();
    let permit = engine.decide(request).unwrap();
    assert_eq!(permit.request().process.env, ["A=1", "B=1", "A=1"]);
    permit.untouched();
}
