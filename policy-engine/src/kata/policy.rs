//! A policy, its state, and what it allows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use regorus::Value;
use serde_json::Value as Json;

use super::answer::Answer;
use super::interpreter::Interpreter;
use super::kind::{Effect, Kind};
use super::state::{Change, State, StateError};
use crate::evaluator::limits::{DECISION_TIME_MAX, POLICY_BYTES_MAX};
use crate::evaluator::recursion::RecursionError;
use crate::evaluator::rego::EvaluationError;
use crate::evaluator::scan::ScanError;
use crate::permit::Settlement;

/// Why a policy is not loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Larger than [`POLICY_BYTES_MAX`].
    #[error("the policy has {bytes} bytes, more than {POLICY_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Refused before parsing.
    #[error("the policy is not accepted")]
    Scan(#[source] ScanError),
    /// Rules that may refer to themselves.
    #[error("the policy is not accepted")]
    Recursion(#[source] RecursionError),
    /// Not Rego, or Rego that cannot be evaluated.
    #[error("the policy does not parse: {message}")]
    Parse {
        /// The parser's words, shortened.
        message: String,
    },
}

/// Why a request is not allowed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The policy says no.
    #[error("{kind} is denied by policy")]
    Denied {
        /// The request.
        kind: Kind,
    },
    /// The policy says nothing: it has no rule for the request and no default.
    #[error("{kind} is denied: the policy has no rule that answers it")]
    Undefined {
        /// The request.
        kind: Kind,
    },
    /// The policy's answer is neither a truth value nor `{allowed, ops}`.
    #[error("{kind} is denied: the policy's answer is malformed")]
    Malformed {
        /// The request.
        kind: Kind,
    },
    /// The policy contradicts itself, or takes too long.
    #[error("{kind} is denied: the policy has no answer")]
    Evaluation {
        /// The request.
        kind: Kind,
        /// What happened.
        #[source]
        error: EvaluationError,
    },
    /// The answer changes state in a way that is not allowed.
    #[error("{kind} is denied: an operation on the policy's state is refused")]
    State {
        /// The request.
        kind: Kind,
        /// Why.
        #[source]
        error: StateError,
    },
    /// The request is not an object.
    #[error("{kind} is denied: it is not an object")]
    Input {
        /// The request.
        kind: Kind,
    },
    /// The container id is that of an entry of the sandbox, or has signs that paths give meaning to.
    #[error("{kind} is denied: no container can have this id")]
    ContainerId {
        /// The request.
        kind: Kind,
    },
    /// A policy is set once, before anything else happens.
    #[error("SetPolicyRequest is denied: the policy can only be set once, before all else")]
    PolicyIsSet,
    /// The new policy is not accepted; the present one stays.
    #[error("SetPolicyRequest is denied: the new policy is not accepted")]
    Policy(#[source] LoadError),
    /// An earlier effect ended in an unknown state.
    #[error("the guest is in an inconsistent state after an earlier failure and only takes things down")]
    Poisoned,
    /// What was allowed before is not settled: changes are decided one at a time.
    #[error("another change is under way")]
    Busy,
}

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
                    Staged::Policy(interpreter) => {
                        inner.interpreter = *interpreter;
                        inner.state = State::new();
                    }
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
