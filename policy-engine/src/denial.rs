//! Why a request was refused.

use serde::Serialize;

use crate::request::EnforcementPoint;

/// The most reasons that one denial carries: a host cannot make the guest build long answers.
pub const REASONS_MAX: usize = 16;

/// The policy's no, for people and programs. It names what failed; it never holds values of the
/// environment or contents of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Denial {
    /// The rule that said no.
    pub rule: &'static str,
    /// The conditions that failed, in the words that users of the peers know (`invalid command`, ...).
    pub reasons: Vec<String>,
}

impl Denial {
    pub(crate) fn new(point: EnforcementPoint, mut reasons: Vec<String>) -> Self {
        reasons.truncate(REASONS_MAX);
        Self { rule: point.name(), reasons }
    }
}

impl std::fmt::Display for Denial {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} is denied by policy", self.rule)?;
        if !self.reasons.is_empty() {
            write!(formatter, ": {}", self.reasons.join("; "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Denial {}

/// Why there is no permit.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The policy says no, or does not say yes.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// An earlier effect ended in an unknown state: the guest only takes things down.
    #[error("the guest is in an inconsistent state after an earlier failure and only takes things down")]
    Poisoned,
    /// A permit is outstanding: changes are decided one at a time.
    #[error("another change is under way")]
    Busy,
}
