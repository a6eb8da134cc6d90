//! `update`, `events`, `ps`, `list`.

use serde_json::Value as Json;
use std::{fs, process::Stdio};

use crate::container::{Container, feed};

pub(crate) const TESTS: &[crate::Test] = &[
    ("limits_can_be_changed", limits_can_be_changed),
    ("statistics_are_one_object", statistics_are_one_object),
    ("nothing_is_known_of_what_has_ended", nothing_is_known_of_what_has_ended),
    ("processes_are_listed", processes_are_listed),
    ("containers_are_listed", containers_are_listed),
];

fn container() -> Container {
    Container::running("exec sleep 1000")
}

/// A file of the container's cgroup, on either kind of hierarchy.
fn limit(container: &Container, file: &str) -> Option<String> {
    let text = container.cgroups().iter().find_map(|cgroup| fs::read_to_string(cgroup.join(file)).ok());
    text.map(|text| text.trim().to_owned())
}

fn limits_can_be_changed() {
    let container = container();
    container.does("update", &["--pids-limit", "77"]).succeeds();
    let mut command = container.command("update", &["--resources", "-", container.id()]);
    let child = command.stdin(Stdio::piped()).spawn().unwrap();
    let changed = feed(child, br#"{"pids": {"limit": 78}}"#);
    let controlled = limit(&container, "pids.max");
    assert!(changed.status.success(), "{changed:?}");
    assert_eq!(controlled.as_deref(), Some("78"));
    container.does("update", &["--pids-limit", "-1"]).succeeds();
    assert_eq!(limit(&container, "pids.max").as_deref(), Some("max"));
}

fn statistics_are_one_object() {
    let container = container();
    let text = container.does("events", &["--stats"]).succeeds();
    let event: Json = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(event["type"], "stats");
    assert_eq!(event["id"], container.id());
    assert!(event["data"].is_object(), "{event}");
}

fn nothing_is_known_of_what_has_ended() {
    let container = Container::running("true");
    container.comes_to_be("stopped");
    container.does("events", &["--stats"]).refuses();
}

fn processes_are_listed() {
    let container = container();
    let text = container.does("ps", &["--format", "json"]).succeeds();
    let processes: Vec<i64> = serde_json::from_str(&text).unwrap();
    assert_eq!(processes, [container.pid()]);
}

fn containers_are_listed() {
    let container = container();
    let output = container.command("list", &["--format", "json"]).output().unwrap();
    let listed: Vec<Json> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["id"], container.id());
    assert_eq!(listed[0]["status"], "running");
}
