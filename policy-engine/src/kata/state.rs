//! What a policy remembers: the entries of `data.pstate`.
//!
//! genpolicy's rules put names of their own (`sandbox_name`, `namespace`, ...) and the ids of containers, which
//! the host chooses, into one object. At the peer a host removes a container named `sandbox_name` and with it
//! what holds all containers to one pod. Each entry has an owner here, and no request reaches another's entry.

use std::collections::BTreeMap;

use regorus::Value;

/// The most entries. A pod has three and one for each container.
pub(super) const ENTRIES_MAX: usize = 4096;

/// The longest key, in bytes. A container id has 64.
pub(super) const KEY_BYTES_MAX: usize = 255;

/// The largest value, in bytes of its JSON: room for a path.
pub(super) const VALUE_BYTES_MAX: usize = 8192;

/// Where the entries lie in the data document.
const ROOT: &str = "/pstate/";

/// Why an operation on the state is refused. The request that asked for it is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Not `{"op", "path", "value"}`, or another operation than `add`, `replace` and `remove`.
    #[error("it is not an add, replace or remove of one value")]
    Malformed,
    /// A path that is not `/pstate/` and one key.
    #[error("it is not on an entry of /pstate")]
    Path,
    /// Another operation of the same answer has the same key. A container that is named as an entry of the
    /// sandbox gets there before the sandbox does.
    #[error("it is the second one on one entry")]
    Twice,
    /// The entry belongs to the sandbox or to another container.
    #[error("the entry is not the container's")]
    NotOwned,
    /// There is nothing to replace or remove.
    #[error("there is no such entry")]
    Missing,
    /// A request that only reads may not change state.
    #[error("the request may not change state")]
    Passing,
    /// Longer or more than the limits.
    #[error("it exceeds a limit")]
    TooLarge,
}

/// Who put an entry there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// A key that the policy names.
    Sandbox,
    /// A key that is the id of the container in the request.
    Container,
}

/// Operations that were checked and wait for their request to happen.
#[derive(Debug, Default)]
pub(super) struct Change(BTreeMap<String, Action>);

#[derive(Debug)]
enum Action {
    Put(Owner, Value),
    Remove,
}

/// The entries.
#[derive(Debug)]
pub(super) struct State {
    owners: BTreeMap<String, Owner>,
    /// The same keys with their values, as the policy reads them.
    document: Value,
}

impl State {
    pub(super) fn new() -> Self {
        Self { owners: BTreeMap::new(), document: Value::new_object() }
    }

    /// What the policy reads as `data.pstate`.
    pub(super) fn document(&self) -> Value {
        self.document.clone()
    }

    /// Whether a request may name a container so: as no entry of the sandbox is named, and without the signs
    /// that a path gives meaning to, because genpolicy's rules do not escape them.
    pub(super) fn is_container_id(&self, id: &str) -> bool {
        id.len() <= KEY_BYTES_MAX
            && !id.contains(|character: char| matches!(character, '/' | '~') || character.is_control())
            && self.owners.get(id) != Some(&Owner::Sandbox)
    }

    /// Checks the operations of an answer to a request about `container`.
    pub(super) fn stage(&self, operations: &[Value], container: Option<&str>) -> Result<Change, StateError> {
        let mut change = BTreeMap::new();
        for operation in operations {
            let (key, action) = self.check(operation, container)?;
            if change.insert(key, action).is_some() {
                return Err(StateError::Twice);
            }
        }
        let added = change.keys().filter(|key| !self.owners.contains_key(*key)).count();
        if self.owners.len().saturating_add(added) > ENTRIES_MAX {
            return Err(StateError::TooLarge);
        }
        Ok(Change(change))
    }

    fn check(&self, operation: &Value, container: Option<&str>) -> Result<(String, Action), StateError> {
        let text = |name: &str| match &operation[name] {
            Value::String(text) => Ok(text.clone()),
            _ => Err(StateError::Malformed),
        };
        let key = key(&text("path")?)?;
        let owner = if container == Some(key.as_str()) { Owner::Container } else { Owner::Sandbox };
        let (action, on_present) = match &*text("op")? {
            "add" => (Action::Put(owner, value(operation)?), false),
            "replace" => (Action::Put(owner, value(operation)?), true),
            "remove" => (Action::Remove, true),
            _ => return Err(StateError::Malformed),
        };
        match self.owners.get(&key) {
            Some(present) if *present != owner => Err(StateError::NotOwned),
            None if on_present => Err(StateError::Missing),
            _ => Ok((key, action)),
        }
    }

    /// The request happened.
    pub(super) fn commit(&mut self, change: Change) {
        for (key, action) in change.0 {
            let Ok(entries) = self.document.as_object_mut() else { continue };
            match action {
                Action::Put(owner, value) => {
                    entries.insert(key.as_str().into(), value);
                    self.owners.insert(key, owner);
                }
                Action::Remove => {
                    entries.remove(&key.as_str().into());
                    self.owners.remove(&key);
                }
            }
        }
    }
}

/// The one key that a JSON pointer names below `/pstate`.
fn key(path: &str) -> Result<String, StateError> {
    let escaped = path.strip_prefix(ROOT).filter(|key| !key.contains('/')).ok_or(StateError::Path)?;
    let mut parts = escaped.split('~');
    let mut key = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match part.split_at_checked(1) {
            Some(("0", rest)) => ('~', rest),
            Some(("1", rest)) => ('/', rest),
            _ => return Err(StateError::Path),
        };
        key.push(sign);
        key.push_str(rest);
    }
    if key.len() <= KEY_BYTES_MAX { Ok(key) } else { Err(StateError::TooLarge) }
}

fn value(operation: &Value) -> Result<Value, StateError> {
    let value = &operation["value"];
    if *value == Value::Undefined {
        return Err(StateError::Malformed);
    }
    let text = serde_json::to_string(value).map_err(|_| StateError::Malformed)?;
    if text.len() <= VALUE_BYTES_MAX { Ok(value.clone()) } else { Err(StateError::TooLarge) }
}

#[cfg(test)]
mod tests;
