//! Policies of the form that `az confcom` writes: each of their containers can be created, and not with one
//! thing changed.
//!
//! The requests are made from the policy's own objects. So the same test judges policies that are not of this
//! repository: `CCE_POLICIES=DIRECTORY cargo test -p policy-engine --test confcom_cases -- --ignored`.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop"
)]

mod evaluators;
mod near_misses;
mod request;

use std::path::Path;

use policy_engine::{EvaluatorKind, Session};
use serde_json::{Value as Json, json};

use evaluators::{all, load};
use near_misses::near_misses;
use request::{Attempt, CAPABILITY, allowed};

const TEMPLATE: &str = include_str!("template.rego");

/// How many changes of one container's creation must be denied at least.
const NEAR_MISSES_MIN: usize = 10;

const CASES: [(&str, &str); 6] = [
    ("command", include_str!("cases/command.json")),
    ("environment_variables", include_str!("cases/environment_variables.json")),
    ("minimal", include_str!("cases/minimal.json")),
    ("multi_containers", include_str!("cases/multi_containers.json")),
    ("security_context_capabilities_add", include_str!("cases/security_context_capabilities_add.json")),
    ("volume_mounts", include_str!("cases/volume_mounts.json")),
];

/// What every container of the cases has, and what the pause container has instead.
const CONTAINER: &str = include_str!("cases/container.json");
const PAUSE: &str = include_str!("cases/pause.json");

fn json(text: &str) -> Json {
    serde_json::from_str(text).expect("JSON")
}

/// The text of a case's policy, on one line for its containers as in real ones.
fn policy(case: &str, dropping: bool) -> String {
    let container = json(CONTAINER);
    let with = |changes: &Json| {
        let mut container = container.clone();
        for (name, value) in changes.as_object().expect("an object") {
            container[name] = value.clone();
        }
        container
    };
    let mut containers: Vec<Json> = json(case).as_array().expect("a list").iter().map(with).collect();
    containers.push(with(&json(PAUSE)));
    let text = TEMPLATE.replace("@CONTAINERS@", &Json::from(containers).to_string());
    text.replace("@DROPPING@", if dropping { "true" } else { "false" })
}

/// What the guest keeps beside a policy, as far as these requests touch it.
fn data() -> Json {
    json!({
        "defaultMounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        ],
        "privilegedMounts": [],
        "defaultPrivilegedCapabilities": [CAPABILITY], "defaultUnprivilegedCapabilities": [CAPABILITY],
        "sandboxPrefix": "sandbox://", "hugePagesPrefix": "hugepages://", "plan9Prefix": "plan9://",
    })
}

/// Runs each container of a policy and its near misses: how many near misses there were for each, and how many
/// questions were answered natively.
fn judge(name: &str, policy: &str, evaluator: EvaluatorKind) -> (Vec<usize>, u64) {
    let mut session = load(policy.as_bytes(), data(), evaluator);
    let mut value = |name: &str| session.query(&format!("data.policy.{name}"), &json!({})).expect("a value");
    let containers = value("containers");
    let dropping = (
        value("allow_environment_variable_dropping") == Json::Bool(true),
        value("allow_capability_dropping") == Json::Bool(true),
    );
    let start = session.save();
    let mut counts = Vec::new();
    for (index, container) in containers.as_array().expect("containers").iter().enumerate() {
        let at = format!("{name}, containers[{index}], {evaluator:?}");
        let attempt = allowed(container);
        creates(&at, &mut session, &attempt, container);
        session.restore(&start);
        drops(&at, &mut session, &attempt, dropping);
        let misses = near_misses(&attempt, container, dropping);
        for miss in &misses {
            session.restore(&start);
            denies(&format!("{at}, {}", miss.change), &mut session, &miss.attempt);
        }
        session.restore(&start);
        counts.push(misses.len());
    }
    (counts, session.native_answers())
}

fn ask(session: &mut Session, rule: &str, input: &Json) -> Json {
    session.query(&format!("data.policy.{rule}"), input).expect("an answer")
}

fn set(list: &Json) -> Vec<&str> {
    let mut texts: Vec<&str> = list.as_array().expect("a list").iter().filter_map(Json::as_str).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

const SETS: [&str; 5] = ["ambient", "bounding", "effective", "inheritable", "permitted"];

/// Everything is allowed, and nothing of the request is dropped.
fn creates(at: &str, session: &mut Session, attempt: &Attempt, container: &Json) {
    let mut answer = Json::Null;
    for (rule, input) in &attempt.questions {
        answer = ask(session, rule, input);
        assert_eq!(answer["allowed"], json!(true), "{at}: {rule} {input}: {answer}");
    }
    let request = attempt.creation();
    assert_eq!(set(&answer["env_list"]), set(&request["envList"]), "{at}");
    for name in SETS {
        assert_eq!(set(&answer["caps_list"][name]), set(&request["capabilities"][name]), "{at}: {name}");
    }
    assert_eq!(answer["allow_stdio_access"], container["allow_stdio_access"], "{at}");
}

/// What the policy does not name is dropped where it may be.
fn drops(at: &str, session: &mut Session, attempt: &Attempt, (environment, capabilities): (bool, bool)) {
    let mut more = attempt.clone();
    let request = more.creation_mut();
    if environment {
        request["envList"].as_array_mut().expect("a list").push(json!("LD_PRELOAD=/host.so"));
    }
    if capabilities {
        let ambient = request["capabilities"]["ambient"].as_array_mut().expect("a list");
        ambient.push(json!("CAP_MAC_ADMIN"));
    }
    let mut answer = Json::Null;
    for (rule, input) in &more.questions {
        answer = ask(session, rule, input);
    }
    assert_eq!(answer["allowed"], json!(true), "{at}: {answer}");
    assert_eq!(set(&answer["env_list"]), set(&attempt.creation()["envList"]), "{at}");
    let ambient = &attempt.creation()["capabilities"]["ambient"];
    assert_eq!(set(&answer["caps_list"]["ambient"]), set(ambient), "{at}");
}

/// The last question is denied, all before it are allowed.
fn denies(at: &str, session: &mut Session, attempt: &Attempt) {
    let (last, before) = attempt.questions.split_last().expect("questions");
    for (rule, input) in before {
        let answer = ask(session, rule, input);
        assert_eq!(answer["allowed"], json!(true), "{at}: {rule} before it: {answer}");
    }
    let (rule, input) = last;
    let answer = ask(session, rule, input);
    assert_eq!(answer["allowed"], json!(false), "{at}: {rule} {input}: {answer}");
}

#[test]
fn containers_are_created_and_near_misses_are_denied() {
    for evaluator in all() {
        for (name, case) in CASES {
            for dropping in [true, false] {
                let (counts, native) = judge(name, &policy(case, dropping), evaluator);
                assert_eq!(native > 0, evaluator == EvaluatorKind::Native, "{name}, {evaluator:?}: {native}");
                assert!(counts.iter().all(|count| *count >= NEAR_MISSES_MIN), "{name}: {counts:?}");
            }
        }
    }
}

#[test]
#[ignore = "judges the policies in the directory CCE_POLICIES"]
fn policies_of_others_are_judged_alike() {
    let directory = std::env::var("CCE_POLICIES").expect("CCE_POLICIES names a directory");
    let mut files: Vec<_> = Path::new(&directory)
        .read_dir()
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rego"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no policies in {directory}");
    for file in files {
        let policy = std::fs::read_to_string(&file).expect("a text");
        for evaluator in all() {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (counts, native) = judge(&name, &policy, evaluator);
            eprintln!(
                "{name}, {evaluator:?}: near misses of each container {counts:?}, all denied; {native} answers native"
            );
        }
    }
}
