//! Policies that load, and those that do not.

use std::error::Error as _;

use crate::fixture::{BASE, POLICY, denied, does, engine, mount_device};
use policy_engine::limits::{NESTING_MAX, POLICY_BYTES_MAX, TEXT_LENGTH_MAX};
use policy_engine::{Engine, EvaluatorKind, LoadError, RecursionError, ScanError, Session};
use serde_json::{Map, json};

fn error(policy: &str) -> LoadError {
    match Engine::load(policy.as_bytes()) {
        Err(error) => error,
        Ok(_) => panic!("loaded: {policy}"),
    }
}

/// A policy of API 0.10.0 with `rules`.
fn policy(rules: &str) -> String {
    format!("package policy\napi_version := \"0.10.0\"\n{rules}\n")
}

#[test]
fn a_policy_of_the_tool_loads_unmodified() {
    let summary = engine().summary();
    assert_eq!(summary.api_version, "0.10.0");
    assert_eq!(summary.framework_version.as_deref(), Some("0.2.3"));
    assert_eq!(summary.containers, 2);
}

#[test]
fn a_policy_with_all_rules_of_this_api_loads() {
    let aliases: String = [
        "rw_mount_device",
        "rw_unmount_device",
        "host_network",
        "load_transparency_trust_list",
        "log_provider",
        "registry_changes",
        "mount_cims",
        "mount_blockdev",
        "unmount_blockdev",
    ]
    .iter()
    .map(|point| format!("{point} := data.framework.{point}\n"))
    .collect();
    let current = POLICY.replace("0.10.0", "0.12.0").replace("0.2.3", "0.5.0");
    let engine = Engine::load(format!("{current}\n{aliases}").as_bytes()).unwrap();
    does(&engine, mount_device(0, BASE));
}

#[test]
fn deprecated_version_names_are_understood() {
    let old = POLICY.replace("api_version", "api_svn").replace("framework_version", "framework_svn");
    let summary = Engine::load(old.as_bytes()).unwrap().summary();
    assert_eq!(
        (summary.api_version.as_str(), summary.framework_version.as_deref()),
        ("0.10.0", Some("0.2.3"))
    );
}

#[test]
fn broken_texts_are_refused() {
    assert!(matches!(Engine::load(b"package policy\n\xff").unwrap_err(), LoadError::Text(_)));
    let huge = vec![b' '; POLICY_BYTES_MAX + 1];
    assert!(matches!(Engine::load(&huge).unwrap_err(), LoadError::TooLarge { .. }));
    for text in ["containers := [", "containers := [}", "a := := b", "a if"] {
        assert!(matches!(error(&policy(text)), LoadError::Parse { .. }), "{text}");
    }
    // Rules of Rego version 0 would mean something else.
    assert!(matches!(error(&policy("mount_device { true }")), LoadError::Parse { .. }));
}

#[test]
fn parse_errors_do_not_quote_the_policy() {
    let secret = "hunter2".repeat(20);
    let error = error(&policy(&format!("x := [\"{secret}\" \"{secret}\"]")));
    let LoadError::Parse { message } = &error else { panic!("{error:?}") };
    assert!(!message.contains("hunter2"), "{message}");
    assert!(message.contains("policy.rego:3:"), "{message}");
}

#[test]
fn deep_nesting_is_refused_before_the_parser_sees_it() {
    let nested = |depth: usize| policy(&format!("x := {}{}", "[".repeat(depth), "]".repeat(depth)));
    let scan = |error: LoadError| match error {
        LoadError::Scan(scan) => scan,
        other => panic!("{other:?}"),
    };
    assert_eq!(scan(error(&nested(NESTING_MAX + 1))), ScanError::Nesting { line: 3 });
    assert_eq!(scan(error(&nested(100_000))), ScanError::Nesting { line: 3 });
    assert!(Engine::load(nested(NESTING_MAX).as_bytes()).is_ok());
}

#[test]
fn recursion_is_refused() {
    let recursive = error(&policy("f(x) := f(x + 1)\nmount_device := {\"allowed\": f(1)}"));
    assert!(matches!(recursive, LoadError::Recursion(RecursionError::Circle { rule, .. }) if rule == "f"));
    for rules in [
        "mount_device := a\na := b\nb := a",
        "f(x) := r + x\nr := f(1)\nmount_device := r",
        "containers := data.framework.candidate_containers",
        "mount_device := data[input.target]",
    ] {
        assert!(matches!(error(&policy(rules)), LoadError::Recursion(_)), "{rules}");
    }
}

#[test]
fn a_fragment_cannot_close_a_circle() {
    let policy = policy("f(x) := data.part.g(x)\nmount_device := f(1)");
    let mut session = Session::load(policy.as_bytes(), Map::new(), EvaluatorKind::Interpreter).unwrap();
    let circle = "package part\ng(x) := data.policy.f(x)\n";
    assert!(matches!(session.add_fragment("part", circle, &json!({})), Err(LoadError::Recursion(_))));
    // The session goes on without it.
    assert_eq!(session.query("data.policy.mount_device", &json!({})).unwrap_or_default(), json!(null));
    session.add_fragment("part", "package part\ng(x) := {\"allowed\": x == 1}\n", &json!({})).unwrap();
    assert_eq!(session.query("data.policy.mount_device", &json!({})).unwrap(), json!({"allowed": true}));
}

#[test]
fn versions_are_checked() {
    assert!(matches!(error("package policy\nx := 1\n"), LoadError::ApiVersionMissing));
    assert!(matches!(error("package policy\napi_version := 1\n"), LoadError::ApiVersionMissing));
    for version in ["0.13.0", "1.0.0", "latest", ""] {
        let newer = error(&POLICY.replace("\"0.10.0\"", &format!("\"{version}\"")));
        assert!(matches!(newer, LoadError::ApiVersion { .. }), "{version}");
        let newer = error(&POLICY.replace("\"0.2.3\"", &format!("\"{version}\"")));
        assert!(matches!(newer, LoadError::FrameworkVersion { .. }), "{version}");
    }
    let message = error(&POLICY.replace("0.2.3", "0.6.0")).to_string();
    assert_eq!(message, "the policy's framework_version 0.6.0 is not 0.5.0 or older");
    let missing = error(&POLICY.replace("framework_version := \"0.2.3\"", ""));
    assert!(matches!(missing, LoadError::FrameworkVersionMissing));
}

#[test]
fn the_framework_cannot_be_replaced() {
    for package in ["framework", "api", "policy.framework", "agent_policy"] {
        let error = error(&format!("package {package}\nmount_device := {{\"allowed\": true}}\n"));
        assert!(matches!(error, LoadError::Scan(ScanError::Package { .. })), "{package}");
    }
}

#[test]
fn an_endless_evaluation_ends() {
    // 10^12 steps.
    let rules = "n := numbers.range(1, 1000)\nmount_device := {\"allowed\": true} if {\n\
        some a in n\n some b in n\n some c in n\n some d in n\n a + b + c + d < 0\n}";
    let engine = Engine::load(policy(rules).as_bytes()).unwrap();
    assert_eq!(denied(&engine, mount_device(0, BASE)), ["the evaluation took too long"]);
}

#[test]
fn an_endless_function_is_not_taken_for_a_missing_value() {
    // Inside a function the interpreter takes its own time limit for one more mistake: `not` would be true.
    let rules = "n := numbers.range(1, 1000)\nslow(x) if {\n\
        some a in n\n some b in n\n some c in n\n some d in n\n a + b + c + d < x\n}\n\
        mount_device := {\"allowed\": true} if not slow(0)";
    let engine = Engine::load(policy(rules).as_bytes()).unwrap();
    assert_eq!(denied(&engine, mount_device(0, BASE)), ["the evaluation took too long"]);
}

#[test]
fn large_policies_load() {
    let (before, rest) = POLICY.split_once("containers := [").unwrap();
    let (first, rest) = rest.split_once(",{\"allow_elevated\"").unwrap();
    let padding = "x".repeat(TEXT_LENGTH_MAX);
    let many: Vec<String> = (0..999)
        .map(|number| first.replace("echo started", &format!("echo {number}")))
        .chain([first.replace("echo started", &padding)])
        .collect();
    let policy = format!("{before}containers := [{},{{\"allow_elevated\"{rest}", many.join(","));
    assert!(policy.len() > 1 << 20, "{}", policy.len());
    let summary = Engine::load(policy.as_bytes()).unwrap().summary();
    assert_eq!(summary.containers, 1001);
}

#[test]
fn a_text_that_is_too_long_is_refused() {
    let error = error(&policy(&format!("x := \"{}\"", "x".repeat(70_000))));
    assert!(
        matches!(&error, LoadError::Parse { message } if message.contains("maximum column width")),
        "{error}"
    );
}

#[test]
fn faults_far_to_the_right_are_reported() {
    let many = "\"entry\",".repeat(20_000);
    assert!(matches!(error(&policy(&format!("x := [{many} %]"))), LoadError::Parse { .. }));
    let fits = format!("mount_device := {{\"allowed\": count([{many}]) + input.deviceHash}}");
    assert!(!denied(&Engine::load(policy(&fits).as_bytes()).unwrap(), mount_device(0, BASE)).is_empty());
}

#[test]
fn errors_name_their_cause() {
    let error = error("package nothing");
    assert_eq!(error.to_string(), "the policy is not accepted");
    assert_eq!(error.source().unwrap().to_string(), "the package must be `policy`");
}
