//! Replays decisions recorded from the engine that runs CCE policies in production today.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test: a malformed recording ends it"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;

use policy_engine::{Session, Snapshot};
use serde_json::{Map, Value};

/// What is compared of an answer. The state is compared through the answers that follow.
const COMPARED: [&str; 7] =
    ["allowed", "env_list", "caps_list", "allow_stdio_access", "parameters", "add_module", "allowed_ledgers"];

/// Reasons of ours that the recorded engine does not give. It names every condition that cannot be checked,
/// or none.
const OWN_REASONS: [&str; 7] = [
    "dumping stacks not allowed",
    "fragment svn is below the specified minimum",
    "host network not allowed",
    "mountpoint invalid",
    "no overlay mounted for container",
    "properties access not allowed",
    "runtime logging not allowed",
];

fn recordings() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("shared/vectors/cce-decisions/sessions.jsonl.gz");
    path.exists().then_some(path)
}

#[derive(Default)]
struct Tally {
    agree: usize,
    rules: BTreeMap<String, usize>,
    differences: Vec<String>,
}

#[test]
fn recorded_decisions_are_ours() {
    let Some(path) = recordings() else {
        eprintln!("skipped: no recorded decisions beside the repository");
        return;
    };
    let file = flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap());
    let mut tally = Tally::default();
    for line in BufReader::new(file).lines() {
        let session: Value = serde_json::from_str(&line.unwrap()).unwrap();
        replay(&session, &mut tally);
    }
    eprintln!("{} steps agree, {} differ; {:?}", tally.agree, tally.differences.len(), tally.rules);
    for difference in tally.differences.iter().take(20) {
        eprintln!("{difference}");
    }
    assert!(tally.differences.is_empty(), "{} answers differ", tally.differences.len());
    assert!(tally.agree > 3_000, "only {} answers were compared", tally.agree);
}

fn replay(session: &Value, tally: &mut Tally) {
    let id = &session["id"];
    let mut data: Map<String, Value> = session["data"].as_object().unwrap().clone();
    data.remove("metadata");
    let mut engine = match Session::load(session["policy"].as_str().unwrap().as_bytes(), data) {
        Ok(engine) => engine,
        Err(error) => {
            tally.differences.push(format!("session {id}: {error:?}"));
            return;
        }
    };
    let mut saved: Vec<Snapshot> = Vec::new();
    for (number, step) in session["steps"].as_array().unwrap().iter().enumerate() {
        let at = format!("session {id} step {number}");
        match step["op"].as_str().unwrap() {
            "query" => query(&mut engine, step, &at, tally),
            "add_module" => {
                let (namespace, code) = (step["namespace"].as_str().unwrap(), step["code"].as_str().unwrap());
                if let Err(error) = engine.add_fragment(namespace, code, &step["parameters"]) {
                    tally.differences.push(format!("{at}: {error:?}"));
                }
            }
            "remove_module" => {
                // `issuer>feed` or a namespace: with one fragment at a time it is the last one.
                engine.remove_last_fragment().unwrap();
            }
            "save_metadata" => saved.push(engine.save()),
            "restore_metadata" => engine.restore(&saved.pop().unwrap()),
            "update_data" => engine.set_data(step["key"].as_str().unwrap(), step["value"].clone()).unwrap(),
            other => panic!("{at}: unknown step {other}"),
        }
    }
}

fn query(engine: &mut Session, step: &Value, at: &str, tally: &mut Tally) {
    let rule = step["rule"].as_str().unwrap();
    let expected = &step["result"];
    let answer = engine.query(rule, &step["input"]);
    let agrees = match &answer {
        Err(_) => expected.is_null(),
        Ok(answer) if rule == "data.framework.enforcement_point_info" => answer == expected,
        Ok(answer) if rule == "data.policy.reason" => reasons_hold(answer, expected),
        Ok(answer) => COMPARED.iter().all(|field| answer.get(field) == expected.get(field)),
    };
    if agrees {
        tally.agree += 1;
        *tally.rules.entry(rule.to_owned()).or_default() += 1;
    } else {
        let text = |value: &dyn std::fmt::Debug| format!("{value:?}").chars().take(600).collect::<String>();
        tally.differences.push(format!(
            "{at}: {rule}\n  expected {}\n  got {}",
            text(expected),
            text(&answer)
        ));
    }
}

/// The recorded engine blames more than the cause, so that each of our reasons is one of its reasons, or one
/// of our own; and a denial that it explains is one that we explain.
fn reasons_hold(answer: &Value, expected: &Value) -> bool {
    let Some(expected) = expected.get("errors") else { return answer == expected };
    let (Some(ours), Some(theirs)) = (answer["errors"].as_array(), expected.as_array()) else { return false };
    let known = |reason: &Value| {
        theirs.contains(reason) || reason.as_str().is_some_and(|reason| OWN_REASONS.contains(&reason))
    };
    ours.iter().all(known) && (theirs.is_empty() || !ours.is_empty())
}
