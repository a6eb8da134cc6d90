//! Each enforcement point: what fits the policy is allowed, each single change of it is denied.

use crate::fixture::{
    BASE, FOREIGN, PATH, POLICY, TOP, create_container, denied, does, engine, exec, id, mount_device,
    mount_overlay, path, rootfs, signal, target, with_container, with_overlay,
};
use policy_engine::request::linux::{IdMappings, SeccompAction, SeccompProfile};
use policy_engine::request::{
    ContainerMount, CreateContainer, CreateSandbox, DestroySandbox, ExecInContainer, GetProperties,
    MountOverlay, MountSealedLayer, MountVolume, PauseContainer, Resources, ResumeContainer, ScratchBacking,
    ScratchMount, ScratchUnmount, ShutdownContainer, UnmountDevice, UnmountOverlay, UnmountVolume,
    UpdateContainer, VolumeBacking, VolumeMode,
};
use policy_engine::{Engine, Refusal};

fn allowed_create(engine: &Engine, request: CreateContainer) -> CreateContainer {
    engine.decide(request).unwrap().done().request().clone()
}

fn changed<T>(mut request: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut request);
    request
}

#[test]
fn layers_are_mounted_by_root_hash() {
    let engine = engine();
    does(&engine, mount_device(0, BASE));
    assert_eq!(denied(&engine, mount_device(0, TOP)), ["device already mounted at path"]);
    assert_eq!(denied(&engine, mount_device(1, FOREIGN)), ["deviceHash not found"]);
    // One layer may serve several containers.
    does(&engine, mount_device(1, BASE));
}

#[test]
fn a_layer_is_judged_by_its_content_wherever_that_comes_from() {
    let sealed = |number, root_hash: [u8; 32]| MountSealedLayer {
        target: target(number),
        root_hash: root_hash.into(),
    };
    let engine = engine();
    assert_eq!(denied(&engine, sealed(0, FOREIGN)), ["deviceHash not found"]);
    does(&engine, sealed(0, BASE));
    assert_eq!(denied(&engine, mount_device(0, BASE)), ["device already mounted at path"]);
    does(&engine, mount_device(1, TOP));
    does(&engine, mount_overlay("web"));
    does(&engine, UnmountDevice { target: target(0) });
}

#[test]
fn layers_are_unmounted() {
    let engine = engine();
    let unmount = || UnmountDevice { target: target(0) };
    assert_eq!(denied(&engine, unmount()), ["no device at path to unmount"]);
    does(&engine, mount_device(0, BASE));
    does(&engine, unmount());
    assert_eq!(denied(&engine, unmount()), ["no device at path to unmount"]);
}

#[test]
fn overlay_of_the_policys_layers() {
    let engine = with_overlay("web");
    assert_eq!(denied(&engine, mount_overlay("web")), ["overlay has already been mounted"]);
    // The same layers for another container.
    does(&engine, mount_overlay("web-2"));
}

#[test]
fn seccomp_profiles_are_named_by_digest() {
    let profile = SeccompProfile {
        default_action: SeccompAction::Log,
        default_errno_ret: None,
        architectures: Vec::new(),
        flags: Vec::new(),
        listener_path: String::new(),
        listener_metadata: String::new(),
        syscalls: Vec::new(),
    };
    let other = SeccompProfile { default_action: SeccompAction::Allow, ..profile.clone() };
    let digest = format!("\"seccomp_profile_sha256\":\"{}\"", profile.digest());
    let naming = POLICY.replace("\"seccomp_profile_sha256\":\"\"", &digest);
    // A rule of the policy's own makes it the interpreter's.
    for own_rule in ["", "own_rule := 1 + 1\n"] {
        for (policy, allowed) in [(POLICY, None), (&naming, Some(&profile))] {
            let engine = Engine::load(format!("{policy}{own_rule}").as_bytes()).unwrap();
            does(&engine, mount_device(0, BASE));
            does(&engine, mount_device(1, TOP));
            does(&engine, mount_overlay("web"));
            let with = |seccomp: Option<&SeccompProfile>| {
                let seccomp = seccomp.cloned();
                CreateContainer { seccomp, ..create_container("web") }
            };
            for asked in [None, Some(&profile), Some(&other)] {
                if asked == allowed {
                    continue;
                }
                let reasons = denied(&engine, with(asked));
                assert!(reasons.contains(&"invalid seccomp".to_owned()), "{reasons:?}");
            }
            assert_eq!(allowed_create(&engine, with(allowed)).seccomp.as_ref(), allowed);
        }
    }
}

#[test]
fn overlay_of_other_layers() {
    let engine = engine();
    does(&engine, mount_device(0, BASE));
    does(&engine, mount_device(1, TOP));
    let layers = |numbers: &[u32]| MountOverlay {
        layers: numbers.iter().map(|&number| target(number)).collect(),
        ..mount_overlay("web")
    };
    for numbers in [&[][..], &[0], &[1], &[0, 1], &[1, 1], &[1, 0, 0], &[1, 2]] {
        assert_eq!(denied(&engine, layers(numbers)), ["no matching containers for overlay"], "{numbers:?}");
    }
    does(&engine, layers(&[1, 0]));
}

#[test]
fn unmount_overlay() {
    let engine = with_overlay("web");
    let unmount = || UnmountOverlay { target: rootfs("web") };
    does(&engine, unmount());
    assert_eq!(denied(&engine, unmount()), ["no overlay at path to unmount"]);
}

#[test]
fn create_container_amends_the_request() {
    let engine = with_overlay("web");
    let mut request = create_container("web");
    request.process.env = ["X=1", "MODE=fast", PATH, "MODE=slow", "MODE=fast"].map(str::to_owned).into();
    request.process.capabilities.effective =
        ["CAP_SYS_ADMIN", "CAP_KILL", "CAP_CHOWN"].map(str::to_owned).into();
    let created = allowed_create(&engine, request);
    // What policy keeps stays in the request's order, as often as it was there.
    assert_eq!(created.process.env, ["MODE=fast", PATH, "MODE=fast"]);
    assert_eq!(created.process.capabilities.effective, ["CAP_KILL", "CAP_CHOWN"]);
    assert!(created.allow_stdio_access);
}

#[test]
fn create_container_denies_each_single_change() {
    type Change = fn(&mut CreateContainer);
    let bind = |source: &str| ContainerMount {
        destination: path("/etc/resolv.conf"),
        source: source.to_owned(),
        fstype: "bind".to_owned(),
        options: ["rbind", "rshared", "rw"].map(str::to_owned).into(),
        id_mappings: IdMappings::default(),
    };
    let engine = with_overlay("web");
    let cases: [(Change, &str); 14] = [
        (|r| r.process.args.push("x".to_owned()), "invalid command"),
        (|r| drop(r.process.args.pop()), "invalid command"),
        (|r| r.process.args.swap(0, 1), "invalid command"),
        (|r| r.process.args[0].push(' '), "invalid command"),
        (|r| r.process.cwd = path("/"), "invalid working directory"),
        (|r| r.process.user.uid = 1, "invalid user"),
        (|r| r.process.umask = 0, "invalid user"),
        (|r| r.process.no_new_privileges = false, "invalid noNewPrivileges"),
        (|r| r.privileged = true, "privileged escalation not allowed"),
        (|r| drop(r.process.env.remove(0)), "missing required environment variable"),
        (|r| drop(r.process.capabilities.bounding.pop()), "capabilities don't match"),
        (|r| r.mounts[0].options = vec!["rw".to_owned()], "invalid mount list: /proc"),
        (|r| r.mounts[1].source = "/etc/shadow".to_owned(), "invalid mount list: /etc/resolv.conf"),
        (|r| r.mounts[1].destination = path("/etc/passwd"), "invalid mount list: /etc/passwd"),
    ];
    for (number, (change, reason)) in cases.into_iter().enumerate() {
        assert_eq!(denied(&engine, changed(create_container("web"), change)), [reason], "case {number}");
    }
    let twice = changed(create_container("web"), |r| r.mounts.push(bind("/x/tmp/atlas/resolvconf/web")));
    assert_eq!(denied(&engine, twice), ["invalid mount list: /etc/resolv.conf"]);
    assert_eq!(denied(&engine, create_container("other")), ["no overlay mounted for container"]);
    does(&engine, create_container("web"));
}

#[test]
fn a_container_id_is_used_once() {
    let engine = with_container("web");
    assert_eq!(denied(&engine, create_container("web")), ["container already started"]);
    does(&engine, ShutdownContainer { container_id: id("web") });
    does(&engine, UnmountOverlay { target: rootfs("web") });
    does(&engine, mount_overlay("web"));
    assert_eq!(denied(&engine, create_container("web")), ["container already started"]);
}

#[test]
fn exec_in_container() {
    let engine = with_container("web");
    let fitting = || exec("web", &["/bin/busybox", "id"]);
    does(&engine, fitting());
    type Change = fn(&mut ExecInContainer);
    let cases: [(Change, &str); 5] = [
        (|r| r.process.args = vec!["/bin/busybox".to_owned()], "invalid command"),
        (|r| r.process.args.push("x".to_owned()), "invalid command"),
        (|r| r.process.cwd = path("/"), "invalid working directory"),
        (|r| r.process.user.uid = 7, "invalid user"),
        (|r| r.process.no_new_privileges = false, "invalid noNewPrivileges"),
    ];
    for (change, reason) in cases {
        assert_eq!(denied(&engine, changed(fitting(), change)), [reason]);
    }
    assert_eq!(denied(&engine, exec("other", &["/bin/busybox", "id"])), ["container not started"]);
    // The command of the container is not one that may be executed in it.
    let init = create_container("web").process.args;
    let again: Vec<&str> = init.iter().map(String::as_str).collect();
    assert_eq!(denied(&engine, exec("web", &again)), ["invalid command"]);
}

#[test]
fn signal_container_process() {
    let engine = with_container("web");
    // SIGTERM is listed, SIGKILL goes without saying at this framework version.
    does(&engine, signal("web", 15));
    does(&engine, signal("web", 9));
    assert_eq!(denied(&engine, signal("web", 1)), ["target isn't allowed to receive the signal"]);
    assert_eq!(denied(&engine, signal("other", 15)), ["container not started"]);
    let process = |number, args: &[&str]| {
        let mut request = signal("web", number);
        request.exec_id = Some("exec-1".parse().unwrap());
        request.args = args.iter().map(|&arg| arg.to_owned()).collect();
        request
    };
    does(&engine, process(15, &["/bin/busybox", "id"]));
    for request in [process(9, &["/bin/busybox", "id"]), process(15, &["/bin/busybox", "ls"])] {
        assert_eq!(denied(&engine, request), ["target isn't allowed to receive the signal"]);
    }
    // Every process of the container: the same rule.
    let all = changed(signal("web", 1), |request| request.all = true);
    assert_eq!(denied(&engine, all), ["target isn't allowed to receive the signal"]);
}

#[test]
fn shutdown_container() {
    let engine = with_container("web");
    let shutdown = |container: &str| ShutdownContainer { container_id: id(container) };
    assert_eq!(denied(&engine, shutdown("other")), ["container not started"]);
    does(&engine, shutdown("web"));
    assert_eq!(denied(&engine, exec("web", &["/bin/busybox", "id"])), ["container already shut down"]);
    assert_eq!(denied(&engine, signal("web", 9)), ["container already shut down"]);
    does(&engine, shutdown("web"));
}

#[test]
fn scratch() {
    let engine = engine();
    let mount = || ScratchMount {
        target: path("/run/scratch/web"),
        backing: ScratchBacking::Memory { size_bytes: 1 << 20 },
    };
    let unmount = || ScratchUnmount { target: path("/run/scratch/web") };
    assert_eq!(denied(&engine, unmount()), ["no scratch at path to unmount"]);
    does(&engine, mount());
    assert_eq!(denied(&engine, mount()), ["scratch already mounted at path"]);
    does(&engine, unmount());
    assert_eq!(denied(&engine, unmount()), ["no scratch at path to unmount"]);
}

#[test]
fn scratch_that_the_host_can_read_is_the_policys_choice() {
    let mount = |encrypted| {
        let source = "/dev/vdb".parse().unwrap();
        let backing = match encrypted {
            true => ScratchBacking::EncryptedDisk { source },
            false => ScratchBacking::PlainDisk { source },
        };
        ScratchMount { target: path("/run/scratch/web"), backing }
    };
    assert_eq!(denied(&engine(), mount(false)), ["unencrypted scratch not allowed"]);
    does(&engine(), mount(true));
    let right = |granted| format!("allow_unencrypted_scratch := {granted}");
    let allowing = POLICY.replace(&right(false), &right(true));
    does(&Engine::load(allowing.as_bytes()).unwrap(), mount(false));
    // An older policy does not know the question, and that is no yes.
    for rule in ["", "import rego.v1\n"] {
        let older = format!("package policy\n{rule}api_version := \"0.9.0\"\n");
        let older = Engine::load(older.as_bytes()).unwrap();
        assert_eq!(denied(&older, mount(false)), ["the policy has no rule `data.policy.scratch_mount`"]);
        does(&older, mount(true));
    }
}

#[test]
fn volumes_are_judged_as_scratch() {
    let volume = |encrypted| MountVolume {
        target: "/run/gcs/sandboxMounts/data".parse().unwrap(),
        backing: VolumeBacking::Directory { scratch: path("/run/scratch/pod"), encrypted },
        mode: VolumeMode::OPEN,
        group: None,
        nosuid: false,
        noexec: false,
    };
    let engine = engine();
    assert_eq!(denied(&engine, volume(false)), ["unencrypted scratch not allowed"]);
    does(&engine, volume(true));
    assert_eq!(denied(&engine, volume(true)), ["scratch already mounted at path"]);
    does(&engine, UnmountVolume { target: volume(true).target });
    does(&engine, volume(true));
}

#[test]
fn get_properties() {
    let read = || GetProperties { container_id: id("web") };
    assert!(engine().inspect(read()).is_ok());
    let policy = POLICY.replace("allow_properties_access := true", "allow_properties_access := false");
    let denial = Engine::load(policy.as_bytes()).unwrap().inspect(read()).unwrap_err();
    assert_eq!(denial.reasons, ["properties access not allowed"]);
}

#[test]
fn the_sandbox_is_created_once_and_first() {
    let create = || CreateSandbox { sandbox_id: "pod".parse().unwrap(), hostname: None };
    let engine = engine();
    engine.decide(create()).unwrap().untouched();
    does(&engine, create());
    assert_eq!(denied(&engine, create()), ["sandbox already created"]);
    assert_eq!(denied(&with_overlay("web"), create()), ["containers exist already"]);
    assert_eq!(denied(&with_container("web"), create()), ["containers exist already"]);
    does(&engine, DestroySandbox);
}

#[test]
fn what_the_host_can_do_anyway_needs_no_rule() {
    let container_id = || "c1".parse().unwrap();
    let engine = Engine::load(b"package policy\napi_version := \"0.10.0\"\n").unwrap();
    does(&engine, PauseContainer { container_id: container_id() });
    does(&engine, ResumeContainer { container_id: container_id() });
    does(&engine, UpdateContainer { container_id: container_id(), resources: Resources::default() });
    // But it is a change like any other: one at a time, and none in a poisoned guest.
    let outstanding = engine.decide(PauseContainer { container_id: container_id() }).unwrap();
    let second = engine.decide(ResumeContainer { container_id: container_id() });
    assert!(matches!(second, Err(Refusal::Busy)));
    outstanding.unknown();
    let third = engine.decide(PauseContainer { container_id: container_id() });
    assert!(matches!(third, Err(Refusal::Poisoned)));
}

#[test]
fn an_allow_is_an_explicit_true() {
    let rules = "package policy\napi_version := \"0.10.0\"\n";
    for answer in
        ["true", "{}", "{\"allowed\": \"true\"}", "{\"allowed\": 1}", "[{\"allowed\": true}]", "null"]
    {
        let policy = format!("{rules}mount_device := {answer}\n");
        let engine = Engine::load(policy.as_bytes()).unwrap();
        assert!(matches!(engine.decide(mount_device(0, BASE)), Err(Refusal::Denied(_))), "{answer}");
    }
    for rule in
        ["", "mount_device := {\"allowed\": true} if input.nothing", "mount_device := {\"allowed\": false}"]
    {
        let engine = Engine::load(format!("{rules}{rule}\n").as_bytes()).unwrap();
        assert!(matches!(engine.decide(mount_device(0, BASE)), Err(Refusal::Denied(_))), "{rule}");
    }
    let engine = Engine::load(format!("{rules}mount_device := {{\"allowed\": true}}\n").as_bytes()).unwrap();
    engine.decide(mount_device(0, BASE)).unwrap().untouched();
}

#[test]
fn an_older_policy_keeps_its_meaning() {
    // API 0.1.0 asked only for mounts and creation: what came later is allowed, creation needs a rule.
    let engine = Engine::load(b"package policy\napi_version := \"0.1.0\"\n").unwrap();
    does(&engine, UnmountDevice { target: target(0) });
    does(&engine, exec("web", &["anything"]));
    assert_eq!(denied(&engine, mount_device(0, BASE)), ["the policy has no rule `data.policy.mount_device`"]);
    // API 0.10.0 knows these questions: without a rule there is no answer.
    let engine = Engine::load(b"package policy\napi_version := \"0.10.0\"\n").unwrap();
    let reasons = denied(&engine, UnmountDevice { target: target(0) });
    assert_eq!(reasons, ["the policy has no rule `data.policy.unmount_device`"]);
}

#[test]
fn a_policy_cannot_add_to_a_request() {
    let policy = "package policy\napi_version := \"0.10.0\"\n\
        create_container := {\"allowed\": true, \"env_list\": [\"PATH=/evil\", \"MODE=fast\"], \
        \"caps_list\": {\"bounding\": [\"CAP_SYS_ADMIN\", \"CAP_KILL\"], \"effective\": [], \
        \"inheritable\": [], \"permitted\": [], \"ambient\": []}}\n";
    let engine = Engine::load(policy.as_bytes()).unwrap();
    let created = allowed_create(&engine, create_container("web"));
    assert_eq!(created.process.env, ["MODE=fast"]);
    assert_eq!(created.process.capabilities.bounding, ["CAP_KILL"]);
    assert!(created.process.capabilities.effective.is_empty());
    assert!(!created.allow_stdio_access);
}

#[test]
fn malformed_allows_are_denied() {
    for extra in [
        "\"env_list\": \"PATH\"",
        "\"env_list\": [1]",
        "\"caps_list\": {\"bounding\": []}",
        "\"caps_list\": []",
        "\"metadata\": {}",
        "\"metadata\": [{\"name\": \"x\"}]",
    ] {
        let policy = format!(
            "package policy\napi_version := \"0.10.0\"\ncreate_container := {{\"allowed\": true, {extra}}}\n"
        );
        let engine = Engine::load(policy.as_bytes()).unwrap();
        let answer = engine.decide(create_container("web"));
        assert!(matches!(answer, Err(Refusal::Denied(_))), "{extra}");
    }
}

#[test]
fn denials_name_variables_and_never_their_values() {
    let policy = POLICY.replace(
        "allow_environment_variable_dropping := true",
        "allow_environment_variable_dropping := false",
    );
    let engine = Engine::load(policy.as_bytes()).unwrap();
    does(&engine, mount_device(0, BASE));
    does(&engine, mount_device(1, TOP));
    does(&engine, mount_overlay("web"));
    let request = changed(create_container("web"), |request| {
        request.process.env.extend(["TOKEN=hunter2", "MODE=hunter3"].map(str::to_owned));
    });
    let reasons = denied(&engine, request);
    assert_eq!(reasons, ["invalid env list: TOKEN,MODE"]);
    does(&engine, create_container("web"));
}

#[test]
fn patterns_match_whole_texts() {
    let policy = POLICY.replace("T(E)?MP=.+", "A=1|B=2").replace("HOSTNAME=.+", "C=1)|(D=.*").replace(
        "allow_environment_variable_dropping := true",
        "allow_environment_variable_dropping := false",
    );
    let engine = Engine::load(policy.as_bytes()).unwrap();
    does(&engine, mount_device(0, BASE));
    does(&engine, mount_device(1, TOP));
    does(&engine, mount_overlay("web"));
    let with = |entry: &str| {
        let mut request = create_container("web");
        request.process.env = vec![PATH.to_owned(), entry.to_owned()];
        request
    };
    for entry in ["A=12", "xB=2", "C=1", "D=1", "xFabric_a=b\n"] {
        assert!(!denied(&engine, with(entry)).is_empty(), "{entry}");
    }
    for entry in ["A=1", "B=2", "Fabric_A=b"] {
        engine.decide(with(entry)).unwrap().untouched();
    }
}

#[test]
fn containers_that_differ_by_stdio_alone_are_undecided() {
    // A third container like the first, but without stdio.
    let (before, rest) = POLICY.split_once("containers := [").unwrap();
    let (first, rest) = rest.split_once(",{\"allow_elevated\"").unwrap();
    let silent = first.replace("\"allow_stdio_access\":true", "\"allow_stdio_access\":false");
    let policy = format!("{before}containers := [{silent},{first},{{\"allow_elevated\"{rest}");
    let engine = Engine::load(policy.as_bytes()).unwrap();
    does(&engine, mount_device(0, BASE));
    does(&engine, mount_device(1, TOP));
    does(&engine, mount_overlay("web"));
    let reasons = denied(&engine, create_container("web"));
    assert_eq!(reasons, ["containers only distinguishable by allow_stdio_access"]);
}

#[test]
fn the_choice_of_container_only_narrows() {
    // Two containers of the same layers with different commands and different execs.
    let (before, rest) = POLICY.split_once("containers := [").unwrap();
    let (first, rest) = rest.split_once(",{\"allow_elevated\"").unwrap();
    let other = first.replace("echo started", "echo other").replace("\"id\"]", "\"ls\"]");
    let policy = format!("{before}containers := [{other},{first},{{\"allow_elevated\"{rest}");
    let engine = Engine::load(policy.as_bytes()).unwrap();
    does(&engine, mount_device(0, BASE));
    does(&engine, mount_device(1, TOP));
    does(&engine, mount_overlay("web"));
    does(&engine, create_container("web"));
    assert_eq!(denied(&engine, exec("web", &["/bin/busybox", "ls"])), ["invalid command"]);
    does(&engine, exec("web", &["/bin/busybox", "id"]));
}

/// A policy with a rule of its own is the interpreter's; its objects are compared all the same.
#[test]
fn denials_of_both_evaluators_name_the_closest_container() {
    let own_rule = format!("{POLICY}\nown_rule := 1 + 1\n");
    for policy in [POLICY, own_rule.as_str()] {
        let engine = Engine::load(policy.as_bytes()).unwrap();
        does(&engine, mount_device(0, BASE));
        does(&engine, mount_device(1, TOP));
        does(&engine, mount_overlay("web"));
        let request = changed(create_container("web"), |request| request.process.umask = 0o077);
        let Err(Refusal::Denied(denial)) = engine.decide(request) else { panic!("allowed") };
        assert_eq!(
            denial.to_string(),
            "create_container is denied by policy: invalid user; closest is container 0 `web`, which differs in umask"
        );
        let difference = &denial.closest.unwrap().differences[0];
        assert_eq!(
            (difference.expected.as_deref(), difference.given.as_deref()),
            (Some("0022"), Some("0077"))
        );
    }
}
