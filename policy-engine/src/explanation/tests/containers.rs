//! Containers that are to be created.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::{Both, SECRET, container, create, difference, differences, exec, overlay, with};
use crate::explanation::Explanation;

/// One change of the request that fits, the reason and the difference that it makes.
type Change = (&'static str, Json, &'static str, Json);

fn changes() -> Vec<Change> {
    [changes_of_the_process(), changes_of_its_rights(), changes_of_its_surroundings()].concat()
}

fn changes_of_the_process() -> Vec<Change> {
    let none = Json::Null;
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
    ]
}

fn changes_of_its_rights() -> Vec<Change> {
    let set = |names: &[&str]| json!(names);
    vec![
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

fn changes_of_its_surroundings() -> Vec<Change> {
    let none = Json::Null;
    let hidden = json!("(not shown)");
    let sysfs = |options: &str| json!({"destination": "/sys", "source": "sysfs", "type": "sysfs", "options": [options]});
    let bind = |source: &str| json!({"destination": "/data", "source": source, "type": "bind", "options": ["bind", "ro"]});
    vec![
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
