//! Execs, signals, layers, processes of the guest, and questions that are compared with no object.

use serde_json::{Value as Json, json};

use super::{Both, SECRET, container, create, device, difference, differences, exec, overlay, with};

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
