//! What has happened so far: the state that decisions read and that completed requests change.
//!
//! State lives here and not in the evaluator's data document: a change of that document makes the evaluator
//! prepare the whole policy anew. Rules see it as `input.metadata`. A change costs what it changes.

use std::collections::BTreeMap;

use regorus::Value;

use super::limits::STATE_ENTRIES_MAX;

/// The names that rules may read before anything was added under them.
const MAPS: [&str; 8] = [
    "devices",
    "issuers",
    "matches",
    "overlayTargets",
    "p9mounts",
    "rw_devices",
    "scratch_mounts",
    "started",
];
const SETS: [&str; 1] = ["fragment_parameters"];

/// The most changes of one decision.
const OPERATIONS_MAX: usize = 1024;

/// Why the changes of an allowed request are not accepted. The request is denied then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MetadataError {
    /// Not a list of objects with name, action, key and value as they must be.
    #[error("the policy's state change is malformed")]
    Malformed,
    /// More changes than one decision may make.
    #[error("the policy changes more than {OPERATIONS_MAX} entries of its state at once")]
    TooMany,
    /// The state has no room for another entry: a host cannot make the guest remember more and more.
    #[error("the policy's state has {STATE_ENTRIES_MAX} entries already")]
    Full,
    /// An entry is added twice, for example a second device at one mount point.
    #[error("`{name}` has an entry of this key already")]
    Exists {
        /// The map.
        name: String,
    },
}

/// The state: `name -> key -> value`, and sets. A clone is cheap: it shares what does not change after.
#[derive(Debug, Clone)]
pub(crate) struct Metadata(Value);

/// Checked changes that wait for their request to be carried out.
#[derive(Debug, Default)]
pub(crate) struct Change(Vec<Operation>);

#[derive(Debug)]
enum Operation {
    Put { name: Value, key: Value, value: Value },
    Remove { name: Value, key: Value },
    Include { name: Value, value: Value },
    Exclude { name: Value, value: Value },
}

impl Metadata {
    /// How many maps and sets there are before anything was added.
    pub(crate) const NAMES: usize = MAPS.len().saturating_add(SETS.len());

    pub(crate) fn new() -> Self {
        let mut root = Value::new_object();
        if let Ok(names) = root.as_object_mut() {
            for name in MAPS {
                names.insert(name.into(), Value::new_object());
            }
            for name in SETS {
                names.insert(name.into(), Value::new_set());
            }
        }
        Self(root)
    }

    /// A state that was kept elsewhere.
    pub(crate) fn from_document(document: Value) -> Self {
        Self(document)
    }

    /// The state as rules read it.
    pub(crate) fn document(&self) -> Value {
        self.0.clone()
    }

    /// Whether the map `name` has entries.
    pub(crate) fn has_entries(&self, name: &str) -> bool {
        let map = self.0.as_object().ok().and_then(|names| names.get(&name.into()));
        map.and_then(|map| map.as_object().ok()).is_some_and(|map| !map.is_empty())
    }

    fn contains(&self, name: &Value, key: &Value) -> bool {
        let map = self.0.as_object().ok().and_then(|names| names.get(name));
        map.and_then(|map| map.as_object().ok()).is_some_and(|map| map.contains_key(key))
    }

    /// How many entries all maps and sets have together, and they themselves.
    pub(crate) fn entries(&self) -> usize {
        let sizes =
            self.0.as_object().ok().into_iter().flat_map(|names| names.iter()).map(|(_, held)| match held {
                Value::Object(map) => map.iter().count(),
                Value::Set(set) => set.len(),
                _ => 0,
            });
        sizes.fold(0usize, |sum, size| sum.saturating_add(size).saturating_add(1))
    }

    /// Checks the `metadata` of a decision against this state, in order.
    pub(crate) fn stage(&self, operations: &Value) -> Result<Change, MetadataError> {
        let operations = operations.as_array().map_err(|_| MetadataError::Malformed)?;
        if operations.iter().count() > OPERATIONS_MAX {
            return Err(MetadataError::TooMany);
        }
        let mut change = Change::default();
        let mut entries = self.entries();
        // What earlier changes of the same decision did to an entry.
        let mut present: BTreeMap<(Value, Value), bool> = BTreeMap::new();
        for operation in operations.iter() {
            let operation = Operation::parse(operation).ok_or(MetadataError::Malformed)?;
            if let Checked { operation: Operation::Put { name, key, .. }, only_new: true } = &operation {
                let entry = (name.clone(), key.clone());
                if present.get(&entry).copied().unwrap_or_else(|| self.contains(name, key)) {
                    let name = name.as_string().map_or_else(|_| String::new(), |name| name.to_string());
                    return Err(MetadataError::Exists { name });
                }
            }
            if operation.operation.adds_to(self) {
                entries = entries.saturating_add(1);
                if entries > STATE_ENTRIES_MAX {
                    return Err(MetadataError::Full);
                }
            }
            match &operation.operation {
                Operation::Put { name, key, .. } => present.insert((name.clone(), key.clone()), true),
                Operation::Remove { name, key } => present.insert((name.clone(), key.clone()), false),
                Operation::Include { .. } | Operation::Exclude { .. } => None,
            };
            change.0.push(operation.operation);
        }
        Ok(change)
    }

    /// Applies changes that [`stage`](Self::stage) accepted on this very state.
    pub(crate) fn commit(&mut self, change: Change) {
        let Ok(names) = self.0.as_object_mut() else { return };
        for operation in change.0 {
            match operation {
                Operation::Put { name, key, value } => {
                    let map = names.get_or_insert_with(name, Value::new_object);
                    if let Ok(map) = map.as_object_mut() {
                        map.insert(key, value);
                    }
                }
                Operation::Remove { name, key } => {
                    if let Some(Ok(map)) = names.get_mut(&name).map(Value::as_object_mut) {
                        map.remove(&key);
                    }
                }
                Operation::Include { name, value } => {
                    let set = names.get_or_insert_with(name, Value::new_set);
                    if let Ok(set) = set.as_set_mut() {
                        set.insert(value);
                    }
                }
                Operation::Exclude { name, value } => {
                    if let Some(Ok(set)) = names.get_mut(&name).map(Value::as_set_mut) {
                        set.remove(&value);
                    }
                }
            }
        }
    }
}

/// A change and whether it must not find an entry.
struct Checked {
    operation: Operation,
    only_new: bool,
}

impl Operation {
    /// Whether it takes up a place that `state` does not have yet.
    fn adds_to(&self, state: &Metadata) -> bool {
        match self {
            Self::Put { name, key, .. } => !state.contains(name, key),
            Self::Include { .. } => true,
            Self::Remove { .. } | Self::Exclude { .. } => false,
        }
    }

    fn parse(operation: &Value) -> Option<Checked> {
        let fields = operation.as_object().ok()?;
        let field = |name: &str| fields.get(&name.into()).cloned();
        let name = field("name").filter(|name| name.as_string().is_ok())?;
        let key = field("key").filter(|key| key.as_string().is_ok());
        let action = field("action")?;
        let kind = field("type").unwrap_or_else(|| "map".into());
        let mut only_new = false;
        let operation = match (kind.as_string().ok()?.as_ref(), action.as_string().ok()?.as_ref()) {
            ("map", "add") => {
                only_new = true;
                Self::Put { name, key: key?, value: field("value")? }
            }
            ("map", "update") => Self::Put { name, key: key?, value: field("value")? },
            ("map", "remove") => Self::Remove { name, key: key? },
            ("set", "add") => Self::Include { name, value: field("value")? },
            ("set", "remove") => Self::Exclude { name, value: field("value")? },
            _ => return None,
        };
        Some(Checked { operation, only_new })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(state: &Metadata, json: &str) -> Result<Change, MetadataError> {
        state.stage(&Value::from_json_str(json).unwrap())
    }

    fn apply(state: &mut Metadata, json: &str) {
        let change = stage(state, json).unwrap();
        state.commit(change);
    }

    #[test]
    fn entries_are_added_once() {
        let mut state = Metadata::new();
        let add = r#"[{"name":"devices","action":"add","key":"/m0","value":"a"}]"#;
        apply(&mut state, add);
        assert_eq!(stage(&state, add).unwrap_err(), MetadataError::Exists { name: "devices".to_owned() });
        apply(&mut state, r#"[{"name":"devices","action":"update","key":"/m0","value":"b"}]"#);
        apply(&mut state, r#"[{"name":"devices","action":"remove","key":"/m0"}]"#);
        assert!(!state.has_entries("devices"));
        apply(&mut state, add);
        assert!(state.has_entries("devices"));
    }

    #[test]
    fn a_decision_sees_its_own_earlier_changes() {
        let state = Metadata::new();
        let twice = r#"[{"name":"n","action":"add","key":"k","value":1},{"name":"n","action":"add","key":"k","value":2}]"#;
        assert_eq!(stage(&state, twice).unwrap_err(), MetadataError::Exists { name: "n".to_owned() });
        let replaced = r#"[{"name":"n","action":"add","key":"k","value":1},{"name":"n","action":"remove","key":"k"},
            {"name":"n","action":"add","key":"k","value":2}]"#;
        assert!(stage(&state, replaced).is_ok());
    }

    #[test]
    fn sets_hold_each_value_once() {
        let mut state = Metadata::new();
        let add = r#"[{"name":"fragment_parameters","action":"add","type":"set","value":{"a":[1]}}]"#;
        apply(&mut state, add);
        apply(&mut state, add);
        let document = state.document();
        let set = &document.as_object().unwrap().get(&"fragment_parameters".into()).unwrap();
        assert_eq!(set.as_set().unwrap().len(), 1);
    }

    #[test]
    fn the_state_is_bounded() {
        let mut state = Metadata::new();
        let add = |name: &str, number: usize| {
            format!(r#"[{{"name":"{name}","action":"add","key":"k{number}","value":1}}]"#)
        };
        for number in state.entries()..STATE_ENTRIES_MAX {
            // Without the checks, which would count each time.
            let operations = Value::from_json_str(&add("devices", number)).unwrap();
            let operation = Operation::parse(&operations.as_array().unwrap()[0]).unwrap().operation;
            state.commit(Change(vec![operation]));
        }
        assert_eq!(state.entries(), STATE_ENTRIES_MAX);
        assert_eq!(stage(&state, &add("devices", 0)).unwrap_err(), MetadataError::Full);
        assert_eq!(stage(&state, &add("other", 0)).unwrap_err(), MetadataError::Full);
        // What is there can change and go.
        assert!(stage(&state, r#"[{"name":"devices","action":"update","key":"k100","value":2}]"#).is_ok());
        apply(&mut state, r#"[{"name":"devices","action":"remove","key":"k100"}]"#);
        apply(&mut state, &add("devices", 100));
        assert_eq!(stage(&state, &add("devices", 0)).unwrap_err(), MetadataError::Full);
    }

    #[test]
    fn malformed_changes_are_refused() {
        let state = Metadata::new();
        for json in [
            "{}",
            "[1]",
            r#"[{"name":"n","action":"grow","key":"k","value":1}]"#,
            r#"[{"name":"n","action":"add","key":1,"value":1}]"#,
            r#"[{"name":"n","action":"add","key":"k"}]"#,
            r#"[{"action":"add","key":"k","value":1}]"#,
            r#"[{"name":"n","action":"add","key":"k","value":1,"type":"list"}]"#,
        ] {
            assert_eq!(stage(&state, json).unwrap_err(), MetadataError::Malformed, "{json}");
        }
    }

    #[test]
    fn a_saved_state_comes_back() {
        let mut state = Metadata::new();
        let saved = state.clone();
        apply(&mut state, r#"[{"name":"devices","action":"add","key":"/m0","value":"a"}]"#);
        state = saved;
        assert!(!state.has_entries("devices"));
    }
}
