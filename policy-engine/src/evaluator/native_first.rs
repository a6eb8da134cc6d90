//! Decisions by the native evaluator, and by an interpreter for the questions that it leaves.

use regorus::Value;
use serde_json::Value as Json;

use super::interpreter::Interpreter;
use super::load::{LoadError, PolicySummary};
use super::metadata::{self, Metadata};
use super::{EvaluationError, EvaluatorKind, defaults, outcome};
use crate::amendment::Amendment;
use crate::denial::Denial;
use crate::fragment::{Fragment, FragmentError, FragmentLoaded, LoadTrustListError};
use crate::native::Native;
use crate::native::points::{Allowed, Answer};
use crate::native::state;
use crate::question::Question;
use crate::request::EnforcementPoint;

/// A native policy.
#[derive(Debug)]
pub(crate) struct NativeFirst {
    native: Native,
    /// What the interpreter is made of.
    policy: Box<str>,
    /// Made when it is first needed; its own state is as old as its last use.
    interpreter: Option<Box<Interpreter>>,
}

/// A change of state by one of the two.
#[derive(Debug)]
pub(super) enum Change {
    Native(state::Change),
    Interpreter(metadata::Change),
}

impl NativeFirst {
    /// `None` for a policy that is the interpreter's.
    pub(super) fn load(policy: &str) -> Option<(Self, PolicySummary)> {
        let native = Native::load(policy, defaults::document().as_object()?)?;
        let summary = PolicySummary {
            api_version: native.policy().api_version.to_string(),
            framework_version: Some(native.policy().framework_version.to_string()),
            containers: native.policy().containers.len(),
            evaluator: EvaluatorKind::Native,
        };
        Some((Self { native, policy: policy.into(), interpreter: None }, summary))
    }

    pub(super) fn has_containers(&self) -> bool {
        !self.native.state().matches.is_empty() || !self.native.state().started.is_empty()
    }

    pub(super) fn judge(
        &mut self,
        point: EnforcementPoint,
        question: &Question<'_>,
    ) -> Result<(Amendment, Change), Denial> {
        let name = question.name();
        if !self.native.has_rule(name) {
            match self.native.point(name) {
                Some((about, false)) if about.use_framework => {}
                Some((about, false)) if question.has_default() => {
                    let answer = Value::from(about.default_results.clone());
                    return self.by_default(point, question, &answer);
                }
                _ => {
                    let error = EvaluationError::NoRule { rule: format!("data.policy.{name}") };
                    return Err(Denial::new(point, vec![error.to_string()]));
                }
            }
        }
        match self.native.answer(question) {
            Answer::Denied => Err(self.denial(point, question)),
            Answer::Allowed(allowed) => Ok((amendment(question, &allowed), Change::Native(allowed.change))),
            Answer::Interpreter => {
                let interpreter = self.interpreter().map_err(|error| unavailable(point, &error))?;
                let (amendment, change) = interpreter.judge(point, question)?;
                Ok((amendment, Change::Interpreter(change)))
            }
        }
    }

    /// An older policy does not know the question.
    fn by_default(
        &mut self,
        point: EnforcementPoint,
        question: &Question<'_>,
        answer: &Value,
    ) -> Result<(Amendment, Change), Denial> {
        if !outcome::is_allowed(answer) {
            return Err(self.denial(point, question));
        }
        let amendment = outcome::amendment(answer, &question.input())
            .map_err(|error| Denial::new(point, vec![error.to_string()]))?;
        Ok((amendment, Change::Native(state::Change::Nothing)))
    }

    /// Why `question` is denied.
    fn denial(&mut self, point: EnforcementPoint, question: &Question<'_>) -> Denial {
        if let Some(explanation) = self.native.explain(question) {
            return Denial::explained(point.name().into(), explanation);
        }
        match self.interpreter() {
            Ok(interpreter) => interpreter.denial(point, question),
            Err(error) => unavailable(point, &error),
        }
    }

    /// The interpreter, with the state as it is now.
    fn interpreter(&mut self) -> Result<&mut Interpreter, LoadError> {
        let metadata = Metadata::from_document(self.native.document());
        let mut interpreter = match self.interpreter.take() {
            Some(interpreter) => interpreter,
            None => Box::new(Interpreter::load(self.policy.as_bytes())?.0),
        };
        interpreter.set_metadata(metadata);
        Ok(self.interpreter.insert(interpreter))
    }

    /// Applies `change`. When that leads to a state that has no native form, the interpreter takes over for
    /// good. An error leaves the state unknown.
    pub(super) fn commit(&mut self, change: Change) -> Result<Option<Interpreter>, LoadError> {
        let change = match change {
            Change::Native(change) => {
                self.native.commit(change);
                return Ok(None);
            }
            Change::Interpreter(change) => change,
        };
        self.interpreter()?.commit(change);
        Ok(self.take_over())
    }

    /// As the interpreter's [`load_fragment`](Interpreter::load_fragment), and perhaps the interpreter takes over.
    pub(super) fn load_fragment(
        &mut self,
        fragment: &Fragment<'_>,
    ) -> Result<(FragmentLoaded, Option<Interpreter>), FragmentError> {
        let interpreter = self.interpreter().map_err(FragmentError::Policy)?;
        let loaded = interpreter.load_fragment(fragment)?;
        Ok((loaded, self.take_over()))
    }

    /// As the interpreter's [`ask_trust_list`](Interpreter::ask_trust_list): the framework's rule changes no state.
    pub(super) fn ask_trust_list(&mut self, question: &Json) -> Result<Json, LoadTrustListError> {
        let interpreter = self.interpreter().map_err(LoadTrustListError::Policy)?;
        Ok(interpreter.ask_trust_list(question)?)
    }

    /// Takes the interpreter's state over. When that has no native form, the interpreter takes over for good.
    fn take_over(&mut self) -> Option<Interpreter> {
        let document = self.interpreter.as_ref()?.metadata().document();
        if self.native.take_over(&document) {
            return None;
        }
        self.interpreter.take().map(|interpreter| *interpreter)
    }
}

fn unavailable(point: EnforcementPoint, error: &LoadError) -> Denial {
    Denial::new(point, vec![error.to_string()])
}

/// What an allow changes in the request that asked `question`: entries are kept in the order and as often as
/// they were asked for.
fn amendment(question: &Question<'_>, allowed: &Allowed<'_>) -> Amendment {
    let (environment, capabilities) = match question {
        Question::CreateContainer(question) => (&question.environment, &question.capabilities),
        Question::ExecInContainer(question) => (&question.environment, &question.capabilities),
        _ => return Amendment::default(),
    };
    let kept = |asked: &[&str], kept: &[&str]| -> Vec<String> {
        asked.iter().filter(|entry| kept.contains(*entry)).map(|entry| (*entry).to_owned()).collect()
    };
    let env = allowed.environment.as_ref().filter(|agreed| *agreed != environment);
    let sets = allowed.capabilities.as_ref().filter(|agreed| !agreed.are(capabilities));
    Amendment {
        env: env.map(|agreed| kept(environment, agreed)),
        capabilities: sets.map(|agreed| agreed.of(capabilities, kept)),
        allow_stdio_access: allowed.allow_stdio_access == Some(true),
    }
}
