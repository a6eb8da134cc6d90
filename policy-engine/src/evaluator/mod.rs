//! Evaluates enforcement points: the policy's rules over a request and over what has happened so far.

mod defaults;
mod functions;
pub mod limits;
mod load;
mod metadata;
mod outcome;
mod points;
pub(crate) mod recursion;
pub(crate) mod rego;
pub(crate) mod scan;
mod session;
pub(crate) mod tokens;
pub(crate) mod wrap;

use serde_json::Value as Json;

pub(crate) use load::policy_rules;
pub use load::{LoadError, PolicySummary};
pub use recursion::RecursionError;
pub(crate) use rego::Anchoring;
pub use rego::EvaluationError;
pub(crate) use scan::Rule;
pub use scan::ScanError;
pub use session::{Session, Snapshot};

use crate::amendment::Amendment;
use crate::denial::Denial;
use crate::question::Question;
use crate::request::EnforcementPoint;
use limits::EXPLANATION_TIME_MAX;
use metadata::{Change, Metadata};
use points::Points;
use rego::Rego;
use regorus::Value;

/// A change of policy state that waits for its permit to be settled.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    change: Change,
    creates_sandbox: bool,
}

/// An allow.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    pub(crate) amendment: Amendment,
    pub(crate) staged: Staged,
}

/// One policy and its state.
#[derive(Debug)]
pub(crate) struct Evaluator {
    rego: Rego,
    points: Points,
    metadata: Metadata,
    summary: PolicySummary,
    sandbox_created: bool,
}

impl Evaluator {
    pub(crate) fn load(policy: &[u8]) -> Result<Self, LoadError> {
        let (mut rego, summary) = load::policy(policy)?;
        let points = Points::load(&mut rego)?;
        Ok(Self { rego, points, metadata: Metadata::new(), summary, sandbox_created: false })
    }

    pub(crate) fn summary(&self) -> &PolicySummary {
        &self.summary
    }

    pub(crate) fn judge(
        &mut self,
        point: EnforcementPoint,
        question: &Question<'_>,
    ) -> Result<Decision, Denial> {
        match point {
            EnforcementPoint::CreateSandbox => self.judge_create_sandbox(),
            // The host can cut the power at any time.
            EnforcementPoint::DestroySandbox => Ok(Decision::default()),
            _ => self.judge_by_policy(point, question.input()),
        }
    }

    /// The sandbox is set up once, before anything runs in it: a second set-up would pull the ground from
    /// under running containers.
    fn judge_create_sandbox(&self) -> Result<Decision, Denial> {
        let denied =
            |reason: &str| Err(Denial::new(EnforcementPoint::CreateSandbox, vec![reason.to_owned()]));
        if self.sandbox_created {
            return denied("sandbox already created");
        }
        if self.metadata.has_entries("matches") || self.metadata.has_entries("started") {
            return denied("containers exist already");
        }
        let staged = Staged { creates_sandbox: true, ..Staged::default() };
        Ok(Decision { staged, ..Decision::default() })
    }

    fn judge_by_policy(&mut self, point: EnforcementPoint, request: Json) -> Result<Decision, Denial> {
        let denied = |reason: String| Denial::new(point, vec![reason]);
        let input = self.input(&request);
        let answer =
            self.points.ask(&mut self.rego, point, input).map_err(|error| denied(error.to_string()))?;
        if !outcome::is_allowed(&answer) {
            let reasons = self.reasons(point, request);
            return Err(Denial::new(point, reasons));
        }
        let amendment = outcome::amendment(&answer, &request).map_err(|error| denied(error.to_string()))?;
        let change = match outcome::field(&answer, "metadata") {
            Some(operations) => self.metadata.stage(operations).map_err(|error| denied(error.to_string()))?,
            None => Change::default(),
        };
        Ok(Decision { amendment, staged: Staged { change, creates_sandbox: false } })
    }

    pub(crate) fn commit(&mut self, staged: Staged) {
        self.metadata.commit(staged.change);
        self.sandbox_created |= staged.creates_sandbox;
    }

    /// The input document: the request, and the state under `metadata`.
    fn input(&self, request: &Json) -> Value {
        outcome::input(request, &self.metadata)
    }

    /// What the policy, or else the framework, says about a denial. None when it has no answer in time.
    fn reasons(&mut self, point: EnforcementPoint, mut request: Json) -> Vec<String> {
        if let Json::Object(fields) = &mut request {
            fields.insert("rule".to_owned(), point.name().into());
        }
        for rule in ["data.policy.reason", "data.framework.reason"] {
            let input = self.input(&request);
            if let Ok(answer) = self.rego.evaluate(rule, input, EXPLANATION_TIME_MAX)
                && let Some(reasons) = outcome::reasons(&answer)
            {
                return reasons;
            }
        }
        Vec::new()
    }
}
