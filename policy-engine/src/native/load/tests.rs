use serde_json::json;

use super::*;
use crate::evaluator::defaults;

fn data() -> Map<String, Json> {
    defaults::document().as_object().unwrap().clone()
}

pub(crate) fn container() -> Json {
    json!({
        "command": ["/bin/run"],
        "env_rules": [
            {"pattern": "A=1", "strategy": "string", "required": true},
            {"name": "B", "name_strategy": "string", "value": ".*", "value_strategy": "re2"},
        ],
        "layers": ["aa", "bb"],
        "mounts": [{"destination": "/d", "options": ["ro"], "source": "sandbox://.+", "type": "bind"}],
        "exec_processes": [{"command": ["/bin/sh"], "signals": [2]}],
        "signals": [1],
        "user": {
            "user_idname": {"pattern": "0", "strategy": "id"},
            "group_idnames": [{"pattern": "", "strategy": "any"}],
            "umask": "0027",
        },
        "capabilities": {
            "bounding": ["CAP_KILL", "CAP_CHOWN"], "effective": [], "inheritable": [], "permitted": [], "ambient": [],
        },
        "seccomp_profile_sha256": "ab",
        "allow_elevated": true,
        "working_dir": "/",
        "allow_stdio_access": true,
        "no_new_privileges": true,
    })
}

fn text(framework_version: &str, rest: &str) -> String {
    format!(
        "package policy\napi_version := \"0.12.0\"\nframework_version := \"{framework_version}\"\n{rest}\n"
    )
}

fn load(framework_version: &str, rest: &str) -> Option<Policy> {
    policy(&text(framework_version, rest), &data())
}

fn containers(framework_version: &str, container: &Json) -> Option<Policy> {
    load(framework_version, &format!("containers := [{container}]"))
}

#[test]
fn the_version_is_the_framework_s() {
    assert!(
        include_str!("../../../rego/framework.rego").contains(&format!("\nversion := \"{FRAMEWORK}\"\n"))
    );
}

#[test]
fn containers_are_read_and_written_again() {
    let policy = containers("0.5.0", &container()).unwrap();
    let mut expected = container();
    // Sets of capabilities have no order, and a rule that does not say so is not required.
    expected["capabilities"]["bounding"] = json!(["CAP_CHOWN", "CAP_KILL"]);
    expected["env_rules"][1]["required"] = json!(false);
    assert_eq!(policy.containers[0].to_json(None), expected);
    assert!(policy.index.has_layer("bb") && !policy.index.has_layer("cc"));
    assert_eq!(policy.index.stacked(&["aa".into(), "bb".into()]), [0]);
    assert!(policy.index.stacked(&["bb".into(), "aa".into()]).is_empty());
}

#[test]
fn older_containers_are_upgraded() {
    for (version, signals, elevated, user, capabilities, seccomp) in [
        ("0.1.0", json!([1, 9, 15]), json!(false), "0022", false, ""),
        ("0.2.0", json!([1, 9, 15]), json!(true), "0022", false, ""),
        ("0.2.1", json!([1, 9, 15]), json!(true), "0027", false, ""),
        ("0.2.2", json!([1, 9, 15]), json!(true), "0027", true, ""),
        ("0.2.3", json!([1, 9, 15]), json!(true), "0027", true, "ab"),
        ("0.4.1", json!([1]), json!(true), "0027", true, "ab"),
    ] {
        let policy = containers(version, &container()).unwrap();
        let json = policy.containers[0].to_json(None);
        assert_eq!(json["signals"], signals, "{version}");
        assert_eq!(json["no_new_privileges"], elevated, "{version}");
        assert_eq!(json["user"]["umask"], user, "{version}");
        assert_eq!(json["capabilities"].is_object(), capabilities, "{version}");
        assert_eq!(json["seccomp_profile_sha256"], seccomp, "{version}");
    }
}

#[test]
fn an_incomplete_or_mistyped_container_is_the_interpreter_s() {
    for field in container().as_object().unwrap().keys() {
        let mut other = container();
        other.as_object_mut().unwrap().remove(field);
        assert!(containers("0.5.0", &other).is_none(), "{field}");
        for value in [json!(1), json!({}), json!([1.5]), json!([{}]), json!("x")] {
            let mut other = container();
            if field == "working_dir" || field == "seccomp_profile_sha256" {
                continue;
            }
            other[field] = value;
            assert!(containers("0.5.0", &other).is_none(), "{other}");
        }
    }
    for (pointer, value) in [
        ("/env_rules/0/strategy", json!("re3")),
        ("/env_rules/0/required", json!("true")),
        ("/env_rules/0/name", json!("A")),
        ("/env_rules/1/value_strategy", json!(null)),
        ("/user/user_idname/strategy", json!("")),
        ("/user/group_idnames/0/pattern", json!(null)),
        ("/exec_processes/0/signals", json!(["9"])),
        ("/signals/0", json!(9.5)),
    ] {
        let mut other = container();
        match other.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => other["env_rules"][0]["name"] = value,
        }
        assert!(containers("0.5.0", &other).is_none(), "{pointer}");
    }
    for windows in ["mounted_cim", "registry_changes"] {
        let mut other = container();
        other[windows] = json!([]);
        assert!(containers("0.5.0", &other).is_none(), "{windows}");
    }
}

#[test]
fn versions_are_plain_and_known() {
    for version in ["0.5.0", "0.1.0", "0.4.10"] {
        assert!(load(version, "").is_some(), "{version}");
    }
    for version in
        ["0.5.1", "1.0.0", "v0.5.0", "0.05.0", "0.5", "0.5.0-rc1", "0.5.0+b", "", "0.5.0.0", "9999999999.0.0"]
    {
        assert!(load(version, "").is_none(), "{version}");
    }
    for text in [
        "package policy\napi_version := \"0.12.0\"\n",
        "package policy\nframework_version := \"0.5.0\"\n",
        "package policy\napi_version := \"0.12.0\"\napi_svn := \"0.12.0\"\nframework_version := \"0.5.0\"\n",
        "package policy\napi_version := \"0.13.0\"\nframework_version := \"0.5.0\"\n",
        "package policy\napi_version := 1\nframework_version := \"0.5.0\"\n",
        "package other\napi_version := \"0.12.0\"\nframework_version := \"0.5.0\"\n",
    ] {
        assert!(policy(text, &data()).is_none(), "{text}");
    }
    let old = "package policy\napi_svn := \"0.10.0\"\nframework_svn := \"0.2.3\"\n";
    assert!(policy(old, &data()).is_some());
}

#[test]
fn only_what_the_framework_reads_may_be_there() {
    for rest in [
        "fragments := [1, {}]\ntransparency_trust_lists := []\nallowed_log_providers := [\"a\"]",
        "allow_log_provider_dropping := true\nallow_dump_stacks := false",
        "mount_device := data.framework.mount_device\nlog_provider := data.framework.log_provider",
        "reason := data.framework.reason",
        "reason := {\"errors\": data.framework.errors}",
        "containers := []\nexternal_processes := []\nplatform_rules := []",
    ] {
        assert!(load("0.5.0", rest).is_some(), "{rest}");
    }
    for rest in [
        "x := 1",
        "mount_device := {\"allowed\": true}",
        "mount_device := data.framework.unmount_device",
        "mount_device := data.framework.reason",
        "reason := data.framework.errors",
        "reason := {\"errors\": []}",
        "state := data.framework.state",
        "framework := data.framework.framework",
        "allow_dump_stacks := \"true\"",
        "allow_dump_stacks := data.framework.allow_dump_stacks",
        "containers := {}",
        "containers := null",
        "containers := data.framework.containers",
        "external_processes := [{}]",
        "platform_rules := [1]",
        "platform_rules := {}",
    ] {
        assert!(load("0.5.0", rest).is_none(), "{rest}");
    }
    // What an older framework took no notice of.
    assert!(load("0.4.0", "platform_rules := {}").is_some());
}

#[test]
fn the_data_beside_it_is_read_strictly() {
    let text = text("0.5.0", "");
    assert!(policy(&text, &data()).is_some());
    for name in data().keys().filter(|name| *name != "operatingsystem") {
        for value in [None, Some(json!(1)), Some(json!([1]))] {
            let mut data = data();
            data.remove(name);
            data.extend(value.map(|value| (name.clone(), value)));
            assert!(policy(&text, &data).is_none(), "{name}");
        }
    }
    let mut data = data();
    data.insert("operatingsystem".to_owned(), json!("windows"));
    assert!(policy(&text, &data).is_none());
}

#[test]
fn capabilities_are_dropped_since_there_is_a_flag_for_it() {
    let dropping =
        |version| load(version, "allow_capability_dropping := true").unwrap().rights.capability_dropping;
    assert!(!dropping("0.2.1") && dropping("0.2.2") && dropping("0.5.0"));
}
