//! Why a request is not allowed.

use super::interpreter::LoadError;
use super::kind::Kind;
use super::state::StateError;
use crate::evaluator::rego::EvaluationError;

/// The longest text in a request, in bytes: Linux has this bound for one variable of an environment. A policy to
/// be set may be longer.
pub(super) const TEXT_BYTES_MAX: usize = 128 << 10;

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
    /// A text is longer than any that a container can have. genpolicy's rules take patterns from the request as well
    /// as texts, and the time of a match grows with both.
    #[error("{kind} is denied: it has a text of more than {TEXT_BYTES_MAX} bytes")]
    TextTooLong {
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
