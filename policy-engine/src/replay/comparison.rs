//! When two answers to one question are the same.

use std::collections::BTreeSet;

use serde_json::Value as Json;

/// How answers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// What a guest acts on: allowed or not, and of what is allowed the environment, the capabilities and the
    /// access to output that remain; of the API's answer about an enforcement point what decides there.
    /// Of a reason only whether there is one.
    Decisions,
    /// Also undefined against denied, orders of lists, what fragments and trust lists are given, and the reasons
    /// of a denial: each of ours must be one of the recorded engine's, or one that it does not give at all.
    Strict,
}

/// An answer to a question.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// The value of the rule; null for undefined.
    Value(Json),
    /// There was none, for this reason. No engine allows then.
    Failed(String),
}

/// Where two answers differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// The part of the answer.
    pub(super) field: &'static str,
    pub(super) recorded: String,
    pub(super) given: String,
}

const POINT_INFO: &str = "data.framework.enforcement_point_info";
const REASONS: [&str; 2] = ["data.policy.reason", "data.framework.reason"];

/// What the API says of a point apart from its default answer.
const POINT_FLAGS: [&str; 5] = ["available", "invalid", "unknown", "use_framework", "version_missing"];

const CAPABILITY_SETS: [&str; 5] = ["ambient", "bounding", "effective", "inheritable", "permitted"];

/// What a strict comparison looks at, to the letter.
const STRICT: [&str; 7] =
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

/// The longest part of an answer that is kept, in characters.
const SHOWN_MAX: usize = 400;

impl Comparison {
    /// Where `given` differs from `recorded`, both answers to `rule` over `input`.
    pub(super) fn mismatch(
        self,
        rule: &str,
        input: &Json,
        recorded: &Answer,
        given: &Answer,
    ) -> Option<Mismatch> {
        let field = if rule == POINT_INFO {
            self.point_info(recorded, given)
        } else if REASONS.contains(&rule) {
            self.reason(recorded, given)
        } else {
            self.decision(input, recorded, given)
        }?;
        Some(Mismatch { field, recorded: recorded.shown(field), given: given.shown(field) })
    }

    fn decision(self, input: &Json, recorded: &Answer, given: &Answer) -> Option<&'static str> {
        if recorded.allows() != given.allows() {
            return Some("allowed");
        }
        if self == Self::Strict
            && let (Answer::Value(recorded), Answer::Value(given)) = (recorded, given)
        {
            if recorded.is_null() != given.is_null() {
                return Some("allowed");
            }
            if !recorded.is_object() && recorded != given {
                return Some("value");
            }
            return STRICT.into_iter().find(|field| recorded.get(field) != given.get(field));
        }
        if recorded.allows() { remaining(input, recorded, given) } else { None }
    }

    fn point_info(self, recorded: &Answer, given: &Answer) -> Option<&'static str> {
        let same = match self {
            Self::Strict => recorded.value() == given.value(),
            Self::Decisions => {
                let default = |answer: &Answer| Answer::Value(answer.field("default_results").clone());
                let (recorded_default, given_default) = (default(recorded), default(given));
                POINT_FLAGS.iter().all(|flag| recorded.field(flag) == given.field(flag))
                    && recorded_default.allows() == given_default.allows()
                    && remaining(&Json::Null, &recorded_default, &given_default).is_none()
            }
        };
        (!same).then_some("enforcement point")
    }

    fn reason(self, recorded: &Answer, given: &Answer) -> Option<&'static str> {
        let explained = |answer: &Answer| !answer.value().is_null();
        let same = match self {
            Self::Strict => reasons_hold(recorded.value(), given.value()),
            Self::Decisions => explained(given) || !explained(recorded),
        };
        (!same).then_some("reason")
    }
}

/// What is left of an allowed request.
fn remaining(input: &Json, recorded: &Answer, given: &Answer) -> Option<&'static str> {
    if environment(input, recorded) != environment(input, given) {
        return Some("env_list");
    }
    if capabilities(input, recorded) != capabilities(input, given) {
        return Some("caps_list");
    }
    let stdio = |answer: &Answer| *answer.field("allow_stdio_access") == Json::Bool(true);
    (stdio(recorded) != stdio(given)).then_some("allow_stdio_access")
}

fn environment<'a>(input: &'a Json, answer: &'a Answer) -> BTreeSet<&'a str> {
    kept(&input["envList"], answer.field("env_list"))
}

fn capabilities<'a>(input: &'a Json, answer: &'a Answer) -> [BTreeSet<&'a str>; 5] {
    let (asked, answered) = (&input["capabilities"], answer.field("caps_list"));
    CAPABILITY_SETS.map(|set| kept(&asked[set], &answered[set]))
}

/// What a guest keeps of a list that was asked for: all of it where the answer has no list of its own.
fn kept<'a>(asked: &'a Json, answered: &'a Json) -> BTreeSet<&'a str> {
    let texts = |list: &'a Json| list.as_array().into_iter().flatten().filter_map(Json::as_str);
    if answered.is_null() {
        return texts(asked).collect();
    }
    let answered: BTreeSet<&str> = texts(answered).collect();
    if asked.is_null() { answered } else { texts(asked).filter(|text| answered.contains(text)).collect() }
}

/// The recorded engine blames more than the cause, so that each of our reasons is one of its reasons, or one
/// of our own; and a denial that it explains is one that we explain.
fn reasons_hold(recorded: &Json, given: &Json) -> bool {
    let Some(recorded) = recorded.get("errors") else { return recorded == given };
    let (Some(ours), Some(theirs)) = (given.get("errors").and_then(Json::as_array), recorded.as_array())
    else {
        return false;
    };
    let known = |reason: &Json| {
        theirs.contains(reason) || reason.as_str().is_some_and(|reason| OWN_REASONS.contains(&reason))
    };
    ours.iter().all(known) && (theirs.is_empty() || !ours.is_empty())
}

impl Answer {
    fn value(&self) -> &Json {
        match self {
            Self::Value(value) => value,
            Self::Failed(_) => &Json::Null,
        }
    }

    fn field(&self, name: &str) -> &Json {
        self.value().get(name).unwrap_or(&Json::Null)
    }

    /// Only a clean `allowed: true` allows.
    fn allows(&self) -> bool {
        *self.field("allowed") == Json::Bool(true)
    }

    /// The part that a comparison ended at, shortened.
    fn shown(&self, field: &str) -> String {
        let text = match self {
            Self::Failed(error) => format!("failed: {error}"),
            Self::Value(Json::Null) => "undefined".to_owned(),
            Self::Value(value) => value.get(field).unwrap_or(value).to_string(),
        };
        let mut characters = text.chars();
        let mut shown: String = characters.by_ref().take(SHOWN_MAX).collect();
        if characters.next().is_some() {
            shown.push('…');
        }
        shown
    }
}

#[cfg(test)]
mod tests;
