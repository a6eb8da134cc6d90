//! Asks a policy under test as a guest would, and explains its denials.

use serde_json::{Map, Value as Json, json};

use super::{Keeper, Session};
use crate::denial::Denial;
use crate::evaluator::{EvaluationError, EvaluatorKind, LoadError, defaults, load, typed};
use crate::explanation::Explanation;
use crate::question::Question;

impl Session {
    /// Loads `policy` as a guest does: with the guest's defaults, and only if its versions are understood.
    ///
    /// # Errors
    ///
    /// When a guest would refuse the policy.
    pub fn for_guest(policy: &[u8]) -> Result<Self, LoadError> {
        load::policy(policy)?;
        let data = match defaults::document() {
            Json::Object(data) => data,
            _ => Map::new(),
        };
        Self::load(policy, data, EvaluatorKind::Native)
    }

    /// Asks the enforcement point `rule`, such as `create_container`, as a guest does: a policy of an older
    /// version is answered for where it has no such rule. `None` is an allow, which changes the state as
    /// [`query`](Self::query) does.
    ///
    /// # Errors
    ///
    /// When the API has no such enforcement point. What cannot be evaluated is denied.
    pub fn explain(&mut self, rule: &str, request: &Json) -> Result<Option<Denial>, EvaluationError> {
        let about = json!({ "name": rule, "rule": rule });
        let point = self.ask("data.framework.enforcement_point_info", &about)?;
        let is = |name: &str| point.get(name) == Some(&Json::Bool(true));
        if is("unknown") || is("invalid") {
            return Err(EvaluationError::NoRule { rule: rule.to_owned() });
        }
        let answer = match self.ask(&format!("data.policy.{rule}"), request) {
            Err(EvaluationError::NoRule { .. }) if !is("available") => {
                if is("use_framework") {
                    self.ask(&format!("data.framework.{rule}"), request)
                } else {
                    Ok(point.get("default_results").cloned().unwrap_or(Json::Null))
                }
            }
            answer => answer,
        };
        let explanation = match answer {
            Ok(answer) if answer.get("allowed") == Some(&Json::Bool(true)) => return Ok(None),
            Ok(_) => self.explanation(rule, request),
            Err(error) => Explanation { reasons: vec![error.to_string()], ..Explanation::default() },
        };
        Ok(Some(Denial::explained(rule.to_owned().into(), explanation)))
    }

    fn explanation(&mut self, rule: &str, request: &Json) -> Explanation {
        let question = Question::read(rule, request);
        if let (Keeper::Native(native), Some(question)) = (&mut self.state, &question)
            && let Some(explanation) = native.explain(question)
        {
            return explanation;
        }
        let reasons = self.reasons(rule, request);
        let explanation = question.and_then(|question| self.closest(&question)).unwrap_or_default();
        Explanation { reasons, ..explanation }
    }

    /// What the policy, or else the framework, says about a denial.
    fn reasons(&mut self, rule: &str, request: &Json) -> Vec<String> {
        let mut request = request.clone();
        if let Json::Object(fields) = &mut request {
            fields.insert("rule".to_owned(), rule.into());
        }
        for question in ["data.policy.reason", "data.framework.reason"] {
            match self.ask(question, &request) {
                Ok(Json::String(reason)) => return vec![reason],
                Ok(answer) => {
                    if let Some(Json::Array(errors)) = answer.get("errors") {
                        return errors.iter().filter_map(Json::as_str).map(str::to_owned).collect();
                    }
                }
                Err(_) => {}
            }
        }
        Vec::new()
    }

    /// Which object of a policy that the interpreter judges by came closest.
    fn closest(&mut self, question: &Question<'_>) -> Option<Explanation> {
        let document = self.document();
        let data = Json::Object(self.data.clone());
        typed::explain(self.rego().ok()?, data, &document, question)
    }
}
