//! A policy under test: raw questions, raw answers, and the state that follows.

mod explain;

use serde_json::{Map, Value as Json};

use super::EvaluatorKind;
use super::limits::DECISION_TIME_MAX;
use super::load::{self, LoadError};
use super::metadata::Metadata;
use super::outcome;
use super::rego::{Anchoring, EvaluationError, Rego};
use crate::native::Native;
use crate::native::points::Answer;
use crate::native::policy::Reasons;
use crate::native::state::State;
use crate::question::Question;
use regorus::Value;

/// Asks a policy's rules directly, with inputs and answers as JSON.
///
/// For tests of policies and for replaying recorded sessions. A guest uses [`Engine`](crate::Engine): here an
/// answer is not a permit, and versions are not checked.
#[derive(Debug)]
pub struct Session {
    policy: Box<[u8]>,
    anchoring: Anchoring,
    data: Map<String, Json>,
    fragments: Vec<Fragment>,
    /// Made when it is first needed.
    interpreters: Option<Interpreters>,
    state: Keeper,
    native_answers: u64,
}

/// Who answers first, and keeps the state.
#[derive(Debug)]
enum Keeper {
    Interpreter(Metadata),
    Native(Box<Native>),
}

#[derive(Debug)]
struct Interpreters {
    /// Without fragments.
    base: Rego,
    rego: Rego,
}

#[derive(Debug, Clone)]
struct Fragment {
    namespace: String,
    text: String,
    parameters: Json,
}

/// A saved state of a session.
#[derive(Debug, Clone)]
pub struct Snapshot(Saved);

#[derive(Debug, Clone)]
enum Saved {
    Interpreter(Metadata),
    Native(State),
}

impl Session {
    /// Loads `policy` with `data` beside it: default mounts and capabilities, and prefixes. With
    /// [`EvaluatorKind::Native`] what can be answered natively is.
    ///
    /// # Errors
    ///
    /// When the policy is no text, exceeds the limits or does not parse.
    pub fn load(policy: &[u8], data: Map<String, Json>, evaluator: EvaluatorKind) -> Result<Self, LoadError> {
        if evaluator == EvaluatorKind::Native
            && let Some(native) = Native::load(load::text(policy)?, &data)
        {
            return Ok(Self::new(policy, data, Anchoring::Whole, Keeper::Native(Box::new(native))));
        }
        Self::load_anchored(policy, data, Anchoring::Whole)
    }

    /// Loads `policy` into the interpreter, with patterns read in this way.
    pub(crate) fn load_anchored(
        policy: &[u8],
        data: Map<String, Json>,
        anchoring: Anchoring,
    ) -> Result<Self, LoadError> {
        let mut session = Self::new(policy, data, anchoring, Keeper::Interpreter(Metadata::new()));
        session.rego()?;
        Ok(session)
    }

    fn new(policy: &[u8], data: Map<String, Json>, anchoring: Anchoring, state: Keeper) -> Self {
        let (fragments, interpreters, native_answers) = (Vec::new(), None, 0);
        Self { policy: policy.into(), anchoring, data, fragments, interpreters, state, native_answers }
    }

    /// How many questions were answered natively so far.
    #[must_use]
    pub fn native_answers(&self) -> u64 {
        self.native_answers
    }

    /// Evaluates `rule`, a path as `data.policy.create_container`. Undefined is JSON's null. An allow changes
    /// the state as its `metadata` says; a native answer leaves that field out.
    ///
    /// # Errors
    ///
    /// When the rule cannot be evaluated.
    pub fn query(&mut self, rule: &str, request: &Json) -> Result<Json, EvaluationError> {
        match self.ask(rule, request) {
            Err(EvaluationError::NoRule { .. }) => Ok(Json::Null),
            answer => answer,
        }
    }

    /// As [`query`](Self::query), with an error where there is no such rule.
    pub(super) fn ask(&mut self, rule: &str, request: &Json) -> Result<Json, EvaluationError> {
        if let Keeper::Native(native) = &mut self.state
            && let Some(answer) = ask_natively(native, rule, request)
        {
            self.native_answers = self.native_answers.saturating_add(1);
            return answer;
        }
        self.ask_interpreter(rule, request)
    }

    fn ask_interpreter(&mut self, rule: &str, request: &Json) -> Result<Json, EvaluationError> {
        let fault = |message: String| EvaluationError::Fault { message };
        let input = outcome::input(request, self.document());
        let rego = self.rego().map_err(|error| fault(error.to_string()))?;
        let answer = rego.evaluate(rule, input, DECISION_TIME_MAX)?;
        if outcome::is_allowed(&answer)
            && let Some(operations) = outcome::field(&answer, "metadata")
        {
            self.change(operations).map_err(|error| fault(error.to_string()))?;
        }
        if answer == Value::Undefined {
            return Ok(Json::Null);
        }
        serde_json::to_value(&answer).map_err(|error| fault(error.to_string()))
    }

    /// The state as rules read it.
    fn document(&self) -> Value {
        match &self.state {
            Keeper::Native(native) => native.document(),
            Keeper::Interpreter(metadata) => metadata.document(),
        }
    }

    /// Applies the interpreter's change of state.
    fn change(&mut self, operations: &Value) -> Result<(), super::metadata::MetadataError> {
        match &mut self.state {
            Keeper::Interpreter(metadata) => {
                let change = metadata.stage(operations)?;
                metadata.commit(change);
            }
            Keeper::Native(native) => {
                let mut metadata = Metadata::from_document(native.document());
                let change = metadata.stage(operations)?;
                metadata.commit(change);
                if !native.take_over(&metadata.document()) {
                    self.state = Keeper::Interpreter(metadata);
                }
            }
        }
        Ok(())
    }

    /// Adds the text of a fragment whose signature was checked, with the parameters it is given.
    ///
    /// # Errors
    ///
    /// When its namespace is reserved, or the text does not parse.
    pub fn add_fragment(&mut self, namespace: &str, text: &str, parameters: &Json) -> Result<(), LoadError> {
        if let Err(error) = self.rego()?.add_fragment(namespace, text, parameters) {
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
        if let Keeper::Native(native) = &self.state {
            let document = native.document();
            let anew = Native::load(load::text(&self.policy)?, &self.data);
            self.state = match anew.map(|mut native| (native.take_over(&document), native)) {
                Some((true, native)) => Keeper::Native(Box::new(native)),
                _ => Keeper::Interpreter(Metadata::from_document(document)),
            };
        }
        if let Some(interpreters) = &mut self.interpreters {
            interpreters.base.set_data(Value::from(Json::Object(self.data.clone())))?;
        }
        self.reload()
    }

    /// The interpreter with all fragments.
    fn rego(&mut self) -> Result<&mut Rego, LoadError> {
        let interpreters = match self.interpreters.take() {
            Some(interpreters) => interpreters,
            None => {
                let data = Value::from(Json::Object(self.data.clone()));
                let base = Rego::load_anchored(load::text(&self.policy)?, data, self.anchoring)?;
                let rego = base.clone();
                Interpreters { base, rego }
            }
        };
        Ok(&mut self.interpreters.insert(interpreters).rego)
    }

    fn reload(&mut self) -> Result<(), LoadError> {
        let Some(interpreters) = &mut self.interpreters else { return Ok(()) };
        let mut rego = interpreters.base.clone();
        for Fragment { namespace, text, parameters } in &self.fragments {
            rego.add_fragment(namespace, text, parameters)?;
        }
        interpreters.rego = rego;
        Ok(())
    }

    /// Saves the state.
    #[must_use]
    pub fn save(&self) -> Snapshot {
        Snapshot(match &self.state {
            Keeper::Interpreter(metadata) => Saved::Interpreter(metadata.clone()),
            Keeper::Native(native) => Saved::Native(native.state().clone()),
        })
    }

    /// Returns to a state that this session saved.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        match (&mut self.state, &snapshot.0) {
            (Keeper::Native(native), Saved::Native(state)) => native.set_state(state.clone()),
            (_, Saved::Interpreter(metadata)) => self.state = Keeper::Interpreter(metadata.clone()),
            (Keeper::Interpreter(metadata), Saved::Native(state)) => {
                *metadata = Metadata::from_document(state.to_document());
            }
        }
    }
}

/// The native answer to a question to `rule`; `None` if there is none.
fn ask_natively(native: &mut Native, rule: &str, request: &Json) -> Option<Result<Json, EvaluationError>> {
    if rule == "data.framework.enforcement_point_info" {
        return Some(Ok(native.point_info(request.get("name")?.as_str()?)));
    }
    let undefined = || Err(EvaluationError::NoRule { rule: rule.to_owned() });
    if rule == "data.policy.reason" && native.policy().reasons == Reasons::None {
        return Some(undefined());
    }
    if let "data.policy.reason" | "data.framework.reason" = rule {
        let question = Question::read(request.get("rule")?.as_str()?, request)?;
        let reasons = native.explain(&question)?.reasons;
        return Some(Ok(serde_json::json!({ "errors": reasons })));
    }
    let name = match rule.strip_prefix("data.policy.") {
        Some(name) if native.point(name).is_some() && !native.has_rule(name) => return Some(undefined()),
        Some(name) => name,
        None => rule.strip_prefix("data.framework.")?,
    };
    let question = Question::read(name, request)?;
    let allowed = match native.answer(&question) {
        Answer::Denied => return Some(Ok(serde_json::json!({ "allowed": false }))),
        Answer::Interpreter => return None,
        Answer::Allowed(allowed) => allowed,
    };
    let answer = allowed.to_json();
    native.commit(allowed.change);
    Some(Ok(answer))
}
