//! The native evaluator: answers policies that only list objects and point at the framework.
//!
//! The framework in Rego says what is right; this says the same, fast. It reads the policy's text itself
//! ([`literal`]) into typed objects ([`objects`]), keeps what has happened typed ([`state`]) and answers typed
//! questions ([`points`]). What it does not read exactly, it does not read at all: the interpreter answers then.

pub(crate) mod agreement;
pub(crate) mod api;
mod literal;
mod load;
pub(crate) mod matching;
pub(crate) mod objects;
pub(crate) mod points;
pub(crate) mod policy;
pub(crate) mod state;

use regorus::Value;
use serde_json::{Map, Value as Json};

use crate::evaluator::limits::STATE_ENTRIES_MAX;
use crate::explanation::{self, Explanation};
use crate::pattern::RequestPatterns;
use crate::question::Question;
use api::{Api, Point};
use objects::Reader;
use points::{Answer, Rules};
use policy::Policy;
use state::{Change, State};

/// More entries than one answer adds.
const ENTRIES_OF_A_CHANGE: usize = 8;

/// One policy and its state.
#[derive(Debug)]
pub(crate) struct Native {
    policy: Policy,
    state: State,
    patterns: RequestPatterns,
    api: &'static Api,
}

impl Native {
    /// Reads `text` with `data` beside it. `None` for a policy that only the interpreter may judge by; it also
    /// says what is wrong with one that is refused.
    pub(crate) fn load(text: &str, data: &Map<String, Json>) -> Option<Self> {
        let (policy, api) = (load::policy(text, data)?, Api::get()?);
        Some(Self { policy, state: State::default(), patterns: RequestPatterns::default(), api })
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Returns to a state of this policy.
    pub(crate) fn set_state(&mut self, state: State) {
        self.state = state;
    }

    /// The answer of the framework's rule to `question`.
    pub(crate) fn answer<'q>(&mut self, question: &Question<'q>) -> Answer<'q> {
        // The interpreter says what is wrong when the state is full.
        if self.state.entries().saturating_add(ENTRIES_OF_A_CHANGE) > STATE_ENTRIES_MAX {
            return Answer::Interpreter;
        }
        Rules { policy: &self.policy, state: &self.state }.answer(question, &mut self.patterns)
    }

    /// Why the framework denies `question`; `None` where only the interpreter can tell.
    pub(crate) fn explain(&mut self, question: &Question<'_>) -> Option<Explanation> {
        explanation::explain(Rules { policy: &self.policy, state: &self.state }, question, &mut self.patterns)
    }

    /// Whether the policy has a rule for the question `name`.
    pub(crate) fn has_rule(&self, name: &str) -> bool {
        self.policy.rules.contains(name)
    }

    /// What the API says of the question `name`, and whether the policy's version knows it.
    pub(crate) fn point(&self, name: &str) -> Option<(&'static Point, bool)> {
        let point = self.api.point(name)?;
        Some((point, self.policy.api_version >= point.introduced))
    }

    /// The answer of the framework's rule `enforcement_point_info`.
    pub(crate) fn point_info(&self, name: &str) -> Json {
        self.api.info(name, self.policy.api_version)
    }

    pub(crate) fn commit(&mut self, change: Change) {
        self.state.commit(change);
    }

    /// The state as rules read it.
    pub(crate) fn document(&self) -> Value {
        self.state.to_document()
    }

    /// Takes over a state from the interpreter. `false`: it has no typed form, and the policy is the
    /// interpreter's from now on.
    #[must_use]
    pub(crate) fn take_over(&mut self, document: &Value) -> bool {
        let mut reader = Reader::new(self.policy.prefixes.clone(), self.policy.room.clone());
        match self.state.read_document(document, &mut reader) {
            Some(state) => {
                self.state = state;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluator::defaults;
    use crate::question::ScratchMount;

    #[test]
    fn a_state_without_room_is_left_to_the_interpreter() {
        let text = "package policy\napi_version := \"0.12.0\"\nframework_version := \"0.5.0\"\n\
                    scratch_mount := data.framework.scratch_mount\n";
        let mut native = Native::load(text, defaults::document().as_object().unwrap()).unwrap();
        let question = Question::ScratchMount(ScratchMount { target: "/s", encrypted: true });
        while native.state().entries() + ENTRIES_OF_A_CHANGE <= STATE_ENTRIES_MAX {
            assert!(matches!(native.answer(&question), Answer::Allowed(_)));
            native.commit(Change::MountRwDevice(native.state().rw_devices.len().to_string().into()));
        }
        assert!(matches!(native.answer(&question), Answer::Interpreter));
        native.commit(Change::UnmountRwDevice("0".into()));
        assert!(matches!(native.answer(&question), Answer::Allowed(_)));
    }
}
