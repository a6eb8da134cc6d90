//! A policy, its state, and what it allows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use regorus::Value;
use serde_json::Value as Json;

use super::answer::Answer;
use super::interpreter::{Interpreter, LoadError};
use super::kind::{Effect, Kind};
use super::refusal::{Refusal, TEXT_BYTES_MAX};
use super::state::{Change, State, StateError};
use crate::evaluator::limits::DECISION_TIME_MAX;
use crate::permit::Settlement;

/// A policy of `package agent_policy` and its state. Cheap to clone; all clones share both.
#[derive(Debug, Clone)]
pub struct KataPolicy {
    core: Arc<Core>,
}

#[derive(Debug)]
struct Core(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    interpreter: Interpreter,
    state: State,
    /// What the outstanding [`Allowed`] commits.
    outstanding: Option<Staged>,
    /// Whether a change was carried out, so that the policy stays.
    settled: bool,
    poisoned: bool,
}

#[derive(Debug)]
enum Staged {
    State(Change),
    Policy(Box<Interpreter>),
}

impl KataPolicy {
    /// Loads a policy as genpolicy writes it.
    ///
    /// # Errors
    ///
    /// When it is too large, of another package, or no Rego.
    pub fn load(policy: &str) -> Result<Self, LoadError> {
        let inner = Inner {
            interpreter: Interpreter::load(policy)?,
            state: State::new(),
            outstanding: None,
            settled: false,
            poisoned: false,
        };
        Ok(Self { core: Arc::new(Core(Mutex::new(inner))) })
    }

    /// Decides a request. `input` is the message in the form that the [module](super) describes, every field
    /// present.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: denied, undefined or failing policy; a poisoned guest; another change under way.
    pub fn judge(&self, kind: Kind, input: Json) -> Result<Allowed, Refusal> {
        let mut inner = self.core.lock();
        if kind.effect() != Effect::Passing {
            if inner.outstanding.is_some() {
                return Err(Refusal::Busy);
            }
            if inner.poisoned && kind.effect() != Effect::Teardown {
                return Err(Refusal::Poisoned);
            }
        }
        let staged = inner.decide(kind, input)?;
        if kind.effect() == Effect::Passing {
            return Ok(Allowed { kind, core: None });
        }
        inner.outstanding = Some(staged);
        Ok(Allowed { kind, core: Some(Arc::clone(&self.core)) })
    }

    /// Whether an effect ended in an unknown state.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.core.lock().poisoned
    }
}

impl Inner {
    fn decide(&mut self, kind: Kind, input: Json) -> Result<Staged, Refusal> {
        let Json::Object(fields) = &input else { return Err(Refusal::Input { kind }) };
        if kind == Kind::SetPolicyRequest && self.settled {
            return Err(Refusal::PolicyIsSet);
        }
        if kind != Kind::SetPolicyRequest && has_long_text(&input) {
            return Err(Refusal::TextTooLong { kind });
        }
        let text = |name: &str| fields.get(name).and_then(Json::as_str).map(str::to_owned);
        let (container, policy) = (text("container_id"), text("policy"));
        if container.as_deref().is_some_and(|id| !self.state.is_container_id(id)) {
            return Err(Refusal::ContainerId { kind });
        }
        let answer = self
            .interpreter
            .ask(kind, Value::from(input), self.state.document(), DECISION_TIME_MAX)
            .map_err(|error| Refusal::Evaluation { kind, error })?;
        let operations = match Answer::read(&answer) {
            Answer::Allowed(operations) => operations,
            Answer::Denied => return Err(Refusal::Denied { kind }),
            Answer::Undefined => return Err(Refusal::Undefined { kind }),
            Answer::Malformed => return Err(Refusal::Malformed { kind }),
        };
        let refused = |error| Refusal::State { kind, error };
        if kind.effect() == Effect::Passing && !operations.is_empty() {
            return Err(refused(StateError::Passing));
        }
        if kind == Kind::SetPolicyRequest {
            let policy = policy.ok_or(Refusal::Input { kind })?;
            return Interpreter::load(&policy)
                .map(|interpreter| Staged::Policy(Box::new(interpreter)))
                .map_err(Refusal::Policy);
        }
        self.state.stage(&operations, container.as_deref()).map(Staged::State).map_err(refused)
    }
}

fn has_long_text(value: &Json) -> bool {
    match value {
        Json::String(text) => text.len() > TEXT_BYTES_MAX,
        Json::Array(values) => values.iter().any(has_long_text),
        Json::Object(fields) => {
            fields.iter().any(|(name, value)| name.len() > TEXT_BYTES_MAX || has_long_text(value))
        }
        _ => false,
    }
}

impl Core {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(|poisoned| {
            // A panic while deciding left the state half-done: fail closed.
            let mut inner = PoisonError::into_inner(poisoned);
            inner.poisoned = true;
            inner
        })
    }

    fn settle(&self, settlement: Settlement) {
        let mut inner = self.lock();
        match (settlement, inner.outstanding.take()) {
            (Settlement::Done, Some(staged)) => {
                inner.settled = true;
                match staged {
                    Staged::State(change) => inner.state.commit(change),
                    // Nothing was done before, so that there is no state of the old policy.
                    Staged::Policy(interpreter) => inner.interpreter = *interpreter,
                }
            }
            (Settlement::Untouched, Some(_)) => {}
            (Settlement::Unknown, _) | (_, None) => inner.poisoned = true,
        }
    }
}

/// An allow: the request may be carried out, once, and what the policy remembers of it waits for how that ends.
///
/// It is settled by [`done`](Self::done), [`untouched`](Self::untouched) or [`unknown`](Self::unknown). One that
/// is dropped poisons the policy, because nobody knows what happened. Of a request that leaves nothing behind
/// there is nothing to settle.
#[derive(Debug)]
#[must_use = "an unsettled allow poisons the policy"]
pub struct Allowed {
    kind: Kind,
    /// `None` once settled.
    core: Option<Arc<Core>>,
}

impl Allowed {
    /// The request.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// It happened, all of it: the policy's state, or the new policy, is committed.
    pub fn done(self) {
        self.settle(Settlement::Done);
    }

    /// Nothing happened, or all of it was undone: the policy's state stays as it was.
    pub fn untouched(self) {
        self.settle(Settlement::Untouched);
    }

    /// Nobody knows how much happened: from now on only what takes things down is allowed.
    pub fn unknown(self) {
        self.settle(Settlement::Unknown);
    }

    fn settle(mut self, settlement: Settlement) {
        if let Some(core) = self.core.take() {
            core.settle(settlement);
        }
    }
}

impl Drop for Allowed {
    fn drop(&mut self) {
        if let Some(core) = self.core.take() {
            core.settle(Settlement::Unknown);
        }
    }
}
