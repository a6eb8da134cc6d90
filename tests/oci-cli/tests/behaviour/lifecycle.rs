//! From `create` to `delete`.

use std::fs;

use serde_json::json;

use crate::container::{Container, wait_until};

pub(crate) const TESTS: &[crate::Test] = &[
    ("a_container_goes_through_its_states", a_container_goes_through_its_states),
    ("run_returns_what_the_program_returns", run_returns_what_the_program_returns),
    ("run_returns_128_and_the_signal", run_returns_128_and_the_signal),
    ("run_leaves_nothing", run_leaves_nothing),
    ("run_passes_streams_on_to_the_last_byte", run_passes_streams_on_to_the_last_byte),
    ("a_detached_run_does_not_wait", a_detached_run_does_not_wait),
    (
        "a_program_that_is_missing_is_an_error_of_the_runtime",
        a_program_that_is_missing_is_an_error_of_the_runtime,
    ),
    ("an_id_is_taken_once", an_id_is_taken_once),
    ("an_id_is_a_plain_name", an_id_is_a_plain_name),
    ("a_bundle_that_is_broken_makes_no_container", a_bundle_that_is_broken_makes_no_container),
    ("a_mount_that_fails_leaves_nothing", a_mount_that_fails_leaves_nothing),
    ("a_container_starts_once", a_container_starts_once),
    ("nobody_starts_what_is_not_there", nobody_starts_what_is_not_there),
    ("a_running_container_is_deleted_by_force_alone", a_running_container_is_deleted_by_force_alone),
    ("deleting_by_force_is_content_with_nothing", deleting_by_force_is_content_with_nothing),
    ("a_created_container_is_deleted_with_its_process", a_created_container_is_deleted_with_its_process),
    ("the_process_is_named_in_a_file", the_process_is_named_in_a_file),
    ("later_changes_of_the_bundle_are_without_effect", later_changes_of_the_bundle_are_without_effect),
];

const IDLE: &str = "sleep 1000";

fn a_container_goes_through_its_states() {
    let container = Container::of("echo ran; exec sleep 1000");
    container.create(&[]).succeeds();
    let state = container.state();
    assert_eq!(state["status"], "created");
    assert_eq!(state["id"], container.id());
    assert_eq!(state["bundle"], container.bundle().to_str().unwrap());
    assert_eq!(state["annotations"]["org.example.colour"], "green");
    assert!(state["ociVersion"].as_str().unwrap().starts_with("1."));
    assert_eq!(container.output(), "", "the program ran before it was started");
    container.does("start", &[]).succeeds();
    container.says("ran");
    assert_eq!(container.status(), "running");
    assert_eq!(container.pid(), state["pid"].as_i64().unwrap());
    container.kill("KILL").succeeds();
    container.comes_to_be("stopped");
    assert_eq!(container.pid(), 0);
    container.does("delete", &[]).succeeds();
    let error = container.does("state", &[]).refuses();
    assert!(error.contains("does not exist"), "{error}");
}

fn run_returns_what_the_program_returns() {
    let ended = Container::of("echo out; echo err >&2; exit 7").run(&[]);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(7), "out\n", "err\n"));
}

fn run_returns_128_and_the_signal() {
    let container = Container::of(IDLE);
    let running = container.run_command(&[]).spawn().unwrap();
    wait_until("it is known", || container.is_known());
    container.comes_to_be("running");
    container.kill("KILL").succeeds();
    assert_eq!(running.wait_with_output().unwrap().status.code(), Some(128 + 9));
}

fn run_leaves_nothing() {
    let container = Container::of("true");
    container.run(&[]).succeeds();
    container.is_gone();
}

fn run_passes_streams_on_to_the_last_byte() {
    let container = Container::of("cat; dd if=/dev/zero bs=1024 count=512 2>/tmp/log");
    let mut command = container.run_command(&[]);
    let child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let output = crate::container::feed(child, &[b'a'; 512 * 1024]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout.len(), 512 * 1024 + 512 * 1024);
}

fn a_detached_run_does_not_wait() {
    let container = Container::of(IDLE);
    let mut command = container.run_command(&["--detach"]);
    let null = || std::process::Stdio::null();
    assert!(command.stdout(null()).stderr(null()).status().unwrap().success());
    assert_eq!(container.status(), "running");
}

fn a_program_that_is_missing_is_an_error_of_the_runtime() {
    for program in ["/no/such/program", "no-such-program", "/tmp"] {
        let container = Container::with("", |spec| spec["process"]["args"] = json!([program]));
        container.run(&[]).refuses();
        container.is_gone();
    }
}

fn an_id_is_taken_once() {
    let container = Container::of(IDLE);
    container.create(&[]).succeeds();
    let error = container.create(&[]).refuses();
    assert!(error.contains("exist"), "{error}");
    assert_eq!(container.status(), "created");
}

fn an_id_is_a_plain_name() {
    let container = Container::of("true");
    for id in ["", ".", "..", "a/b", "../escaped", "a b", "a\nb"] {
        let mut command =
            container.command("create", &["--bundle", container.bundle().to_str().unwrap(), id]);
        assert!(!command.output().unwrap().status.success(), "{id:?}");
    }
    assert!(!container.home().join("escaped").exists());
}

fn a_bundle_that_is_broken_makes_no_container() {
    let without_configuration = Container::of("true");
    fs::remove_file(without_configuration.bundle().join("config.json")).unwrap();
    let without_root = Container::with("true", |spec| spec["root"]["path"] = json!("elsewhere"));
    let without_program = Container::with("true", |spec| spec["process"]["args"] = json!([]));
    let without_meaning = Container::of("true");
    fs::write(without_meaning.bundle().join("config.json"), "{").unwrap();
    for container in [without_configuration, without_root, without_program, without_meaning] {
        container.create(&[]).refuses();
        container.is_gone();
    }
}

fn a_mount_that_fails_leaves_nothing() {
    let container = Container::with("true", |spec| {
        let mount =
            json!({ "destination": "/data", "type": "bind", "source": "/no/such", "options": ["bind"] });
        spec["mounts"].as_array_mut().unwrap().push(mount);
    });
    container.create(&[]).refuses();
    container.is_gone();
}

fn a_container_starts_once() {
    let container = Container::running(IDLE);
    container.does("start", &[]).refuses();
    assert_eq!(container.status(), "running");
    container.kill("KILL").succeeds();
    container.comes_to_be("stopped");
    container.does("start", &[]).refuses();
}

fn nobody_starts_what_is_not_there() {
    let container = Container::of("true");
    for command in ["start", "state", "delete", "pause", "resume"] {
        let error = container.does(command, &[]).refuses();
        assert!(error.contains("does not exist"), "{command}: {error}");
    }
    container.kill("KILL").refuses();
    container.exec(&[], &["true"]).refuses();
}

fn a_running_container_is_deleted_by_force_alone() {
    let container = Container::running(IDLE);
    container.does("delete", &[]).refuses();
    assert_eq!(container.status(), "running");
    container.does("delete", &["--force"]).succeeds();
    container.is_gone();
}

fn deleting_by_force_is_content_with_nothing() {
    Container::of("true").does("delete", &["--force"]).succeeds();
}

fn a_created_container_is_deleted_with_its_process() {
    let container = Container::of(IDLE);
    container.create(&[]).succeeds();
    let process = format!("/proc/{}", container.pid());
    container.does("delete", &[]).succeeds();
    assert!(!container.is_known());
    wait_until("its process has ended", || !fs::exists(&process).unwrap());
}

fn the_process_is_named_in_a_file() {
    let container = Container::of(IDLE);
    let file = container.home().join("pid");
    container.create(&["--pid-file", file.to_str().unwrap()]).succeeds();
    assert_eq!(fs::read_to_string(file).unwrap(), container.pid().to_string());
}

fn later_changes_of_the_bundle_are_without_effect() {
    let container = Container::of("echo first");
    container.create(&[]).succeeds();
    let file = container.bundle().join("config.json");
    let changed = fs::read_to_string(&file).unwrap().replace("echo first", "echo second");
    fs::write(&file, changed).unwrap();
    container.does("start", &[]).succeeds();
    container.comes_to_be("stopped");
    assert_eq!(container.output(), "first\n");
}
