//! Evaluates enforcement points: the Rego framework and the policy's own state.

use crate::amendment::Amendment;
use crate::denial::Denial;
use crate::request::EnforcementPoint;

/// Why a policy is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not UTF-8.
    #[error("the policy is not UTF-8 text")]
    Text(#[source] std::str::Utf8Error),
}

/// A change of policy state that waits for its permit to be settled.
#[derive(Debug)]
pub(crate) struct Staged;

/// An allow.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) amendment: Amendment,
    pub(crate) staged: Staged,
}

#[derive(Debug)]
pub(crate) struct Evaluator;

impl Evaluator {
    pub(crate) fn load(policy: &[u8]) -> Result<Self, LoadError> {
        std::str::from_utf8(policy).map_err(LoadError::Text)?;
        Ok(Self)
    }

    pub(crate) fn judge(
        &mut self,
        point: EnforcementPoint,
        _: serde_json::Value,
    ) -> Result<Decision, Denial> {
        Err(Denial::new(point, Vec::new()))
    }

    pub(crate) fn commit(&mut self, _: Staged) {}
}
