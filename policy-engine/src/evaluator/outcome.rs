//! Reads the value of a rule. Whatever is not of the expected form is no allow.

use std::collections::HashSet;

use regorus::Value;
use serde_json::Value as Json;

use crate::amendment::Amendment;
use crate::request::CapabilitySets;

/// Why an allow cannot be carried out as the policy said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum OutcomeError {
    /// The environment to keep is no list of texts.
    #[error("the policy's env_list is malformed")]
    Environment,
    /// The capabilities to keep are not five lists of texts.
    #[error("the policy's caps_list is malformed")]
    Capabilities,
}

/// The input document: the request, and the state under `metadata`. A request has no such field itself.
pub(super) fn input(request: &Json, state: Value) -> Value {
    let mut input = Value::from(request.clone());
    if let Ok(fields) = input.as_object_mut() {
        fields.insert("metadata".into(), state);
    }
    input
}

/// A field of an answer; `null` is none.
pub(super) fn field<'a>(answer: &'a Value, name: &str) -> Option<&'a Value> {
    let field = answer.as_object().ok()?.get(&name.into())?;
    (!matches!(field, Value::Null | Value::Undefined)).then_some(field)
}

/// Only a clean `allowed: true` allows.
pub(super) fn is_allowed(answer: &Value) -> bool {
    field(answer, "allowed") == Some(&Value::Bool(true))
}

/// What the answer changes in `request`.
pub(super) fn amendment(answer: &Value, request: &Json) -> Result<Amendment, OutcomeError> {
    let env = field(answer, "env_list")
        .map(|kept| {
            let asked = request.get("envList").ok_or(OutcomeError::Environment)?;
            keep(asked, &texts(kept).ok_or(OutcomeError::Environment)?).ok_or(OutcomeError::Environment)
        })
        .transpose()?;
    let capabilities = field(answer, "caps_list")
        .map(|kept| {
            let asked = request.get("capabilities").ok_or(OutcomeError::Capabilities)?;
            capabilities(asked, kept).ok_or(OutcomeError::Capabilities)
        })
        .transpose()?;
    let allow_stdio_access = field(answer, "allow_stdio_access") == Some(&Value::Bool(true));
    Ok(Amendment { env, capabilities, allow_stdio_access })
}

fn capabilities(asked: &Json, kept: &Value) -> Option<CapabilitySets> {
    let set = |name: &str| keep(asked.get(name)?, &texts(field(kept, name)?)?);
    Some(CapabilitySets {
        bounding: set("bounding")?,
        effective: set("effective")?,
        inheritable: set("inheritable")?,
        permitted: set("permitted")?,
        ambient: set("ambient")?,
    })
}

/// The entries of `asked` that are in `kept`, in the order and as often as they were asked for. A policy can
/// only take away: what it adds is in no request.
fn keep(asked: &Json, kept: &HashSet<&str>) -> Option<Vec<String>> {
    let entries = asked.as_array()?.iter().map(Json::as_str).collect::<Option<Vec<_>>>()?;
    Some(entries.into_iter().filter(|entry| kept.contains(entry)).map(str::to_owned).collect())
}

/// The texts of a list or set.
fn texts(value: &Value) -> Option<HashSet<&str>> {
    let text = |value: &'_ Value| -> Option<()> { value.as_string().is_ok().then_some(()) };
    let members: Vec<&Value> = match value {
        Value::Array(list) => list.iter().collect(),
        Value::Set(set) => set.iter().collect(),
        _ => return None,
    };
    members.iter().try_for_each(|member| text(member))?;
    Some(members.into_iter().filter_map(|member| member.as_string().ok().map(AsRef::as_ref)).collect())
}

/// The reasons of a denial: `{"errors": [...]}` or a text. Other fields of a policy's reason may hold
/// anything, its own objects and the request's environment among them, and are not for the host.
pub(super) fn reasons(answer: &Value) -> Option<Vec<String>> {
    if let Value::String(reason) = answer {
        return Some(vec![reason.to_string()]);
    }
    let mut reasons: Vec<String> = texts(field(answer, "errors")?)?.into_iter().map(str::to_owned).collect();
    reasons.sort_unstable();
    Some(reasons)
}
