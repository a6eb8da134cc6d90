//! The form of a recorded session: one JSON object.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// What an engine was asked about one policy, in order, and what it answered.
#[derive(Debug, Clone, Deserialize)]
pub struct RecordedSession {
    /// Its name in reports.
    pub id: SessionId,
    /// Rego text of the policy.
    pub policy: String,
    /// The guest's system, `linux` or `windows`.
    #[serde(default)]
    pub os: Option<String>,
    /// What the engine kept beside the policy: default mounts and capabilities, and prefixes of mount sources.
    pub data: Map<String, Json>,
    /// What happened.
    pub steps: Vec<Step>,
}

/// The name of a session: a number or a text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum SessionId {
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
}

/// One step of a session.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Step {
    /// A rule was evaluated.
    Query(Query),
    /// A fragment was loaded, its signature checked.
    AddModule {
        /// Its package.
        namespace: String,
        /// Its text.
        code: String,
        /// What its calls of `parameter(name)` read.
        #[serde(default)]
        parameters: Json,
    },
    /// A fragment was dropped again.
    RemoveModule {
        /// `issuer>feed`, or the namespace. Without it the last one that was loaded.
        #[serde(default)]
        module: Option<String>,
    },
    /// The state was saved.
    SaveMetadata,
    /// The state became again what was saved last.
    RestoreMetadata,
    /// An entry of `data` was replaced.
    UpdateData {
        /// Its name.
        key: String,
        /// Its new value.
        value: Json,
    },
}

/// A question and the recorded answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Query {
    /// For instance `data.policy.create_container`.
    pub rule: String,
    /// The input document, without the state.
    pub input: Json,
    /// The raw value; null where the rule was undefined.
    #[serde(default)]
    pub result: Json,
    /// Why there is none.
    #[serde(default)]
    pub error: Option<Json>,
}

/// A text that is no recorded session.
#[derive(Debug, thiserror::Error)]
#[error("not a recorded session")]
pub struct SessionFormatError(#[source] serde_json::Error);

impl RecordedSession {
    /// Reads a session from its JSON text.
    ///
    /// # Errors
    ///
    /// When it is not JSON of that form.
    pub fn parse(text: &[u8]) -> Result<Self, SessionFormatError> {
        serde_json::from_slice(text).map_err(SessionFormatError)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_read_with_all_kinds_of_steps() {
        let text = br#"{"id": 7, "policy": "package policy", "os": "linux", "data": {"a": 1}, "steps": [
            {"op": "query", "rule": "data.policy.x", "input": {}, "result": null, "error": "conflict"},
            {"op": "add_module", "namespace": "n", "code": "package n", "parameters": {}},
            {"op": "remove_module", "module": "i>f"}, {"op": "remove_module"},
            {"op": "save_metadata"}, {"op": "restore_metadata"},
            {"op": "update_data", "key": "a", "value": 2}]}"#;
        let session = RecordedSession::parse(text).unwrap();
        assert_eq!(session.id.to_string(), "7");
        assert_eq!(session.steps.len(), 7);
        let Step::Query(query) = &session.steps[0] else { panic!("{:?}", session.steps) };
        assert_eq!((query.result.is_null(), query.error.is_some()), (true, true));
        assert_eq!(session.steps[2], Step::RemoveModule { module: Some("i>f".to_owned()) });
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "[]",
            r#"{"id": 1, "policy": "p", "data": {}}"#,
            r#"{"id": 1, "policy": 2, "data": {}, "steps": []}"#,
            r#"{"id": 1, "policy": "p", "data": {}, "steps": [{"op": "forget"}]}"#,
            r#"{"id": 1, "policy": "p", "data": {}, "steps": [{"op": "query", "input": {}}]}"#,
        ] {
            assert!(RecordedSession::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
