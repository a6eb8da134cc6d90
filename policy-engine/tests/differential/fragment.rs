//! Fragments and trust lists: pieces of policy that come later.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::objects::{self, FEEDS, ISSUERS, LEDGERS};
use crate::policy::Policy;
use crate::random::Random;
use crate::story::{Question, Step, question};

/// May a fragment be looked at? With the issuer's entry of the policy, if there is one.
pub(crate) fn first_question(random: &mut Random, policy: &Policy) -> (Question, Value) {
    let fragments = policy.list("fragments");
    let entry = if fragments.is_empty() { json!({}) } else { random.pick(&fragments).clone() };
    let issuer = entry.get("issuer").cloned().unwrap_or_else(|| json!(*random.pick(&ISSUERS)));
    let feed = entry.get("feed").cloned().unwrap_or_else(|| json!(*random.pick(&FEEDS)));
    let has_header_svn = random.percent(60);
    let receipts = match random.below(3) {
        0 => json!([]),
        1 => json!([{ "issuer": "l.example", "ttl_subjects": [] }]),
        _ => json!([{ "issuer": *random.pick(&LEDGERS), "ttl_subjects": ["s"] }]),
    };
    let input = json!({
        "issuer": issuer,
        "feed": feed,
        "namespace": "piece",
        "fragment_loaded": false,
        "has_header_svn": has_header_svn,
        "header_svn": if has_header_svn { json!(random.below(4)) } else { Value::Null },
        "receipts": receipts,
    });
    (question("load_fragment", input), entry)
}

/// Loads a fragment as a guest does: asks, adds the text, asks again, and takes it out unless its namespace
/// is wanted. Returns the containers that it may bring.
pub(crate) fn load(random: &mut Random, policy: &Policy, steps: &mut Vec<Step>) -> Vec<Value> {
    let (Question { point, mut input }, entry) = first_question(random, policy);
    let rule = format!("data.policy.{point}");
    steps.push(Step::Query { rule: rule.clone(), input: input.clone(), explain: true });
    let containers = objects::containers(random, 3);
    let mut text = "package piece\n\n".to_owned();
    let mut value = |name: &str, value: &Value| writeln!(text, "{name} := {value}").unwrap();
    if input["has_header_svn"] == true && random.percent(60) {
        value("svn", &input["header_svn"]);
    } else if random.percent(80) {
        value("svn", random.pick(&[json!(2), json!("2"), json!("1.2.0")]));
    }
    value("framework_version", &json!(*random.pick(&["0.5.0", "0.5.0", "0.2.3", "0.6.0"])));
    value("containers", &json!(containers));
    if random.percent(50) {
        value("external_processes", &json!(objects::external_processes(random)));
        value("platform_rules", &json!(objects::platform_rules(random)));
        value("fragments", &json!(objects::fragments(random)));
        value("transparency_trust_lists", &json!(objects::trust_lists(random)));
    }
    let parameters = entry.get("parameters").cloned().unwrap_or_else(|| json!({}));
    steps.push(Step::AddFragment { namespace: "piece", text, parameters });
    input["fragment_loaded"] = json!(true);
    steps.push(Step::Query { rule, input, explain: true });
    if !random.percent(20) {
        steps.push(Step::RemoveFragment);
    }
    containers
}

/// May these ledgers count?
pub(crate) fn trust_list(random: &mut Random, policy: &Policy) -> Question {
    let lists = policy.list("transparency_trust_lists");
    let list = if lists.is_empty() { json!({}) } else { random.pick(&lists).clone() };
    let mut ledgers: Vec<Value> = random.some(&LEDGERS, 3).into_iter().map(Value::from).collect();
    ledgers.extend(list["allowed_ledgers"].as_array().into_iter().flatten().cloned());
    let input = json!({
        "issuer": list.get("issuer").cloned().unwrap_or_else(|| json!(*random.pick(&ISSUERS))),
        "subject": list.get("subject").cloned().unwrap_or_else(|| json!("s")),
        "svn": 1 + random.below(3),
        "ledgers": ledgers,
    });
    question("load_transparency_trust_list", input)
}
