//! Hooks of the runtime's namespace.

use std::fs;

use serde_json::{Value as Json, json};

use super::bench::{Bench, until};

/// A hook that notes its name and the status that it is told.
fn noting(bench: &Bench, name: &str) -> Json {
    let notes = bench.path("notes");
    let script = format!(
        "sed -n 's/.*\"status\":\"\\([a-z]*\\)\".*/{name} \\1/p' >>{0}; echo >>{0}",
        notes.to_str().unwrap()
    );
    json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"], "timeout": 10}])
}

#[test]
fn hooks_run_at_their_points() {
    let Some(mut bench) = Bench::new(&["sleep", "1000"]) else { return };
    let mut hooks = json!({});
    for name in ["prestart", "createRuntime", "poststart", "poststop"] {
        hooks[name] = noting(&bench, name);
    }
    bench.config["hooks"] = hooks;
    let notes = || fs::read_to_string(bench.path("notes")).unwrap();
    bench.ok(&["create", "c1"]);
    assert_eq!(notes(), "prestart creating\ncreateRuntime creating\n");
    bench.ok(&["start", "c1"]);
    assert!(notes().ends_with("poststart running\n"));
    bench.ok(&["delete", "--force", "c1"]);
    assert!(notes().ends_with("poststop stopped\n"));
}

#[test]
fn the_runtimes_hooks_see_the_mounts_before_the_root_is_exchanged() {
    let Some(mut bench) = Bench::new(&["sh", "-c", "exit 3"]) else { return };
    let notes = bench.path("notes");
    let script = format!(
        "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); cd /proc/$pid; exec >{}; \
         test -d root/bin && echo exchanged; cut -d' ' -f5 mountinfo | grep -q proc && echo mounted; \
         test $(readlink ns/mnt) = $(readlink /proc/self/ns/mnt) || echo apart",
        notes.to_str().unwrap()
    );
    bench.config["hooks"] = json!({
        "createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}],
    });
    assert_eq!(bench.output(&["run", "c1"]).status.code(), Some(3));
    assert_eq!(fs::read_to_string(notes).unwrap(), "mounted\napart\n");
}

#[test]
fn a_failing_hook_before_the_start_ends_the_container() {
    let Some(mut bench) = Bench::new(&["sleep", "1000"]) else { return };
    let mut hooks = json!({"createRuntime": [{"path": "/bin/false"}]});
    hooks["poststop"] = noting(&bench, "poststop");
    bench.config["hooks"] = hooks;
    assert!(bench.fails(&["create", "c1"]).contains("createRuntime hook /bin/false"));
    assert_eq!(bench.ids(), "");
    assert_eq!(fs::read_to_string(bench.path("notes")).unwrap(), "poststop stopped\n");
}

#[test]
fn a_failing_hook_after_the_start_is_told_of() {
    let Some(mut bench) = Bench::new(&["sleep", "1000"]) else { return };
    bench.config["hooks"] = json!({"poststart": [{"path": "/bin/false"}]});
    bench.ok(&["create", "c1"]);
    let output = bench.output(&["start", "c1"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("poststart hook /bin/false"));
    until(|| bench.state("c1")["status"] == "running");
}
