//! From create to delete.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use super::bench::{Bench, until};

/// Whether a process holds the way to start the container.
fn gate_is_held(bench: &Bench, id: &str) -> bool {
    // Whoever asks may get it: nobody else can start the container then.
    UnixStream::connect(bench.path("state").join(id).join("gate")).is_ok()
}

#[test]
fn a_container_goes_through_its_life() {
    let Some(bench) = Bench::new(&["sh", "-c", "echo started >/tmp/started; exec sleep 1000"]) else {
        return;
    };
    let pid_file = bench.path("pid");
    bench.ok(&["create", "--pid-file", pid_file.to_str().unwrap(), "c1"]);
    let state = bench.state("c1");
    assert_eq!((&state["status"], &state["id"]), (&"created".into(), &"c1".into()));
    assert_eq!(state["bundle"], bench.path("bundle").canonicalize().unwrap().to_str().unwrap());
    assert_eq!(state["pid"].to_string(), fs::read_to_string(&pid_file).unwrap());
    assert!(!bench.rootfs().join("tmp/started").exists());

    bench.ok(&["start", "c1"]);
    until(|| bench.rootfs().join("tmp/started").exists());
    assert_eq!(bench.state("c1")["status"], "running");
    assert!(bench.fails(&["start", "c1"]).contains("already running"));
    assert!(bench.fails(&["delete", "c1"]).contains("not stopped"));
    assert_eq!(bench.ids(), "c1\n");
    assert_eq!(bench.ok(&["ps", "--format", "json", "c1"]).trim(), format!("[{}]", state["pid"]));

    bench.ok(&["kill", "c1", "KILL"]);
    bench.await_status("c1", "stopped");
    assert_eq!(bench.state("c1")["pid"], 0);
    assert!(bench.fails(&["kill", "c1"]).contains("container not running"));
    assert!(bench.fails(&["start", "c1"]).contains("stopped"));
    bench.ok(&["delete", "c1"]);
    assert!(bench.fails(&["state", "c1"]).contains("does not exist"));
    assert_eq!(bench.ids(), "");
}

#[test]
fn run_gives_the_exit_code_or_128_and_the_signal() {
    let Some(mut bench) = Bench::new(&["sh", "-c", "exit 7"]) else { return };
    assert_eq!(bench.output(&["run", "c1"]).status.code(), Some(7));
    bench.config["process"]["args"] = serde_json::json!(["sh", "-c", "sh -c 'kill -TERM $$'; exit $?"]);
    assert_eq!(bench.output(&["run", "c1"]).status.code(), Some(143));
    bench.config["process"]["args"] = serde_json::json!(["sleep", "1000"]);
    let mut running = bench.command(&["run", "c1"]).spawn().unwrap();
    until(|| String::from_utf8_lossy(&bench.output(&["state", "c1"]).stdout).contains("running"));
    bench.ok(&["kill", "c1", "KILL"]);
    assert_eq!(running.wait().unwrap().code(), Some(137));
    assert_eq!(bench.ids(), "");
}

#[test]
fn the_streams_are_the_callers() {
    let Some(bench) = Bench::new(&["sh", "-c", "cat; echo wrong >&2"]) else { return };
    let mut command = bench.command(&["run", "c1"]);
    let mut running =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    running.stdin.take().unwrap().write_all(b"through").unwrap();
    let output = running.wait_with_output().unwrap();
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"through"[..], &b"wrong\n"[..]));
}

#[test]
fn a_signal_to_the_foreground_run_is_the_containers() {
    let script = "trap 'exit 5' TERM; echo ready >/tmp/ready; while true; do sleep 0.05; done";
    let Some(bench) = Bench::new(&["sh", "-c", script]) else { return };
    let mut running = bench.command(&["run", "c1"]).spawn().unwrap();
    until(|| bench.rootfs().join("tmp/ready").exists());
    let pid = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(5));
}

#[test]
fn a_detached_run_ends_before_its_container() {
    let Some(bench) = Bench::new(&["sleep", "1000"]) else { return };
    bench.ok(&["run", "--detach", "c1"]);
    assert_eq!(bench.state("c1")["status"], "running");
    bench.ok(&["delete", "--force", "c1"]);
    assert_eq!(bench.ids(), "");
}

#[test]
fn the_gate_is_held_until_the_start_or_the_end() {
    let Some(bench) = Bench::new(&["sleep", "1000"]) else { return };
    bench.ok(&["create", "c1"]);
    bench.ok(&["start", "c1"]);
    until(|| !gate_is_held(&bench, "c1"));
    bench.ok(&["create", "c2"]);
    bench.ok(&["kill", "c2", "KILL"]);
    bench.await_status("c2", "stopped");
    until(|| !gate_is_held(&bench, "c2"));
    assert!(bench.fails(&["start", "c2"]).contains("stopped"));
    // A created one is deleted without force, as every runtime does it.
    bench.ok(&["create", "c3"]);
    bench.ok(&["delete", "c3"]);
}

#[test]
fn a_paused_container_stands_still() {
    let Some(bench) = Bench::new(&["sleep", "1000"]) else { return };
    bench.ok(&["run", "--detach", "c1"]);
    bench.ok(&["pause", "c1"]);
    assert_eq!(bench.state("c1")["status"], "paused");
    assert!(bench.fails(&["exec", "c1", "true"]).contains("paused"));
    assert!(bench.fails(&["pause", "c1"]).contains("paused"));
    bench.ok(&["resume", "c1"]);
    assert!(bench.fails(&["resume", "c1"]).contains("not paused"));
    bench.ok(&["exec", "c1", "true"]);
    bench.ok(&["pause", "c1"]);
    bench.ok(&["delete", "--force", "c1"]);
}

#[test]
fn later_changes_of_the_bundle_are_without_effect() {
    let Some(mut bench) = Bench::new(&["sh", "-c", "exit 3"]) else { return };
    bench.ok(&["create", "c1"]);
    bench.config["hostname"] = "other".into();
    bench.ok(&["start", "c1"]);
    bench.await_status("c1", "stopped");
    bench.ok(&["delete", "c1"]);
}

#[test]
fn a_signal_to_all_reaches_those_that_outlive_the_init() {
    let script = "(trap 'echo told >/tmp/told; exit' TERM; echo ready >/tmp/ready; while true; do sleep 0.05; done) & \
                  until test -e /tmp/ready; do sleep 0.01; done";
    let Some(mut bench) = Bench::new(&["sh", "-c", script]) else { return };
    bench.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|one| one["type"] != "pid");
    bench.ok(&["create", "c1"]);
    bench.ok(&["start", "c1"]);
    bench.await_status("c1", "stopped");
    assert!(bench.fails(&["kill", "c1", "TERM"]).contains("not running"));
    bench.ok(&["kill", "--all", "c1", "TERM"]);
    until(|| bench.rootfs().join("tmp/told").exists());
    bench.ok(&["delete", "c1"]);
}

#[test]
fn a_signal_to_all_reaches_the_others() {
    let Some(bench) = Bench::new(&["sh", "-c", "sleep 1000 & sleep 1000 & echo ready >/tmp/ready; wait"])
    else {
        return;
    };
    bench.ok(&["run", "--detach", "c1"]);
    until(|| bench.rootfs().join("tmp/ready").exists());
    let count = || {
        let listed = bench.ok(&["ps", "--format", "json", "c1"]);
        serde_json::from_str::<Vec<i32>>(&listed).unwrap().len()
    };
    assert_eq!(count(), 3);
    bench.ok(&["kill", "--all", "c1", "SIGKILL"]);
    bench.await_status("c1", "stopped");
}
