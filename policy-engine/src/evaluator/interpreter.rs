//! Decisions by the interpreter: one policy, and its state as the document that rules read.

mod fragment;

use regorus::Value;
use serde_json::Value as Json;

use super::limits::EXPLANATION_TIME_MAX;
use super::load::{self, LoadError, PolicySummary};
use super::metadata::{Change, Metadata};
use super::outcome;
use super::points::Points;
use super::rego::Rego;
use super::{defaults, typed};
use crate::amendment::Amendment;
use crate::denial::Denial;
use crate::explanation::Explanation;
use crate::question::Question;
use crate::request::EnforcementPoint;
use fragment::Fragments;

/// A policy in the interpreter.
#[derive(Debug)]
pub(crate) struct Interpreter {
    rego: Rego,
    points: Points,
    metadata: Metadata,
    fragments: Fragments,
}

impl Interpreter {
    pub(super) fn load(policy: &[u8]) -> Result<(Self, PolicySummary), LoadError> {
        let (mut rego, summary) = load::policy(policy)?;
        let points = Points::load(&mut rego)?;
        Ok((Self { rego, points, metadata: Metadata::new(), fragments: Fragments::default() }, summary))
    }

    pub(super) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    pub(super) fn set_metadata(&mut self, metadata: Metadata) {
        self.metadata = metadata;
    }

    /// Decides by the policy's rule for `point`, or by what stands in for it in an older policy.
    pub(super) fn judge(
        &mut self,
        point: EnforcementPoint,
        question: &Question<'_>,
    ) -> Result<(Amendment, Change), Denial> {
        let denied = |reason: String| Denial::new(point, vec![reason]);
        let request = question.input();
        let input = self.input(&request);
        let answer = self
            .points
            .ask(&mut self.rego, point, input, question.has_default())
            .map_err(|error| denied(error.to_string()))?;
        if !outcome::is_allowed(&answer) {
            return Err(self.denial(point, question));
        }
        let amendment = outcome::amendment(&answer, &request).map_err(|error| denied(error.to_string()))?;
        let change = match outcome::field(&answer, "metadata") {
            Some(operations) => self.metadata.stage(operations).map_err(|error| denied(error.to_string()))?,
            None => Change::default(),
        };
        Ok((amendment, change))
    }

    pub(super) fn commit(&mut self, change: Change) {
        self.metadata.commit(change);
    }

    /// The input document: the request, and the state under `metadata`.
    fn input(&self, request: &Json) -> Value {
        outcome::input(request, self.metadata.document())
    }

    /// Why `question` is denied: the policy's reasons, and which of its objects came closest.
    pub(super) fn denial(&mut self, point: EnforcementPoint, question: &Question<'_>) -> Denial {
        let reasons = self.reasons(point, question.input());
        let document = self.metadata.document();
        let explanation = typed::explain(&mut self.rego, defaults::document(), &document, question);
        let explanation = explanation.unwrap_or_default();
        Denial::explained(point.name().into(), Explanation { reasons, ..explanation })
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
