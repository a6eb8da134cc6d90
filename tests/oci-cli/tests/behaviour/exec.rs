//! `exec`: who the process is, what it returns, what it sees.

use std::{fs, process::Stdio};

use serde_json::json;

use crate::container::{Container, feed, wait_until};

pub(crate) const TESTS: &[crate::Test] = &[
    ("exec_returns_what_the_program_returns", exec_returns_what_the_program_returns),
    ("exec_of_nothing_returns_255", exec_of_nothing_returns_255),
    ("exec_needs_a_container_that_has_not_ended", exec_needs_a_container_that_has_not_ended),
    (
        "a_process_has_the_environment_of_the_container_and_its_own",
        a_process_has_the_environment_of_the_container_and_its_own,
    ),
    (
        "a_process_has_the_place_and_the_user_that_it_is_given",
        a_process_has_the_place_and_the_user_that_it_is_given,
    ),
    ("a_process_has_the_capabilities_that_it_is_given", a_process_has_the_capabilities_that_it_is_given),
    ("a_process_can_be_described_by_a_file", a_process_can_be_described_by_a_file),
    ("a_process_is_in_the_container", a_process_is_in_the_container),
    ("streams_pass_to_the_last_byte", streams_pass_to_the_last_byte),
    (
        "a_detached_process_is_named_in_a_file_and_not_waited_for",
        a_detached_process_is_named_in_a_file_and_not_waited_for,
    ),
    (
        "arguments_of_the_program_are_no_options_of_the_runtime",
        arguments_of_the_program_are_no_options_of_the_runtime,
    ),
    ("descriptors_keep_their_numbers", descriptors_keep_their_numbers),
];

fn container() -> Container {
    Container::running("exec sleep 1000")
}

fn exec_returns_what_the_program_returns() {
    let container = container();
    let ended = container.exec(&[], &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(7), "out\n", "err\n"));
    assert_eq!(container.exec(&[], &["sh", "-c", "kill -9 $$"]).code, Some(128 + 9));
}

fn exec_of_nothing_returns_255() {
    let container = container();
    for program in ["/no/such/program", "no-such-program", "/tmp", "/proc/mounts"] {
        assert_eq!(container.exec(&[], &[program]).code, Some(255), "{program}");
    }
    assert_eq!(container.status(), "running");
}

fn exec_needs_a_container_that_has_not_ended() {
    let container = Container::running("true");
    container.comes_to_be("stopped");
    container.exec(&[], &["true"]).refuses();
}

fn a_process_has_the_environment_of_the_container_and_its_own() {
    let container = container();
    let found = container.exec(&["--env", "MORE=own"], &["env"]).succeeds();
    assert!(found.contains("PLACE=container\n") && found.contains("MORE=own\n"), "{found}");
    let found = container.exec(&["--env", "PLACE=own"], &["sh", "-c", "echo $PLACE"]).succeeds();
    assert_eq!(found, "own\n");
}

fn a_process_has_the_place_and_the_user_that_it_is_given() {
    let container = container();
    assert_eq!(container.exec(&["--cwd", "/tmp"], &["sh", "-c", "pwd"]).succeeds(), "/tmp\n");
    let options = ["--user", "1000:1001", "--additional-gids", "7", "--additional-gids", "8"];
    assert_eq!(
        container.exec(&options, &["sh", "-c", "id -u; id -g; id -G"]).succeeds(),
        "1000\n1001\n1001 7 8\n"
    );
}

fn a_process_has_the_capabilities_that_it_is_given() {
    let container = container();
    let of = |options: &[&str]| {
        let script = "grep CapEff /proc/self/status";
        let line = container.exec(options, &["sh", "-c", script]).succeeds();
        u64::from_str_radix(line.trim().trim_start_matches("CapEff:").trim(), 16).unwrap()
    };
    let (kill, net_raw) = (1 << 5, 1 << 13);
    assert_eq!(of(&[]) & (kill | net_raw), kill);
    assert_eq!(of(&["--cap", "CAP_NET_RAW"]) & (kill | net_raw), kill | net_raw);
}

fn a_process_can_be_described_by_a_file() {
    let container = container();
    let file = container.home().join("process.json");
    let process = json!({
        "args": ["sh", "-c", "id -u; pwd; echo $PLACE"],
        "cwd": "/tmp",
        "env": ["PATH=/bin"],
        "user": { "uid": 5, "gid": 6 },
    });
    fs::write(&file, process.to_string()).unwrap();
    let found = container.exec(&["--process", file.to_str().unwrap()], &[]).succeeds();
    assert_eq!(found, "5\n/tmp\n\n");
}

fn a_process_is_in_the_container() {
    let container = container();
    assert_eq!(container.exec(&[], &["cat", "/proc/1/cmdline"]).succeeds(), "sleep\x001000\0");
    let of_process = container.exec(&[], &["cat", "/proc/self/cgroup"]).succeeds();
    let of_container = container.exec(&[], &["cat", "/proc/1/cgroup"]).succeeds();
    assert_eq!(of_process, of_container);
}

fn streams_pass_to_the_last_byte() {
    let container = container();
    let mut command =
        container.exec_command(&[], &["sh", "-c", "cat; dd if=/dev/zero bs=1024 count=1024 2>/tmp/log"]);
    let output = feed(command.stdin(Stdio::piped()).spawn().unwrap(), &[b'a'; 256 * 1024]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout.len(), (256 + 1024) * 1024);
}

fn a_detached_process_is_named_in_a_file_and_not_waited_for() {
    let container = container();
    let file = container.home().join("pid");
    let options = ["--detach", "--pid-file", file.to_str().unwrap()];
    let mut command =
        container.exec_command(&options, &["sh", "-c", "sleep 0.2; touch /tmp/done; exec sleep 1000"]);
    let null = || Stdio::null();
    assert!(command.stdout(null()).stderr(null()).status().unwrap().success());
    let process = fs::read_to_string(file).unwrap();
    wait_until("it runs", || container.rootfs().join("tmp/done").exists());
    wait_until("it is what the file names", || {
        fs::read(format!("/proc/{process}/cmdline")).unwrap() == b"sleep\x001000\0"
    });
    container.kill("KILL").succeeds();
    container.comes_to_be("stopped");
}

fn arguments_of_the_program_are_no_options_of_the_runtime() {
    let container = container();
    assert_eq!(container.exec(&[], &["echo", "--env", "-d", "--"]).succeeds(), "--env -d --\n");
}

fn descriptors_keep_their_numbers() {
    let container = container();
    let file = container.home().join("file");
    fs::write(&file, "content").unwrap();
    let exec = container.exec_command(&["--preserve-fds", "3"], &["sh", "-c", "cat <&5"]);
    let mut shell = container.host_shell("exec \"$0\" \"$@\" 5<\"$FILE\"", &exec);
    let output = shell.env("FILE", &file).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "content");
}
