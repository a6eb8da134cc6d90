//! `kill`, `pause`, `resume`.

use std::fs;

use serde_json::json;

use crate::container::{Container, wait_until};

pub(crate) const TESTS: &[crate::Test] = &[
    ("signals_have_names_and_numbers", signals_have_names_and_numbers),
    ("the_signal_is_term_when_none_is_named", the_signal_is_term_when_none_is_named),
    ("a_signal_that_nobody_handles_does_not_end_an_init", a_signal_that_nobody_handles_does_not_end_an_init),
    ("an_unknown_signal_is_refused", an_unknown_signal_is_refused),
    ("a_container_that_has_ended_takes_no_signal", a_container_that_has_ended_takes_no_signal),
    ("a_created_container_can_be_killed", a_created_container_can_be_killed),
    ("a_foreground_run_hands_signals_on", a_foreground_run_hands_signals_on),
    (
        "all_processes_can_be_killed_where_they_see_the_hosts",
        all_processes_can_be_killed_where_they_see_the_hosts,
    ),
    ("a_paused_container_goes_on", a_paused_container_goes_on),
    (
        "only_what_runs_is_paused_and_only_what_is_paused_resumed",
        only_what_runs_is_paused_and_only_what_is_paused_resumed,
    ),
    ("a_paused_container_takes_no_process", a_paused_container_takes_no_process),
    ("a_paused_container_is_deleted_by_force_alone", a_paused_container_is_deleted_by_force_alone),
    ("a_signal_waits_until_a_paused_container_goes_on", a_signal_waits_until_a_paused_container_goes_on),
];

/// Says so, and ends, on a signal.
const HANDLER: &str = "trap 'echo caught; exit 3' TERM USR1; echo ready; while true; do sleep 0.1; done";

fn signals_have_names_and_numbers() {
    for signal in ["TERM", "SIGTERM", "15", "term", "sigusr1"] {
        let container = Container::running(HANDLER);
        container.says("ready");
        container.kill(signal).succeeds();
        container.says("caught");
        container.comes_to_be("stopped");
    }
}

fn the_signal_is_term_when_none_is_named() {
    let container = Container::running(HANDLER);
    container.says("ready");
    container.does("kill", &[]).succeeds();
    container.says("caught");
}

fn a_signal_that_nobody_handles_does_not_end_an_init() {
    let container = Container::running("echo ready; exec sleep 1000");
    container.says("ready");
    container.kill("USR1").succeeds();
    container.exec(&[], &["true"]).succeeds();
    assert_eq!(container.status(), "running");
}

fn an_unknown_signal_is_refused() {
    let container = Container::running("exec sleep 1000");
    for signal in ["NONSENSE", "SIG", "1000"] {
        container.kill(signal).refuses();
    }
    assert_eq!(container.status(), "running");
}

fn a_container_that_has_ended_takes_no_signal() {
    let container = Container::running("true");
    container.comes_to_be("stopped");
    let error = container.kill("KILL").refuses();
    assert!(error.contains("not running"), "{error}");
    assert_eq!(container.status(), "stopped");
}

fn a_created_container_can_be_killed() {
    let container = Container::of("echo ran");
    container.create(&[]).succeeds();
    container.kill("KILL").succeeds();
    container.comes_to_be("stopped");
    assert_eq!(container.output(), "");
}

fn a_foreground_run_hands_signals_on() {
    let container = Container::of(HANDLER);
    let mut command = container.run_command(&[]);
    let running = command.spawn().unwrap();
    wait_until("it is known", || container.is_known());
    container.comes_to_be("running");
    wait_until("its handler is set", || caught_signals(container.pid()) & (1 << (15 - 1)) != 0);
    assert!(Container::signal(running.id(), "TERM"));
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("caught"));
}

/// The signals that a process has handlers for.
fn caught_signals(process: i64) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

fn all_processes_can_be_killed_where_they_see_the_hosts() {
    let container = Container::with("sleep 1000 & echo $!; exec sleep 1000", |spec| {
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
    });
    container.start_new();
    wait_until("the child is there", || container.output().ends_with('\n'));
    let child = format!("/proc/{}/stat", container.output().trim());
    assert!(fs::exists(&child).unwrap());
    assert!(container.command("kill", &["--all", container.id(), "KILL"]).status().unwrap().success());
    container.comes_to_be("stopped");
    let has_ended = || fs::read_to_string(&child).map_or(true, |stat| stat.contains(") Z "));
    wait_until("the child has ended", has_ended);
}

fn a_paused_container_goes_on() {
    let container = Container::running("while true; do echo beat; sleep 0.05; done");
    container.says("beat");
    container.does("pause", &[]).succeeds();
    assert_eq!(container.status(), "paused");
    let paused = container.output();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(container.output(), paused);
    container.does("resume", &[]).succeeds();
    assert_eq!(container.status(), "running");
    wait_until("it goes on", || container.output().len() > paused.len());
}

fn only_what_runs_is_paused_and_only_what_is_paused_resumed() {
    let container = Container::running("exec sleep 1000");
    container.does("resume", &[]).refuses();
    container.does("pause", &[]).succeeds();
    container.does("pause", &[]).refuses();
    assert_eq!(container.status(), "paused");
    container.does("resume", &[]).succeeds();
    container.kill("KILL").succeeds();
    container.comes_to_be("stopped");
    container.does("pause", &[]).refuses();
    container.does("resume", &[]).refuses();
}

fn a_paused_container_takes_no_process() {
    let container = Container::running("exec sleep 1000");
    container.does("pause", &[]).succeeds();
    let error = container.exec(&[], &["true"]).refuses();
    assert!(error.contains("paused"), "{error}");
    container.does("resume", &[]).succeeds();
    container.exec(&[], &["true"]).succeeds();
}

fn a_paused_container_is_deleted_by_force_alone() {
    let container = Container::running("exec sleep 1000");
    container.does("pause", &[]).succeeds();
    container.does("delete", &[]).refuses();
    container.does("delete", &["--force"]).succeeds();
    container.is_gone();
}

fn a_signal_waits_until_a_paused_container_goes_on() {
    let container = Container::with("exec sleep 1000", |spec| spec["hostname"] = json!("paused"));
    container.start_new();
    container.does("pause", &[]).succeeds();
    container.kill("KILL").succeeds();
    if container.status() == "paused" {
        container.does("resume", &[]).succeeds();
    }
    container.comes_to_be("stopped");
}
