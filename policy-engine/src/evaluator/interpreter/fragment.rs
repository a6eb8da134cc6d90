//! Fragments in the interpreter.

use std::collections::BTreeSet;

use regorus::Value;
use serde_json::{Map, Value as Json};

use super::Interpreter;
use crate::denial::Denial;
use crate::evaluator::limits::{FRAGMENTS_BYTES_MAX, FRAGMENTS_MAX};
use crate::evaluator::outcome;
use crate::fragment::{Fragment, FragmentError, FragmentLoaded};
use crate::request::EnforcementPoint;

/// The fragments that were taken in.
#[derive(Debug, Clone, Default)]
pub(super) struct Fragments {
    loaded: BTreeSet<[u8; 32]>,
    bytes: usize,
    /// The packages that the policy may refer to.
    namespaces: BTreeSet<String>,
}

impl Interpreter {
    /// Takes a fragment in, or leaves everything as it was.
    pub(in crate::evaluator) fn load_fragment(
        &mut self,
        fragment: &Fragment<'_>,
    ) -> Result<FragmentLoaded, FragmentError> {
        let before = (self.rego.clone(), self.metadata.clone(), self.fragments.clone());
        let loaded = self.try_load_fragment(fragment);
        if loaded.is_err() {
            (self.rego, self.metadata, self.fragments) = before;
        }
        loaded
    }

    fn try_load_fragment(&mut self, fragment: &Fragment<'_>) -> Result<FragmentLoaded, FragmentError> {
        let answer = self.ask_and_commit(EnforcementPoint::LoadFragment, &fragment.question(false))?;
        let sets = parameter_sets(&answer)?;
        let mut loaded = FragmentLoaded {
            namespace: fragment.namespace.to_owned(),
            parameter_sets: sets.len(),
            namespace_kept: self.fragments.namespaces.contains(fragment.namespace),
            was_loaded: self.fragments.loaded.contains(&fragment.identity(&sets)),
        };
        if loaded.was_loaded {
            return Ok(loaded);
        }
        // Two texts in one package would define each other's rules.
        if loaded.namespace_kept {
            return Err(FragmentError::NamespaceTaken { namespace: loaded.namespace });
        }
        self.fragments.count(fragment, &sets)?;
        for parameters in &sets {
            let without = self.rego.clone();
            self.rego
                .add_fragment(fragment.namespace, fragment.text, parameters)
                .map_err(FragmentError::Load)?;
            let answer = self.ask_and_commit(EnforcementPoint::LoadFragment, &fragment.question(true))?;
            if outcome::field(&answer, "add_module") != Some(&Value::Bool(true)) {
                self.rego = without;
                continue;
            }
            if sets.len() > 1 {
                return Err(FragmentError::SeveralParameterSets { sets: sets.len() });
            }
            loaded.namespace_kept = true;
            self.fragments.namespaces.insert(loaded.namespace.clone());
        }
        Ok(loaded)
    }

    /// Asks the policy about a transparency trust list.
    pub(in crate::evaluator) fn ask_trust_list(&mut self, question: &Json) -> Result<Json, Denial> {
        const POINT: EnforcementPoint = EnforcementPoint::LoadTransparencyTrustList;
        let before = self.metadata.clone();
        let answer = self.ask_and_commit(POINT, question).and_then(|answer| {
            serde_json::to_value(&answer).map_err(|error| Denial::new(POINT, vec![error.to_string()]))
        });
        if answer.is_err() {
            self.metadata = before;
        }
        answer
    }

    /// An allow, whose changes of state are made: nothing of the guest changes with them that could fail.
    fn ask_and_commit(&mut self, point: EnforcementPoint, question: &Json) -> Result<Value, Denial> {
        let denied = |reason: String| Denial::new(point, vec![reason]);
        let input = self.input(question);
        let answer =
            self.points.ask(&mut self.rego, point, input, true).map_err(|error| denied(error.to_string()))?;
        if !outcome::is_allowed(&answer) {
            let reasons = self.reasons(point, question.clone());
            return Err(Denial::new(point, reasons));
        }
        if let Some(operations) = outcome::field(&answer, "metadata") {
            let change = self.metadata.stage(operations).map_err(|error| denied(error.to_string()))?;
            self.metadata.commit(change);
        }
        Ok(answer)
    }
}

impl Fragments {
    /// A host cannot fill the guest's memory by loading what is allowed over and over.
    fn count(&mut self, fragment: &Fragment<'_>, parameters: &[Json]) -> Result<(), FragmentError> {
        self.bytes = self.bytes.saturating_add(fragment.text.len());
        if self.loaded.len() >= FRAGMENTS_MAX || self.bytes > FRAGMENTS_BYTES_MAX {
            return Err(FragmentError::TooMany);
        }
        self.loaded.insert(fragment.identity(parameters));
        Ok(())
    }
}

/// The sets of parameters that the policy passes; one without any where it passes none.
fn parameter_sets(answer: &Value) -> Result<Vec<Json>, FragmentError> {
    let none = || vec![Json::Object(Map::new())];
    let Some(sets) = outcome::field(answer, "parameters") else { return Ok(none()) };
    let sets = match serde_json::to_value(sets) {
        Ok(Json::Array(sets)) => sets,
        _ => return Err(FragmentError::Parameters),
    };
    if !sets.iter().all(Json::is_object) {
        return Err(FragmentError::Parameters);
    }
    Ok(if sets.is_empty() { none() } else { sets })
}
