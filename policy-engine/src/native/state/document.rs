//! The state as the document that rules read, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regorus::Value;
use serde_json::{Map, Value as Json, json};

use super::{Fragments, State};
use crate::native::objects::{FRAMEWORK, Reader};
use crate::native::policy::Candidate;

impl Candidate {
    /// As rules read it: the container with what the platform's rule adds.
    pub(crate) fn to_json(&self) -> Json {
        self.container.to_json(self.rule.as_deref())
    }
}

impl State {
    /// The document.
    pub(crate) fn to_document(&self) -> Value {
        let mut document = Value::new_object();
        let Ok(names) = document.as_object_mut() else { return document };
        let mut put = |name: &str, value: Value| {
            names.insert(name.into(), value);
        };
        put("devices", map(&self.devices, |hash| json!(**hash)));
        put("rw_devices", set(&self.rw_devices));
        put("scratch_mounts", map(&self.scratch_mounts, |encrypted| json!({ "encrypted": encrypted })));
        put("overlayTargets", set(&self.overlay_targets));
        put("p9mounts", map(&self.p9mounts, |container| json!(**container)));
        put("matches", map(&self.matches, |candidates| candidates.iter().map(Candidate::to_json).collect()));
        put("started", map(&self.started, |privileged| json!({ "privileged": privileged })));
        put("issuers", self.fragments.issuers.clone());
        put("fragment_parameters", self.fragments.parameters.clone());
        document
    }

    /// The state that `document` is; `None` if some of it has no typed form. Candidates that `self` has are
    /// shared.
    pub(crate) fn read_document(&self, document: &Value, reader: &mut Reader) -> Option<Self> {
        let mut names = document.as_object().ok()?.clone();
        let mut take = |name: &str| names.remove(&name.into());
        let issuers = take("issuers")?;
        let parameters = take("fragment_parameters")?;
        parameters.as_set().ok()?;
        let mut entries = |name: &str| match strict_json(&take(name)?)? {
            Json::Object(entries) => Some(entries),
            _ => None,
        };
        let state = Self {
            devices: read(entries("devices")?, |_, hash| Some(hash.as_str()?.into()))?,
            rw_devices: read_set(entries("rw_devices")?)?,
            scratch_mounts: read(entries("scratch_mounts")?, |_, scratch| {
                only(scratch, "encrypted")?.as_bool()
            })?,
            overlay_targets: read_set(entries("overlayTargets")?)?,
            p9mounts: read(entries("p9mounts")?, |_, container| Some(container.as_str()?.into()))?,
            matches: read(entries("matches")?, |id, list| self.candidates(id, list, reader))?,
            started: read(entries("started")?, |_, started| only(started, "privileged")?.as_bool())?,
            fragments: if self.fragments.issuers == issuers && self.fragments.parameters == parameters {
                Arc::clone(&self.fragments)
            } else {
                Arc::new(Fragments::read(issuers, parameters, reader)?)
            },
        };
        names.is_empty().then_some(state)
    }

    fn candidates(&self, container_id: &str, list: &Json, reader: &mut Reader) -> Option<Arc<[Candidate]>> {
        let list = list.as_array()?;
        if let Some(known) = self.matches.get(container_id)
            && known.len() == list.len()
            && known.iter().zip(list).all(|(known, json)| known.to_json() == *json)
        {
            return Some(Arc::clone(known));
        }
        let candidate = |json: &Json| {
            let candidate = Candidate { container: Arc::new(reader.container(json, FRAMEWORK)?), rule: None };
            // What it says beyond the typed form must not get lost.
            (candidate.to_json() == with_sorted_capabilities(json)).then_some(candidate)
        };
        list.iter().map(candidate).collect()
    }
}

/// A container with its capabilities in the order of the typed form: theirs means nothing.
fn with_sorted_capabilities(container: &Json) -> Json {
    let mut container = container.clone();
    if let Some(Json::Object(sets)) = container.get_mut("capabilities") {
        for set in sets.values_mut().filter_map(Json::as_array_mut) {
            set.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
        }
    }
    container
}

impl Fragments {
    fn read(issuers: Value, parameters: Value, reader: &mut Reader) -> Option<Self> {
        let mut fragments = Self { issuers, parameters, ..Self::default() };
        for issuer in fragments.issuers.clone().as_object().ok()?.values() {
            let feeds = issuer.as_object().ok()?.get(&"feeds".into())?;
            for loaded in feeds.as_object().ok()?.values() {
                for part in loaded.as_array().ok()?.iter() {
                    fragments.read_part(part, reader)?;
                }
            }
        }
        Some(fragments)
    }

    /// Reads what one loaded fragment added.
    fn read_part(&mut self, part: &Value, reader: &mut Reader) -> Option<()> {
        let part = part.as_object().ok()?;
        let list = |name: &str| match part.get(&name.into()) {
            Some(list) => match strict_json(list)? {
                Json::Array(list) => Some(list),
                _ => None,
            },
            None => Some(Vec::new()),
        };
        for json in list("containers")? {
            self.containers.push(Arc::new(reader.container(&json, FRAMEWORK)?));
        }
        for json in list("external_processes")? {
            self.external_processes.push(Arc::new(reader.external_process(&json)?));
        }
        for json in list("platform_rules")? {
            self.platform_rules.push(Arc::new(reader.platform_rule(&json)?));
        }
        Some(())
    }
}

fn map<T>(entries: &BTreeMap<Box<str>, T>, value: impl Fn(&T) -> Json) -> Value {
    let entries = entries.iter().map(|(key, entry)| (key.to_string(), value(entry)));
    Value::from(Json::Object(entries.collect::<Map<_, _>>()))
}

fn set(entries: &BTreeSet<Box<str>>) -> Value {
    Value::from(Json::Object(entries.iter().map(|key| (key.to_string(), Json::Bool(true))).collect()))
}

fn read<T>(
    entries: Map<String, Json>,
    mut value: impl FnMut(&str, &Json) -> Option<T>,
) -> Option<BTreeMap<Box<str>, T>> {
    let entry = |(key, json): (String, Json)| {
        let entry = value(&key, &json)?;
        Some((key.into(), entry))
    };
    entries.into_iter().map(entry).collect()
}

fn read_set(entries: Map<String, Json>) -> Option<BTreeSet<Box<str>>> {
    entries.into_iter().map(|(key, json)| (json == Json::Bool(true)).then(|| key.into())).collect()
}

/// The field `name` of an object that has no other.
fn only<'j>(json: &'j Json, name: &str) -> Option<&'j Json> {
    let fields = json.as_object()?;
    fields.get(name).filter(|_| fields.len() == 1)
}

/// `value` as JSON. JSON has no sets: rules would read a list where they read a set before.
fn strict_json(value: &Value) -> Option<Json> {
    match value {
        Value::Object(fields) => {
            let field = |(key, value): (&Value, &Value)| {
                Some((key.as_string().ok()?.to_string(), strict_json(value)?))
            };
            fields.iter().map(field).collect::<Option<Map<_, _>>>().map(Json::Object)
        }
        Value::Array(list) => list.iter().map(strict_json).collect::<Option<Vec<_>>>().map(Json::Array),
        Value::Set(_) | Value::Undefined => None,
        other => serde_json::to_value(other).ok(),
    }
}

#[cfg(test)]
mod tests;
