//! A policy under test: raw questions, raw answers, and the state that follows.

use serde_json::{Map, Value as Json};

use super::limits::DECISION_TIME_MAX;
use super::load::{self, LoadError};
use super::metadata::Metadata;
use super::outcome;
use super::rego::{Anchoring, EvaluationError, Rego};
use regorus::Value;

/// Asks a policy's rules directly, with inputs and answers as JSON.
///
/// For tests of policies and for replaying recorded sessions. A guest uses [`Engine`](crate::Engine): here an
/// answer is not a permit, and versions are not checked.
#[derive(Debug)]
pub struct Session {
    /// Without fragments.
    base: Rego,
    rego: Rego,
    data: Map<String, Json>,
    fragments: Vec<Fragment>,
    metadata: Metadata,
}

#[derive(Debug, Clone)]
struct Fragment {
    namespace: String,
    text: String,
    parameters: Json,
}

/// A saved state of a session.
#[derive(Debug, Clone)]
pub struct Snapshot(Metadata);

impl Session {
    /// Loads `policy` with `data` beside it: default mounts and capabilities, and prefixes.
    ///
    /// # Errors
    ///
    /// When the policy is no text, exceeds the limits or does not parse.
    pub fn load(policy: &[u8], data: Map<String, Json>) -> Result<Self, LoadError> {
        Self::load_anchored(policy, data, Anchoring::Whole)
    }

    /// As [`load`](Self::load), with patterns read in this way.
    pub(crate) fn load_anchored(
        policy: &[u8],
        data: Map<String, Json>,
        anchoring: Anchoring,
    ) -> Result<Self, LoadError> {
        let document = Value::from(Json::Object(data.clone()));
        let base = Rego::load_anchored(load::text(policy)?, document, anchoring)?;
        let rego = base.clone();
        Ok(Self { base, rego, data, fragments: Vec::new(), metadata: Metadata::new() })
    }

    /// Evaluates `rule`, a path as `data.policy.create_container`. Undefined is JSON's null. An allow changes
    /// the state as its `metadata` says.
    ///
    /// # Errors
    ///
    /// When there is no such rule or it cannot be evaluated.
    pub fn query(&mut self, rule: &str, request: &Json) -> Result<Json, EvaluationError> {
        let input = outcome::input(request, &self.metadata);
        let answer = match self.rego.evaluate(rule, input, DECISION_TIME_MAX) {
            Err(EvaluationError::NoRule { .. }) => return Ok(Json::Null),
            answer => answer?,
        };
        if outcome::is_allowed(&answer)
            && let Some(operations) = outcome::field(&answer, "metadata")
        {
            let change = self.metadata.stage(operations);
            self.metadata
                .commit(change.map_err(|error| EvaluationError::Fault { message: error.to_string() })?);
        }
        if answer == Value::Undefined {
            return Ok(Json::Null);
        }
        serde_json::to_value(&answer).map_err(|error| EvaluationError::Fault { message: error.to_string() })
    }

    /// Adds the text of a fragment whose signature was checked, with the parameters it is given.
    ///
    /// # Errors
    ///
    /// When its namespace is reserved, or the text does not parse.
    pub fn add_fragment(&mut self, namespace: &str, text: &str, parameters: &Json) -> Result<(), LoadError> {
        if let Err(error) = self.rego.add_fragment(namespace, text, parameters) {
            // A part of it may have been added.
            self.reload()?;
            return Err(error);
        }
        let (namespace, text) = (namespace.to_owned(), text.to_owned());
        self.fragments.push(Fragment { namespace, text, parameters: parameters.clone() });
        Ok(())
    }

    /// Removes the fragment at `position` in the order of their addition, if there is one.
    ///
    /// # Errors
    ///
    /// When the remaining fragments cannot be loaded again.
    pub fn remove_fragment(&mut self, position: usize) -> Result<(), LoadError> {
        if position < self.fragments.len() {
            self.fragments.remove(position);
        }
        self.reload()
    }

    /// Replaces an entry of the data beside the policy.
    ///
    /// # Errors
    ///
    /// When the data is refused.
    pub fn set_data(&mut self, key: &str, value: Json) -> Result<(), LoadError> {
        self.data.insert(key.to_owned(), value);
        self.base.set_data(Value::from(Json::Object(self.data.clone())))?;
        self.reload()
    }

    fn reload(&mut self) -> Result<(), LoadError> {
        let mut rego = self.base.clone();
        for Fragment { namespace, text, parameters } in &self.fragments {
            rego.add_fragment(namespace, text, parameters)?;
        }
        self.rego = rego;
        Ok(())
    }

    /// Saves the state.
    #[must_use]
    pub fn save(&self) -> Snapshot {
        Snapshot(self.metadata.clone())
    }

    /// Returns to a saved state.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        self.metadata.clone_from(&snapshot.0);
    }
}
