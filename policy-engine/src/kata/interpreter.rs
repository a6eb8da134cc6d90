//! The Rego interpreter with one Kata policy in it.

use std::fmt::Write as _;
use std::time::Duration;

use regorus::Value;

use super::kind::Kind;
use super::{builtins, prints};
use crate::evaluator::limits::{POLICY_BYTES_MAX, source_limits};
use crate::evaluator::recursion::{self, RecursionError, References};
use crate::evaluator::rego::{EvaluationError, evaluate_within, message};
use crate::evaluator::scan::{self, ScanError};
use crate::evaluator::wrap::wrap;

/// The package of a policy, and the name under which our questions to it lie.
const PACKAGE: &str = "agent_policy";
const QUESTIONS: &str = "agent_questions";

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

pub(super) struct Interpreter {
    engine: regorus::Engine,
}

impl std::fmt::Debug for Interpreter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Interpreter")
    }
}

impl Interpreter {
    pub(super) fn load(policy: &str) -> Result<Self, LoadError> {
        if policy.len() > POLICY_BYTES_MAX {
            return Err(LoadError::TooLarge { bytes: policy.len() });
        }
        scan::check_structure(policy, PACKAGE).map_err(LoadError::Scan)?;
        recursion::check([References::read(PACKAGE, policy)].iter()).map_err(LoadError::Recursion)?;
        let mut engine = regorus::Engine::new();
        // As the peer reads policies; texts that ask for version 1 get it by their imports.
        engine.set_rego_v0(true);
        engine.set_strict_builtin_errors(false);
        engine.set_policy_length_config(source_limits());
        // What remains of `print` must not reach the guest's console.
        engine.set_gather_prints(true);
        builtins::add(&mut engine);
        let parse = |message| LoadError::Parse { message };
        for (path, text) in
            [("policy.rego", wrap(&prints::remove(policy))), ("questions.rego", questions().into())]
        {
            let added = engine.add_policy(path.to_owned(), text.into_owned());
            added.map_err(|error| parse(message(&error)))?;
        }
        let mut interpreter = Self { engine };
        // The policy is analysed with the first question.
        match interpreter.engine.eval_rule(format!("data.{QUESTIONS}.ready")) {
            Ok(Value::Bool(true)) => Ok(interpreter),
            Ok(_) => Err(parse("its rules have no values".to_owned())),
            Err(error) => Err(parse(message(&error))),
        }
    }

    /// The value of the rule for `kind`, with `input` as its input and `state` as `data.pstate`. Undefined is a
    /// value.
    pub(super) fn ask(
        &mut self,
        kind: Kind,
        input: Value,
        state: Value,
        limit: Duration,
    ) -> Result<Value, EvaluationError> {
        let mut question = Value::new_object();
        if let Ok(fields) = question.as_object_mut() {
            fields.insert("request".into(), input);
            fields.insert("state".into(), state);
        }
        evaluate_within(&mut self.engine, &format!("data.{QUESTIONS}.{kind}"), question, limit)
    }
}

/// A rule for each kind that asks the policy's.
///
/// The state goes in with the input and not into the interpreter's data document, whose every change would make
/// it prepare the whole policy anew.
fn questions() -> String {
    let mut text = format!("package {QUESTIONS}\n\nready := true\n");
    for kind in Kind::ALL {
        let _ = write!(
            text,
            "\n{kind} := answer {{\n\tanswer := data.{PACKAGE}.{kind} with input as input.request \
             with data.pstate as input.state\n}}\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_evaluation_that_takes_too_long_has_no_answer() {
        // The interpreter takes its own timeout inside of a function for an undefined one.
        let policy = "package agent_policy\nxs := numbers.range(1, 3000)\n\
                      slow(x) { count([1 | a := xs[_]; b := xs[_]; a * b < x]) == 0 }\n\
                      StartContainerRequest { not slow(7) }\nPauseContainerRequest := true\n";
        let mut interpreter = Interpreter::load(policy).unwrap();
        let mut ask = |kind, limit| interpreter.ask(kind, Value::new_object(), Value::new_object(), limit);
        let limit = Duration::from_millis(20);
        assert_eq!(ask(Kind::StartContainerRequest, limit), Err(EvaluationError::TooLong));
        // The next one has its own time.
        assert_eq!(ask(Kind::PauseContainerRequest, Duration::from_secs(5)), Ok(true.into()));
    }

    #[test]
    fn every_kind_has_a_question() {
        let mut interpreter = Interpreter::load("package agent_policy").unwrap();
        for kind in Kind::ALL {
            let answer =
                interpreter.ask(*kind, Value::new_object(), Value::new_object(), Duration::from_secs(5));
            assert_eq!(answer, Ok(Value::Undefined), "{kind}");
        }
    }
}
