//! Further processes.

use std::fs;

use serde_json::json;

use super::bench::{Bench, until};

fn running() -> Option<Bench> {
    let bench = Bench::new(&["sleep", "1000"])?;
    bench.ok(&["run", "--detach", "c1"]);
    Some(bench)
}

#[test]
fn exec_gives_the_exit_code() {
    let Some(bench) = running() else { return };
    assert_eq!(bench.output(&["exec", "c1", "sh", "-c", "exit 9"]).status.code(), Some(9));
    assert_eq!(bench.output(&["exec", "c1", "sh", "-c", "kill -KILL $$"]).status.code(), Some(137));
    assert!(bench.fails(&["exec", "c1", "nosuch"]).contains("executable file not found in $PATH"));
    assert!(bench.fails(&["exec", "c1"]).contains("args"));
}

#[test]
fn options_change_the_containers_own_process() {
    let Some(bench) = running() else { return };
    let script = "echo $A $(pwd) $(id -u):$(id -g) $(id -G)";
    let args =
        ["exec", "--env", "A=b", "--cwd", "/tmp", "--user", "5:6", "-g", "7", "c1", "sh", "-c", script];
    assert_eq!(bench.ok(&args), "b /tmp 5:6 6 7\n");
}

#[test]
fn a_process_of_a_file_is_executed_as_it_is() {
    let Some(bench) = running() else { return };
    let process = json!({
        "user": {"uid": 8, "gid": 9}, "cwd": "/tmp", "env": ["PATH=/bin", "A=c"],
        "args": ["sh", "-c", "echo $A $(id -u) >/tmp/told; exec sleep 1000"],
    });
    let (file, pid_file) = (bench.path("process.json"), bench.path("pid"));
    fs::write(&file, process.to_string()).unwrap();
    fs::set_permissions(bench.rootfs().join("tmp"), std::os::unix::fs::PermissionsExt::from_mode(0o1777))
        .unwrap();
    let (file, pid) = (file.to_str().unwrap(), pid_file.to_str().unwrap());
    bench.ok(&["exec", "--process", file, "--pid-file", pid, "--detach", "c1"]);
    let told = bench.rootfs().join("tmp/told");
    until(|| fs::read_to_string(&told).is_ok_and(|text| text == "c 8\n"));
    let listed: Vec<i32> = serde_json::from_str(&bench.ok(&["ps", "--format", "json", "c1"])).unwrap();
    assert!(listed.contains(&fs::read_to_string(pid_file).unwrap().parse().unwrap()));
}

#[test]
fn nothing_is_executed_in_a_container_that_does_not_run() {
    let Some(bench) = Bench::new(&["sleep", "1000"]) else { return };
    bench.ok(&["create", "c1"]);
    assert!(bench.fails(&["exec", "c1", "true"]).contains("not running"));
    bench.ok(&["kill", "c1", "KILL"]);
    bench.await_status("c1", "stopped");
    assert!(bench.fails(&["exec", "c1", "true"]).contains("not running"));
}
