//! `cce policy check` as a program: findings and exit codes.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::disallowed_methods, reason = "what is tested is a program")]

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

/// Nothing is allowed and nothing is wrong.
const CLOSED: &str = "package policy\napi_version := \"0.1.0\"\n\
    mount_device := {\"allowed\": false}\nmount_overlay := {\"allowed\": false}\n\
    create_container := {\"allowed\": false}\n";

/// Exit code and what is printed.
fn check(policy: &str, options: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.rego");
    fs::write(&file, policy).unwrap();
    let mut cce = Command::new(env!("CARGO_BIN_EXE_cce"));
    let output = cce.args(["policy", "check"]).args(options).arg(file).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn exit_codes_tell_how_bad_the_worst_finding_is() {
    assert_eq!(check(CLOSED, &["--strict"]).0, 0);
    let open = CLOSED.replacen("false", "true", 1);
    assert_eq!(check(&open, &[]).0, 0);
    assert_eq!(check(&open, &["--strict"]).0, 1);
    let broken = format!("{CLOSED}containers := [{{\"layers\": []}}]\n");
    assert_eq!(check(&broken, &[]).0, 1);
    assert_eq!(check("package nothing\n", &[]).0, 1);
}

#[test]
fn findings_are_listed_the_worst_first() {
    let policy = format!("{CLOSED}containers := [{{\"layers\": []}}]\nallow_dump_stacks := true\n");
    let (_, text) = check(&policy, &[]);
    let severities: Vec<&str> = text
        .lines()
        .filter_map(|line| Some(line.split_once('[')?.0))
        .filter(|word| !word.contains(' '))
        .collect();
    assert!(
        severities
            .is_sorted_by_key(|word| ["error", "warning", "note"].iter().position(|known| known == word))
    );
    assert!(text.contains("\nerror[layers-empty] containers[0].layers: "), "{text}");
    assert!(text.contains("\nwarning[debug-dump-stacks] allow_dump_stacks: "), "{text}");
    let json: Value = serde_json::from_str(&check(&policy, &["--json"]).1).unwrap();
    let finding =
        json["findings"].as_array().unwrap().iter().find(|finding| finding["code"] == "layers-empty");
    let finding = finding.unwrap();
    assert_eq!((&finding["severity"], &finding["path"]), (&json!("error"), &json!("containers[0].layers")));
    assert!(finding["message"].is_string());
}
