//! The objects of a policy that the interpreter judges by, typed, to explain its denials.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use regorus::Value;
use serde_json::Value as Json;

use super::limits::EXPLANATION_TIME_MAX;
use super::rego::Rego;
use crate::explanation::{self, Explanation};
use crate::native::Native;
use crate::question::Question;

/// What an explanation looks at.
const NAMES: [&str; 9] = [
    "api_version",
    "api_svn",
    "framework_version",
    "framework_svn",
    "containers",
    "external_processes",
    "platform_rules",
    "allow_environment_variable_dropping",
    "allow_capability_dropping",
];

/// What can be said of the denial of `question` beside its reasons, with `data` beside the policy and the state
/// `document`. Nothing where the policy's objects are not of the framework's shape, or take too long.
pub(super) fn explain(
    rego: &mut Rego,
    data: Json,
    document: &Value,
    question: &Question<'_>,
) -> Option<Explanation> {
    if !explanation::compares_objects(question) {
        return None;
    }
    let container_id = match question {
        Question::CreateContainer(question) => Some(question.container_id),
        Question::ExecInContainer(question) => Some(question.container_id),
        Question::SignalContainerProcess(question) => Some(question.container_id),
        _ => None,
    };
    view(rego, data, &about(document.clone(), container_id)?)?.explain(question)
}

/// The state without other containers. The host adds containers, each with all that it may turn out to be: the
/// interpreter shares these between containers, the typed form would not.
fn about(mut document: Value, container_id: Option<&str>) -> Option<Value> {
    let names = document.as_object_mut().ok()?;
    for name in ["matches", "started"] {
        let mut kept = Value::new_object();
        if let Some(id) = container_id
            && let Some(entry) = names.get(&name.into())?.as_object().ok()?.get(&id.into())
        {
            kept.as_object_mut().ok()?.insert(id.into(), entry.clone());
        }
        names.insert(name.into(), kept);
    }
    Some(document)
}

/// A policy of the same objects that only lists them. It never decides.
fn view(rego: &mut Rego, data: Json, document: &Value) -> Option<Native> {
    let Json::Object(data) = data else { return None };
    let started = Instant::now();
    let mut text = "package policy\n".to_owned();
    for name in NAMES {
        let mut input = Value::new_object();
        input.as_object_mut().ok()?.insert("metadata".into(), document.clone());
        let left =
            EXPLANATION_TIME_MAX.checked_sub(started.elapsed()).filter(|left| *left > Duration::ZERO)?;
        if let Ok(value) = rego.evaluate(&format!("data.policy.{name}"), input, left)
            && value != Value::Undefined
        {
            writeln!(text, "{name} := {}", value.to_json_str().ok()?).ok()?;
        }
    }
    let mut view = Native::load(&text, &data)?;
    view.take_over(document).then_some(view)
}
