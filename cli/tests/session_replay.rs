//! `cce policy replay` as a program: recorded sessions, answers and exit codes.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::disallowed_methods, reason = "what is tested is a program")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

const POLICY: &str = "package policy\n\
    api_version := \"0.10.0\"\n\
    framework_version := \"0.2.3\"\n\
    containers := []\n\
    allow_properties_access := true\n\
    allow_dump_stacks := false\n\
    get_properties := data.framework.get_properties\n\
    dump_stacks := data.framework.dump_stacks\n\
    scratch_mount := data.framework.scratch_mount\n\
    scratch_unmount := data.framework.scratch_unmount\n";

fn query(rule: &str, input: &Value, allowed: bool) -> Value {
    let rule = format!("data.policy.{rule}");
    json!({"op": "query", "rule": rule, "input": input, "result": {"allowed": allowed}})
}

fn mount(encrypted: bool, allowed: bool) -> Value {
    query("scratch_mount", &json!({"target": "/scratch", "encrypted": encrypted}), allowed)
}

fn session(id: u32, steps: &[Value]) -> String {
    json!({"id": id, "policy": POLICY, "os": "linux", "data": {"metadata": {}}, "steps": steps}).to_string()
}

/// Two sessions with six queries that agree; the second depends on the state.
fn agreeing() -> String {
    let rights = [query("get_properties", &json!({}), true), query("dump_stacks", &json!({}), false)];
    let unmount = |allowed| query("scratch_unmount", &json!({"unmountTarget": "/scratch"}), allowed);
    let scratch = [mount(false, false), mount(true, true), unmount(true), unmount(false)];
    format!("{}\n{}\n", session(1, &rights), session(2, &scratch))
}

fn write(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn run(file: &Path, options: &[&str]) -> Output {
    let mut cce = Command::new(env!("CARGO_BIN_EXE_cce"));
    cce.args(["policy", "replay"]).args(options).arg(file).output().unwrap()
}

/// Exit code and standard output.
fn replay(file: &Path, options: &[&str]) -> (i32, String) {
    let output = run(file, options);
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn plain_and_compressed_sessions_agree() {
    let folder = tempfile::tempdir().unwrap();
    let text = agreeing();
    for (name, content) in [("plain.jsonl", text.clone().into_bytes()), ("small.jsonl.gz", gzip(&text))] {
        let file = write(folder.path(), name, &content);
        let (code, text) = replay(&file, &["--evaluator", "interpreter"]);
        assert_eq!((code, text.as_str()), (0, "6 queries, 6 agree, 0 differ (interpreter)\n"));
    }
}

#[test]
fn differences_are_shown_and_fail() {
    let folder = tempfile::tempdir().unwrap();
    let file =
        write(folder.path(), "s.jsonl", session(7, &[mount(true, true), mount(true, true)]).as_bytes());
    let (code, text) = replay(&file, &["--evaluator", "interpreter"]);
    assert_eq!(code, 1);
    let expected = "2 queries, 1 agree, 1 differ (interpreter)\n\
        session 7, step 1: data.policy.scratch_mount, allowed\n  recorded true\n  given    false\n";
    assert_eq!(text, expected);
    let (code, text) = replay(&file, &["--evaluator", "interpreter", "--json"]);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &json["sessions"]), (1, &json!(1)));
    assert_eq!(json["evaluators"][0]["differences"][0]["session"], json!("7"));
}

#[test]
fn files_that_are_no_sessions_are_told_apart_from_differences() {
    let folder = tempfile::tempdir().unwrap();
    let whole = gzip(&agreeing());
    for (name, content, told) in [
        ("text", b"no session\n".to_vec(), "line 1: not a recorded session"),
        ("second", format!("{}\n{{}}\n", session(1, &[])).into_bytes(), "line 2: not a recorded session"),
        ("restored", session(1, &[json!({"op": "restore_metadata"})]).into_bytes(), "no state was saved"),
        ("cut", whole[..whole.len() / 2].to_vec(), "cannot read"),
        ("empty", Vec::new(), "has no sessions"),
    ] {
        let output = run(&write(folder.path(), name, &content), &[]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(told), "{name}: {error}");
    }
    assert_eq!(run(&folder.path().join("missing"), &[]).status.code(), Some(2));
}

#[test]
fn strict_comparisons_look_at_more() {
    let folder = tempfile::tempdir().unwrap();
    // Denied either way, but not by the same answer.
    let mut steps = vec![mount(false, false)];
    steps[0]["result"] = Value::Null;
    let file = write(folder.path(), "s.jsonl", session(1, &steps).as_bytes());
    assert_eq!(replay(&file, &[]).0, 0);
    assert_eq!(replay(&file, &["--strict"]).0, 1);
}
