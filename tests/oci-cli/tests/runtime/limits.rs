//! Limits and measurements.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value as Json;

use super::bench::Bench;

#[test]
fn limits_are_changed_and_shown() {
    let Some(bench) = Bench::new(&["sleep", "1000"]) else { return };
    bench.ok(&["run", "--detach", "c1"]);
    let stats = || -> Json { serde_json::from_str(&bench.ok(&["events", "--stats", "c1"])).unwrap() };
    let first = stats();
    assert_eq!((&first["type"], &first["id"]), (&"stats".into(), &"c1".into()));
    assert!(first["data"]["cpu"]["usage"]["total"].is_u64());
    if first["data"]["pids"].is_null() {
        println!("skipped: the kernel counts no processes");
        return;
    }
    assert_eq!(first["data"]["pids"]["current"], 1);

    let mut update =
        bench.command(&["update", "--resources", "-", "c1"]).stdin(Stdio::piped()).spawn().unwrap();
    update.stdin.take().unwrap().write_all(br#"{"pids": {"limit": 17}}"#).unwrap();
    assert!(update.wait().unwrap().success());
    assert_eq!(stats()["data"]["pids"]["limit"], 17);
    bench.ok(&["update", "--pids-limit", "1", "c1"]);
    assert_eq!(stats()["data"]["pids"]["limit"], 1);
    let output = bench.output(&["exec", "c1", "sh", "-c", "sleep 0; true"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("fork"));
}
