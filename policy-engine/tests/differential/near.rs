//! Requests that are nearly others: one thing changed, or something that no guest would send.

use serde_json::{Value, json};

use crate::random::Random;

/// Texts that have surprised somebody's policy engine.
const TEXTS: [&str; 27] = [
    "",
    "/",
    ".",
    "..",
    "/run/mounts/scsi/m0",
    "/run/mounts/scsi/m0/",
    "/run/mounts/scsi/m",
    "/run/mounts/scsi/m0\n",
    "/run/gcs/c/s",
    "/run/gcs/c/s/sandboxMounts/tmp/x",
    "sandbox://",
    "sandbox:///tmp/x",
    "plan9://",
    "hugepages://",
    "c1",
    "c10",
    "aa",
    "AA",
    "A=1",
    "A",
    "=",
    "A=1\0",
    "é",
    "e\u{301}",
    "\u{430}a",
    ".*",
    "\u{1f600}",
];

/// `value` with one thing changed, somewhere inside.
pub(crate) fn miss(random: &mut Random, value: &Value) -> Value {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let mut fields = fields.clone();
            // What has parts counts more often.
            let has_parts =
                |value: &Value| value.as_array().is_some_and(|list| !list.is_empty()) || value.is_object();
            let weights = fields.iter().flat_map(|(name, value)| {
                std::iter::repeat_n(name.clone(), if has_parts(value) { 3 } else { 1 })
            });
            let names: Vec<String> = weights.collect();
            let name = random.pick(&names);
            fields[name] = miss(random, &fields[name].clone());
            Value::Object(fields)
        }
        Value::Array(list) => Value::Array(changed_list(random, list.clone())),
        Value::String(text) => Value::String(changed_text(random, text)),
        Value::Bool(flag) => Value::Bool(!flag),
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or_default();
            random.pick(&[json!(number + 1), json!(number - 1), json!(0), json!(15), json!(u64::MAX)]).clone()
        }
        other => other.clone(),
    }
}

fn changed_list(random: &mut Random, mut list: Vec<Value>) -> Vec<Value> {
    if list.is_empty() {
        list.push(json!(*random.pick(&TEXTS)));
        return list;
    }
    let index = random.below(list.len());
    match random.below(7) {
        0 => drop(list.remove(index)),
        1 => list.insert(index, list[index].clone()),
        2 => list.reverse(),
        3 => list.clear(),
        4 => list.push(list[index].clone()),
        _ => list[index] = miss(random, &list[index].clone()),
    }
    list
}

fn changed_text(random: &mut Random, text: &str) -> String {
    match random.below(6) {
        0 => format!("{text}{}", random.pick(&["x", "/", "=", "\n", " ", "\u{0}", "1"])),
        1 => format!("{}{text}", random.pick(&["x", "/", " ", "A="])),
        2 => text.chars().skip(1).collect(),
        3 => {
            let mut characters: Vec<char> = text.chars().collect();
            characters.pop();
            characters.into_iter().collect()
        }
        4 if text != text.to_uppercase() => text.to_uppercase(),
        _ => (*random.pick(&TEXTS)).to_owned(),
    }
}

/// `value` with one field from `other`, a request of the same kind.
pub(crate) fn crossed(random: &mut Random, value: &Value, other: &Value) -> Value {
    let mut crossed = value.clone();
    let names: Vec<&String> = other.as_object().unwrap().keys().collect();
    if !names.is_empty() {
        let name = *random.pick(&names);
        crossed[name] = other[name].clone();
    }
    crossed
}

/// `value` as no guest writes it: a field missing or too many, `null`, another type.
pub(crate) fn odd(random: &mut Random, value: &Value) -> Value {
    let strange = [
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(9.0),
        json!(1e300),
        json!("x"),
        json!([]),
        json!([[]]),
        json!([1]),
        json!({}),
        json!({ "id": "0" }),
    ];
    let Value::Object(fields) = value else { return random.pick(&strange).clone() };
    let mut fields = fields.clone();
    let names: Vec<String> = fields.keys().cloned().collect();
    if names.is_empty() || random.percent(10) {
        let name = *random.pick(&["metadata", "extra", "rule", "containerID", "Privileged"]);
        fields.insert(name.to_owned(), random.pick(&strange).clone());
        return Value::Object(fields);
    }
    let name = random.pick(&names);
    match random.below(3) {
        0 => drop(fields.remove(name)),
        1 => fields[name] = random.pick(&strange).clone(),
        _ => fields[name] = odd_within(random, &fields[name].clone(), &strange),
    }
    Value::Object(fields)
}

fn odd_within(random: &mut Random, value: &Value, strange: &[Value]) -> Value {
    match value {
        Value::Object(_) => odd(random, value),
        Value::Array(list) if !list.is_empty() => {
            let mut list = list.clone();
            let index = random.below(list.len());
            list[index] = odd_within(random, &list[index].clone(), strange);
            Value::Array(list)
        }
        _ => random.pick(strange).clone(),
    }
}
