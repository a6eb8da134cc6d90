//! What only Windows guests are asked: this agent serves none, but their policies can be tested.

use policy_engine::{EvaluatorKind, Session};
use serde_json::{Value, json};

use crate::session::{allowed, data, reasons};

const POLICY: &str = include_str!("../policies/windows.rego");

fn session_of(policy: &str) -> Session {
    let mut data = data();
    data.insert("operatingsystem".to_owned(), json!("windows"));
    Session::load(policy.as_bytes(), data, EvaluatorKind::Interpreter).unwrap()
}

fn session() -> Session {
    session_of(POLICY)
}

fn cims(container: &str, layers: Value, merged: Value) -> Value {
    json!({"containerID": container, "layerHashes": layers, "mountedCim": merged})
}

fn with_cims() -> Session {
    let mut session = session();
    assert!(allowed(&mut session, "mount_cims", &cims("web", json!(["top", "base"]), json!(["merged"]))));
    session
}

fn process(args: Value) -> Value {
    json!({
        "containerID": "web", "argList": args, "envList": ["MODE=fast"], "workingDir": "C:\\",
        "user": "ContainerUser",
    })
}

fn changed(mut request: Value, field: &str, value: Value) -> Value {
    request[field] = value;
    request
}

#[test]
fn images_are_mounted_by_the_hashes_of_the_policy() {
    let mut session = session();
    for bad in [
        cims("web", json!(["base", "top"]), json!(["merged"])),
        cims("web", json!(["top"]), json!(["merged"])),
        cims("web", json!([]), json!(["merged"])),
        cims("web", json!(["top", "base"]), json!(["other"])),
        cims("web", json!(["top", "base"]), json!([])),
        json!({"containerID": "web", "layerHashes": ["top", "base"]}),
    ] {
        assert!(!allowed(&mut session, "mount_cims", &bad), "{bad}");
        assert_eq!(reasons(&mut session, "mount_cims", bad), json!(["no matching containers for image"]));
    }
    let good = cims("web", json!(["top", "base"]), json!(["merged"]));
    assert!(allowed(&mut session, "mount_cims", &good));
    assert!(!allowed(&mut session, "mount_cims", &good));
    assert_eq!(reasons(&mut session, "mount_cims", good), json!(["image already mounted for container"]));
}

#[test]
fn containers_have_a_user_and_no_linux_rights() {
    let mut session = with_cims();
    let serve = process(json!(["cmd.exe", "/c", "serve"]));
    for (field, value, reason) in [
        ("argList", json!(["cmd.exe"]), "invalid command"),
        ("workingDir", json!("D:\\"), "invalid working directory"),
        ("user", json!("NT AUTHORITY\\SYSTEM"), "invalid user"),
        ("user", json!({"id": "", "name": "ContainerUser"}), "invalid user"),
        ("envList", json!(["MODE=fast", "A=secret"]), "invalid env list: A"),
        // The right environment of another container.
        ("envList", json!([]), "no container of the policy meets all conditions at once"),
        ("containerID", json!("other"), "no overlay mounted for container"),
    ] {
        let bad = changed(serve.clone(), field, value);
        assert!(!allowed(&mut session, "create_container", &bad), "{bad}");
        assert_eq!(reasons(&mut session, "create_container", bad), json!([reason]));
    }
    let answer = session.query("data.policy.create_container", &serve).unwrap();
    assert_eq!(answer["allowed"], json!(true));
    assert_eq!(answer["env_list"], json!(["MODE=fast"]));
    assert_eq!(answer["allow_stdio_access"], json!(true));
    assert!(answer.get("caps_list").is_none());
    assert!(!allowed(&mut session, "create_container", &serve));

    let dir = process(json!(["cmd.exe", "/c", "dir"]));
    assert!(allowed(&mut session, "exec_in_container", &dir));
    for (field, value, reason) in [
        ("argList", json!(["cmd.exe", "/c", "del"]), "invalid command"),
        ("user", json!("ContainerAdministrator"), "invalid user"),
        ("workingDir", json!("D:\\"), "invalid working directory"),
        ("envList", json!(["MODE=slow"]), "invalid env list: MODE"),
    ] {
        let bad = changed(dir.clone(), field, value);
        assert!(!allowed(&mut session, "exec_in_container", &bad), "{bad}");
        let given = reasons(&mut session, "exec_in_container", bad);
        assert!(given.as_array().unwrap().contains(&json!(reason)), "{given}");
    }
    let signal = |number: i64, init: bool, args: Value| json!({"containerID": "web", "signal": number, "isInitProcess": init, "argList": args});
    assert!(allowed(&mut session, "signal_container_process", &signal(0, true, json!([]))));
    assert!(!allowed(&mut session, "signal_container_process", &signal(1, true, json!([]))));
    let other = json!(["cmd.exe", "/c", "dir"]);
    assert!(allowed(&mut session, "signal_container_process", &signal(1, false, other.clone())));
    assert!(!allowed(&mut session, "signal_container_process", &signal(0, false, other)));
    assert!(allowed(&mut session, "shutdown_container", &json!({"containerID": "web"})));
    assert!(!allowed(&mut session, "exec_in_container", &dir));
}

#[test]
fn a_linux_guest_does_not_judge_by_the_rules_of_windows() {
    let mut session = Session::load(POLICY.as_bytes(), data(), EvaluatorKind::Interpreter).unwrap();
    assert!(allowed(&mut session, "mount_cims", &cims("web", json!(["top", "base"]), json!(["merged"]))));
    let serve = process(json!(["cmd.exe", "/c", "serve"]));
    assert!(!allowed(&mut session, "create_container", &serve));
}

fn value(name: &str, kind: &str, content: &[(&str, Value)]) -> Value {
    let mut value = json!({"Key": {"Hive": "System", "Name": "Software\\App"}, "Name": name, "Type": kind});
    for (field, content) in content {
        value[*field] = content.clone();
    }
    value
}

fn mode(content: &str) -> Value {
    let mut mode = value("Mode", "String", &[("StringValue", json!(content))]);
    mode["Key"]["Volatile"] = json!(true);
    mode
}

fn registry(values: &[Value]) -> Value {
    json!({"containerID": "web", "registryChanges": {"AddValues": values}})
}

#[test]
fn registry_values_are_listed_one_by_one() {
    let mut session = with_cims();
    let saved = session.save();
    let kind = |custom: i64, content: &str| {
        value("Kind", "CustomType", &[("CustomType", json!(custom)), ("BinaryValue", json!(content))])
    };
    let mut elsewhere = mode("fast");
    elsewhere["Key"]["Hive"] = json!("Security");
    let mut lasting = mode("fast");
    lasting["Key"].as_object_mut().unwrap().remove("Volatile");
    for (values, expected) in [
        (vec![mode("fast")], true),
        // A number that is 0 is left out by who asks.
        (vec![mode("fast"), value("Level", "DWord", &[])], true),
        (vec![kind(77, "AQI="), value("Mark", "None", &[])], true),
        (vec![mode("slow")], false),
        // One good value does not carry a bad one.
        (vec![mode("fast"), mode("slow")], false),
        (vec![value("Level", "DWord", &[("DWordValue", json!(1))])], false),
        (vec![value("Level", "QWord", &[])], false),
        (vec![kind(78, "AQI=")], false),
        (vec![kind(77, "AQM=")], false),
        (vec![value("Other", "String", &[("StringValue", json!("fast"))])], false),
        (vec![elsewhere], false),
        (vec![lasting], false),
    ] {
        let request = registry(&values);
        assert_eq!(allowed(&mut session, "registry_changes", &request), expected, "{request}");
        session.restore(&saved);
    }
    let request = registry(&[mode("fast"), mode("slow")]);
    assert_eq!(reasons(&mut session, "registry_changes", request), json!(["invalid registry values: Mode"]));
    let mut deleting = registry(&[mode("fast")]);
    deleting["registryChanges"]["DeleteKeys"] = json!([{"Hive": "System", "Name": "Software"}]);
    assert!(!allowed(&mut session, "registry_changes", &deleting));
    assert_eq!(
        reasons(&mut session, "registry_changes", deleting),
        json!(["deleting registry keys is not allowed"])
    );
    let other = json!({"containerID": "other", "registryChanges": {"AddValues": [mode("fast")]}});
    assert!(!allowed(&mut session, "registry_changes", &other));
    assert_eq!(reasons(&mut session, "registry_changes", other), json!(["no image mounted for container"]));
}

#[test]
fn registry_changes_narrow_what_the_container_may_be() {
    let mut session = with_cims();
    let saved = session.save();
    let mut other = process(json!(["cmd.exe", "/c", "other"]));
    other["user"] = json!("ContainerAdministrator");
    other["envList"] = json!([]);
    assert!(allowed(&mut session, "create_container", &other));
    session.restore(&saved);
    assert!(allowed(&mut session, "registry_changes", &registry(&[mode("fast")])));
    assert!(!allowed(&mut session, "create_container", &other));
}

#[test]
fn log_providers_are_refused_or_dropped() {
    let asked = json!({"providers": ["APP-events", "Microsoft-Windows-Security-Auditing"]});
    let known = json!({"providers": ["APP-events"]});
    let mut strict = session();
    let answer = strict.query("data.policy.log_provider", &asked).unwrap();
    assert_eq!(answer, json!({"allowed": false, "providers_to_keep": []}));
    assert_eq!(
        reasons(&mut strict, "log_provider", asked.clone()),
        json!(["log provider not allowed by policy"])
    );
    let answer = strict.query("data.policy.log_provider", &known).unwrap();
    assert_eq!(answer, json!({"allowed": true, "providers_to_keep": ["APP-events"]}));
    assert!(allowed(&mut strict, "log_provider", &json!({"providers": []})));

    let mut lenient = session_of(&POLICY.replace("provider_dropping := false", "provider_dropping := true"));
    let answer = lenient.query("data.policy.log_provider", &asked).unwrap();
    assert_eq!(answer, json!({"allowed": true, "providers_to_keep": ["APP-events"]}));

    let mut silent = session_of(&POLICY.replace("allowed_log_providers", "formerly_allowed_log_providers"));
    assert!(!allowed(&mut silent, "log_provider", &known));
}

#[test]
fn block_devices_are_refused_with_a_reason() {
    let mut session = session();
    for (point, request) in
        [("mount_blockdev", json!({"target": "/x"})), ("unmount_blockdev", json!({"unmountTarget": "/x"}))]
    {
        assert!(!allowed(&mut session, point, &request));
        assert_eq!(reasons(&mut session, point, request), json!(["blockdev mounts are not supported"]));
    }
}
