//! Hooks: the guest's at the creation of a container, and the container's before its program.

use std::fs;
use std::path::PathBuf;

use executor::container::{
    Container, CreateError, CreateOptions, HookState, PlanError, SpawnError, StartContainerError, Step,
};
use policy_engine::request::CreateContainer;
use policy_engine::request::linux::{Hook, Namespace, SeccompAction, SeccompProfile, SeccompSyscall};
use serde_json::{Value as Json, json};

use crate::guest::{Guest, chain};

pub(crate) const TESTS: &[crate::Test] = &[
    ("hooks_of_the_container_run_before_its_program", start),
    ("hooks_of_the_container_have_its_rights_and_its_filter", rights),
    ("hooks_of_the_guest_run_in_the_containers_namespaces", create),
    ("a_failing_hook_fails_the_container", failing),
    ("a_hook_has_its_time", timeout),
    ("no_descriptor_leaks_to_a_hook", descriptors),
    ("what_a_hook_of_the_guest_leaves_running_is_killed", leftovers),
    ("hooks_that_cannot_be_run_are_refused", refused),
];

fn hook(path: &str, args: &[&str]) -> Hook {
    Hook {
        path: path.parse().unwrap(),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        env: vec!["PATH=/bin:/usr/bin".to_owned(), "A=1".to_owned()],
        timeout_s: Some(20),
    }
}

fn shell(script: &str) -> Hook {
    hook("/bin/sh", &["sh", "-c", script])
}

fn options(guest: &Guest) -> CreateOptions {
    let annotations = [("a.b/c".to_owned(), "d".to_owned())].into();
    let bundle = guest.directory.path().to_str().unwrap().to_owned();
    CreateOptions { hook_state: HookState { bundle, annotations }, ..guest.options() }
}

fn try_create(guest: &Guest, request: CreateContainer) -> Result<Container, CreateError> {
    guest.try_create_with(request, &options(guest))
}

fn run(guest: &Guest, request: CreateContainer) -> (i32, String, String) {
    let container = try_create(guest, request).unwrap_or_else(|error| panic!("{}", chain(&error)));
    container.start().unwrap_or_else(|error| panic!("{}", chain(&error)));
    let result = guest.finish(container.init());
    guest.remove(container);
    result
}

fn state(guest: &Guest, id: &str, status: &str) -> Json {
    json!({
        "ociVersion": "1.2.0", "id": id, "status": status, "pid": 1, "bundle": guest.directory.path(),
        "annotations": {"a.b/c": "d"},
    })
}

fn start() {
    let guest = Guest::new();
    let mut request = guest.request(&["cat", "/env", "/second", "/state"]);
    request.linux.hooks.start_container =
        vec![shell("cat > /state; echo $0 $A$HOME > /env"), shell("hostname > /second; echo lost")];
    let id = request.container_id.to_string();
    let container = try_create(&guest, request).unwrap();
    assert!(!guest.root().join("state").exists());
    container.start().unwrap();
    let (_, output, error) = guest.finish(container.init());
    guest.remove(container);
    let told = output.strip_prefix("sh 1\ninside\n").unwrap_or_else(|| panic!("{output}{error}"));
    assert_eq!(serde_json::from_str::<Json>(told).unwrap(), state(&guest, &id, "created"));
}

fn rights() {
    let guest = Guest::new();
    let denied = SeccompSyscall {
        names: vec!["mkdir".to_owned(), "mkdirat".to_owned()],
        action: SeccompAction::Errno,
        errno_ret: None,
        args: Vec::new(),
    };
    let profile = SeccompProfile {
        default_action: SeccompAction::Allow,
        default_errno_ret: None,
        architectures: Vec::new(),
        flags: Vec::new(),
        listener_path: String::new(),
        listener_metadata: String::new(),
        syscalls: vec![denied],
    };
    for no_new_privileges in [true, false] {
        let mut request = guest.request(&["cat", "/tmp/status"]);
        request.process.user.uid = 33;
        request.process.no_new_privileges = no_new_privileges;
        fs::set_permissions(guest.root().join("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
        request.seccomp = Some(profile.clone());
        let script = "cat /proc/self/status > /tmp/status; mkdir /tmp/x && exit 1; exit 0";
        request.linux.hooks.start_container = vec![shell(script)];
        let (_, output, error) = run(&guest, request);
        for line in ["Uid:\t33\t33\t33\t33", "CapPrm:\t0000000000000000", "Seccomp:\t2"] {
            assert!(output.contains(line), "{output}{error}");
        }
        fs::remove_file(guest.root().join("tmp/status")).unwrap();
    }
}

/// Programs of this machine: a script with an interpreter, and what it is linked with, are found.
fn create() {
    let guest = Guest::new();
    let script = guest.directory.path().join("hook.sh");
    let text = "#!/bin/sh\ncat > state\npwd > pwd\nfor n in pid mnt uts ipc; do readlink /proc/self/ns/$n; done > ns\n";
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut request =
        guest.request(&["sh", "-c", "for n in pid mnt uts ipc; do readlink /proc/self/ns/$n; done; ls /"]);
    let id = request.container_id.to_string();
    request.linux.hooks.create_container = vec![hook(script.to_str().unwrap(), &[])];
    let (_, output, _) = run(&guest, request);
    let read = |name: &str| fs::read_to_string(guest.directory.path().join(name)).unwrap();
    assert_eq!(serde_json::from_str::<Json>(&read("state")).unwrap(), state(&guest, &id, "creating"));
    assert_eq!(PathBuf::from(read("pwd").trim_end()), guest.directory.path());
    assert!(output.starts_with(&read("ns")), "{output}");
    // Nothing of the guest's is left in the container.
    assert!(!output.contains("usr"), "{output}");
}

fn failing() {
    let guest = Guest::new();
    for failing in
        [shell("exit 3"), hook("/bin/nothing", &[]), hook("/proc/self/exe", &[]), shell("kill -9 $$")]
    {
        let mut request = guest.request(&["touch", "/ran"]);
        request.linux.hooks.create_container = vec![shell("true"), failing.clone()];
        match try_create(&guest, request) {
            Err(CreateError::Spawn(SpawnError::Setup { step: Step::Hook, subject, source })) => {
                assert_eq!(
                    (subject, source.raw_os_error()),
                    (failing.path.to_string(), Some(nix::libc::ECANCELED))
                );
            }
            other => panic!("{other:?}"),
        }
        let mut request = guest.request(&["touch", "/ran"]);
        request.linux.hooks.start_container = vec![failing];
        let container = try_create(&guest, request).unwrap();
        match container.start() {
            Err(StartContainerError::Execute(SpawnError::Setup { step: Step::Hook, .. })) => {}
            other => panic!("{other:?}"),
        }
        guest.finish(container.init());
        guest.remove(container);
        assert!(!guest.root().join("ran").exists());
    }
}

fn timeout() {
    let guest = Guest::new();
    let mut request = guest.request(&["true"]);
    request.linux.hooks.create_container = vec![Hook { timeout_s: Some(1), ..shell("sleep 600") }];
    match try_create(&guest, request) {
        Err(CreateError::Spawn(SpawnError::Setup { step: Step::Hook, source, .. })) => {
            assert_eq!(source.raw_os_error(), Some(nix::libc::ETIMEDOUT));
        }
        other => panic!("{other:?}"),
    }
}

fn descriptors() {
    let guest = Guest::new();
    // `ls` reads the directory by the descriptor 3.
    let list = "ls /proc/self/fd > $OUT";
    let with_output = |out: String| {
        let mut hook = shell(list);
        hook.env.push(format!("OUT={out}"));
        hook
    };
    let outside = guest.directory.path().join("fds");
    let mut request = guest.request(&["true"]);
    request.linux.hooks.create_container = vec![with_output(outside.to_str().unwrap().to_owned())];
    request.linux.hooks.start_container = vec![with_output("/fds".to_owned())];
    run(&guest, request);
    for file in [outside, guest.root().join("fds")] {
        assert_eq!(fs::read_to_string(&file).unwrap(), "0\n1\n2\n3\n");
    }
}

fn leftovers() {
    let guest = Guest::new();
    let mut request = guest.request(&["sh", "-c", "ls -d /proc/[0-9]* | head -9"]);
    request.linux.hooks.create_container = vec![shell("sleep 600 & (sleep 600 &)")];
    let (_, output, _) = run(&guest, request);
    let processes = output.lines().count();
    // The shell, `ls` and `head`.
    assert!(processes <= 3, "{output}");
}

fn refused() {
    let guest = Guest::new();
    let refusal = |change: fn(&mut CreateContainer)| {
        let mut request = guest.request(&["true"]);
        request.linux.hooks.create_container = vec![shell("true")];
        change(&mut request);
        match try_create(&guest, request) {
            Err(CreateError::Plan(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refusal(|r| r.linux.hooks.create_container[0].timeout_s = Some(0)), PlanError::HookTimeout);
    assert_eq!(refusal(|r| r.linux.hooks.create_container[0].args.push("\0".to_owned())), PlanError::Nul);
    assert_eq!(refusal(|r| r.linux.namespaces.pid = Namespace::Guest), PlanError::HookNamespace);
}
