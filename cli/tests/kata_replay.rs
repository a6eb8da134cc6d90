//! `cce policy replay --kata` as a program: answers and exit codes.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::disallowed_methods, reason = "what is tested is a program")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

const POLICY: &str = "package agent_policy\ndefault SignalProcessRequest := false\n\
                      SignalProcessRequest { input.signal == 15; input.exec_id == \"\" }\n";

/// Exit code and standard output.
fn replay(folder: &Path, policy: &str, cases: &str, options: &[&str]) -> (i32, String) {
    let (policy_path, cases_path) = (folder.join("policy.rego"), folder.join("testcases.json"));
    fs::write(&policy_path, policy).unwrap();
    fs::write(&cases_path, cases).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cce"))
        .args(options)
        .args(["policy", "replay", "--kata"])
        .args([policy_path, cases_path])
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn case(allowed: bool, signal: u32) -> Value {
    let request = json!({ "container_id": "a", "signal": signal });
    json!({ "description": "d", "allowed": allowed, "kind": "SignalProcessRequest", "request": request })
}

#[test]
fn the_exit_code_tells_agreement_difference_and_bad_input() {
    let folder = tempfile::tempdir().unwrap();
    let cases = |cases: &[Value]| Value::from(cases).to_string();
    // The absent exec_id is an empty text.
    let agreed = cases(&[case(true, 15), case(false, 9)]);
    assert_eq!(replay(folder.path(), POLICY, &agreed, &[]), (0, "2 queries, 2 agree, 0 differ\n".to_owned()));
    let (code, text) = replay(folder.path(), POLICY, &cases(&[case(true, 15), case(true, 9)]), &[]);
    assert_eq!(code, 1);
    assert!(text.starts_with("2 queries, 1 agree, 1 differ\ncase 2, SignalProcessRequest"), "{text}");
    let (code, text) = replay(folder.path(), POLICY, &cases(&[case(false, 15)]), &["--json"]);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, json),
        (
            1,
            json!({
                "queries": 1,
                "agree": 0,
                "differ": 1,
                "differences": [{
                    "case": 1,
                    "description": "d",
                    "kind": "SignalProcessRequest",
                    "expected_allowed": false,
                }],
            })
        )
    );
    for (policy, cases) in
        [(POLICY, "["), (POLICY, "{}"), ("package policy\n", &*agreed), (POLICY, "[{\"allowed\": true}]")]
    {
        assert_eq!(replay(folder.path(), policy, cases, &[]).0, 2, "{policy} {cases}");
    }
}
