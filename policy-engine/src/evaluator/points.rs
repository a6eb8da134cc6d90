//! Which rule answers which question: the policy's own, the framework's, or a default.

use std::collections::HashMap;

use regorus::Value;

use super::limits::DECISION_TIME_MAX;
use super::load::LoadError;
use super::metadata::Metadata;
use super::outcome::{self, field};
use super::rego::{EvaluationError, Rego};
use crate::request::EnforcementPoint;

/// The questions that a policy can be asked here.
const ASKED: [EnforcementPoint; 13] = [
    EnforcementPoint::MountDevice,
    EnforcementPoint::UnmountDevice,
    EnforcementPoint::MountOverlay,
    EnforcementPoint::UnmountOverlay,
    EnforcementPoint::CreateContainer,
    EnforcementPoint::ExecInContainer,
    EnforcementPoint::SignalContainerProcess,
    EnforcementPoint::ShutdownContainer,
    EnforcementPoint::ScratchMount,
    EnforcementPoint::ScratchUnmount,
    EnforcementPoint::GetProperties,
    EnforcementPoint::LoadFragment,
    EnforcementPoint::LoadTransparencyTrustList,
];

/// What the API says of a question to a policy of its version.
#[derive(Debug)]
struct Point {
    /// The policy's version knows the question: without a rule of its own there is no answer.
    available: bool,
    /// An older policy is judged by the framework's rule instead of by a default.
    use_framework: bool,
    default: Value,
}

#[derive(Debug)]
pub(super) struct Points(HashMap<EnforcementPoint, Point>);

impl Points {
    pub(super) fn load(rego: &mut Rego) -> Result<Self, LoadError> {
        let mut points = HashMap::new();
        // No version of the framework has it: without a rule of the policy's own there is no answer.
        let own = Point { available: true, use_framework: false, default: Value::Undefined };
        points.insert(EnforcementPoint::LinuxSettings, own);
        for point in ASKED {
            let question = serde_json::json!({ "name": point.name(), "rule": point.name() });
            let input = outcome::input(&question, Metadata::new().document());
            let info = rego
                .evaluate("data.framework.enforcement_point_info", input, DECISION_TIME_MAX)
                .map_err(LoadError::Evaluation)?;
            let is = |name: &str| field(&info, name) == Some(&Value::Bool(true));
            if is("unknown") || is("invalid") || is("version_missing") {
                continue;
            }
            let default = field(&info, "default_results").cloned().unwrap_or(Value::Undefined);
            points.insert(
                point,
                Point { available: is("available"), use_framework: is("use_framework"), default },
            );
        }
        Ok(Self(points))
    }

    /// The answer to a question; an allow only if it says so itself. Without a rule of the policy's own there is none
    /// unless it `has_default`.
    pub(super) fn ask(
        &self,
        rego: &mut Rego,
        point: EnforcementPoint,
        input: Value,
        has_default: bool,
    ) -> Result<Value, EvaluationError> {
        let name = point.name();
        let no_rule = || EvaluationError::NoRule { rule: format!("data.policy.{name}") };
        let Point { available, use_framework, default } = self.0.get(&point).ok_or_else(no_rule)?;
        let answer = rego.evaluate(&format!("data.policy.{name}"), input.clone(), DECISION_TIME_MAX);
        match answer {
            Err(EvaluationError::NoRule { .. }) if !available && *use_framework => {
                rego.evaluate(&format!("data.framework.{name}"), input, DECISION_TIME_MAX)
            }
            Err(EvaluationError::NoRule { .. }) if !available && has_default => Ok(default.clone()),
            answer => answer,
        }
    }
}
