//! What goes wrong is said where engines look for it, and leaves nothing behind.

use std::fs;

use serde_json::{Value as Json, json};

use super::bench::Bench;

#[test]
fn errors_are_in_the_log_file() {
    let Some(bench) = Bench::new(&["true"]) else { return };
    let log = bench.path("log");
    let logged = |format: &str| {
        bench.fails(&["--log", log.to_str().unwrap(), "--log-format", format, "state", "c1"]);
        fs::read_to_string(&log).unwrap().lines().last().unwrap().to_owned()
    };
    let line: Json = serde_json::from_str(&logged("json")).unwrap();
    assert_eq!((&line["level"], &line["msg"]), (&"error".into(), &"container c1 does not exist".into()));
    assert!(line["time"].as_str().unwrap().starts_with("20"));
    assert!(logged("text").ends_with(r#"level=error msg="container c1 does not exist""#));
}

#[test]
fn an_id_is_used_once() {
    let Some(bench) = Bench::new(&["sleep", "1000"]) else { return };
    bench.ok(&["create", "c1"]);
    assert!(bench.fails(&["create", "c1"]).contains("already exists"));
    assert_eq!(bench.state("c1")["status"], "created");
    assert!(bench.fails(&["create", "../c1"]).contains("invalid container id"));
}

#[test]
fn a_container_that_cannot_be_made_leaves_nothing() {
    let Some(mut bench) = Bench::new(&["true"]) else { return };
    let good = bench.config.clone();
    for (place, value, named) in [
        ("/linux", json!({"intelRdt": {}}), "linux.intelRdt"),
        ("/root", json!({"path": "nosuch"}), "root file system"),
        ("/process/args", json!([]), "argument list"),
        ("/mounts", json!([{"destination": "/x", "type": "nosuch", "source": "x"}]), "/x"),
        ("/mounts", json!([{"destination": "/x", "type": "bind", "source": "/nosuch"}]), "/x"),
    ] {
        bench.config = good.clone();
        *bench.config.pointer_mut(place).unwrap() = value;
        let error = bench.fails(&["create", "c1"]);
        assert!(error.contains(named), "{place}: {error}");
        assert_eq!(bench.ids(), "");
        assert!(!bench.path("state").join("c1").exists());
    }
    bench.config = good;
    bench.ok(&["run", "c1"]);
}

#[test]
fn a_program_that_cannot_be_executed_is_an_error_of_create() {
    let Some(mut bench) = Bench::new(&[]) else { return };
    fs::write(bench.rootfs().join("etc/text"), "text").unwrap();
    for (program, words) in [
        ("nosuch", "exec: \"nosuch\": executable file not found in $PATH"),
        ("/nosuch", "exec: \"/nosuch\": stat /nosuch: no such file or directory"),
        ("etc/text", "exec: \"etc/text\": permission denied"),
        ("/tmp", "exec: \"/tmp\": permission denied"),
    ] {
        bench.config["process"]["args"] = json!([program]);
        assert!(bench.fails(&["create", "c1"]).contains(words));
        assert!(bench.fails(&["run", "c1"]).contains(words));
        assert_eq!(bench.ids(), "");
    }
}

#[test]
fn what_is_not_there_is_deleted_by_force_alone() {
    let Some(bench) = Bench::new(&["true"]) else { return };
    assert!(bench.fails(&["delete", "c1"]).contains("does not exist"));
    bench.ok(&["delete", "--force", "c1"]);
    // What a command that was killed has left.
    fs::create_dir_all(bench.path("state/c1")).unwrap();
    assert!(bench.fails(&["create", "c1"]).contains("already exists"));
    bench.ok(&["delete", "--force", "c1"]);
    bench.ok(&["run", "c1"]);
}
