//! The Rego interpreter with the framework, one policy and fragments in it.
//!
//! Always the interpreter: at the pinned version of `regorus` its bytecode machine allowed what policies
//! deny, so that it is not even compiled in.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use regorus::Value;
use serde_json::Value as Json;

use super::budget::{self, Budget};
use super::functions;
use super::limits::{ANSWER_BYTES_MAX, POLICY_BYTES_MAX, REQUEST_BYTES_MAX, source_limits, timer};
use super::load::LoadError;
use super::recursion::{self, References};
use super::scan;
use super::wrap::wrap;
use crate::denial::shorten;

/// Our own modules: the framework and the API, without the meaning of patterns.
const MODULES: [(&str, &str); 8] = [
    ("framework.rego", include_str!("../../rego/framework.rego")),
    ("objects.rego", include_str!("../../rego/objects.rego")),
    ("matching.rego", include_str!("../../rego/matching.rego")),
    ("fragments.rego", include_str!("../../rego/fragments.rego")),
    ("windows.rego", include_str!("../../rego/windows.rego")),
    ("container_reasons.rego", include_str!("../../rego/container_reasons.rego")),
    ("reasons.rego", include_str!("../../rego/reasons.rego")),
    ("api.rego", include_str!("../../rego/api.rego")),
];

/// What a pattern of a policy is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchoring {
    /// The whole text. Every decision is made with this.
    Whole,
    /// As the engine that sessions are recorded from does it, where `a|b` is `^a` or `b$`: only for telling why
    /// a recorded decision is another one.
    Half,
}

impl Anchoring {
    const fn module(self) -> (&'static str, &'static str) {
        match self {
            Self::Whole => ("anchoring.rego", include_str!("../../rego/anchoring.rego")),
            Self::Half => ("half_anchoring.rego", include_str!("../../rego/half_anchoring.rego")),
        }
    }
}

/// Where the state is in the input. It is not the host's.
const STATE_FIELD: &str = "metadata";

/// The longest message of the interpreter that is kept, in bytes. It may quote the policy.
const MESSAGE_BYTES_MAX: usize = 256;

/// Why a rule has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// The policy has no such rule.
    #[error("the policy has no rule `{rule}`")]
    NoRule {
        /// The rule's path.
        rule: String,
    },
    /// Conflicting values, recursion, or another fault of the policy.
    #[error("the policy cannot be evaluated: {message}")]
    Fault {
        /// The interpreter's words, shortened.
        message: String,
    },
    /// The request is larger than [`REQUEST_BYTES_MAX`].
    #[error("the request is too large")]
    RequestTooLarge,
    /// The evaluation built more than it may, or its answer is larger than
    /// [`ANSWER_BYTES_MAX`].
    #[error("the evaluation takes too much memory")]
    AnswerTooLarge,
    /// The evaluation took longer than its limit.
    #[error("the evaluation took too long")]
    TooLong,
}

/// An interpreter with modules in it.
#[derive(Clone)]
pub(crate) struct Rego {
    engine: regorus::Engine,
    /// Of the policy and of each fragment.
    references: Vec<Arc<References>>,
    budget: Budget,
}

/// What the framework's rules refer to.
static FRAMEWORK: LazyLock<Vec<References>> = LazyLock::new(|| {
    let modules = MODULES.into_iter().chain([Anchoring::Whole.module()]);
    modules
        .map(|(path, text)| {
            References::read(path.strip_suffix("api.rego").map_or("framework", |_| "api"), text)
        })
        .collect()
});

impl std::fmt::Debug for Rego {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Rego")
    }
}

impl Rego {
    /// Loads the framework and `policy`, with `data` beside them.
    pub(super) fn load(policy: &str, data: Value) -> Result<Self, LoadError> {
        Self::load_anchored(policy, data, Anchoring::Whole)
    }

    /// As [`load`](Self::load), with patterns read in this way.
    pub(super) fn load_anchored(policy: &str, data: Value, anchoring: Anchoring) -> Result<Self, LoadError> {
        scan::check(policy, "policy").map_err(LoadError::Scan)?;
        let mut engine = regorus::Engine::new();
        engine.set_strict_builtin_errors(false);
        engine.set_policy_length_config(source_limits());
        // Otherwise `print` in a policy writes to the guest's console.
        engine.set_gather_prints(true);
        let mut rego = Self { engine, references: Vec::new(), budget: Budget::default() };
        functions::replace(&mut rego.engine, &rego.budget);
        for (path, text) in MODULES.into_iter().chain([anchoring.module()]) {
            rego.add(path, text)?;
        }
        rego.refuse_recursion("policy", policy)?;
        rego.add("policy.rego", policy)?;
        rego.engine.add_data(data).map_err(|error| LoadError::Parse { message: message(&error) })?;
        Ok(rego)
    }

    /// Adds a fragment. `parameters` answers its calls of `parameter(name)`.
    pub(crate) fn add_fragment(
        &mut self,
        namespace: &str,
        text: &str,
        parameters: &Json,
    ) -> Result<(), LoadError> {
        if super::load::RESERVED.contains(&namespace) {
            return Err(LoadError::Reserved { namespace: namespace.to_owned() });
        }
        if text.len() > POLICY_BYTES_MAX {
            return Err(LoadError::TooLarge { bytes: text.len() });
        }
        scan::check(text, namespace).map_err(LoadError::Scan)?;
        self.refuse_recursion(namespace, text)?;
        self.add(&format!("{namespace}.rego"), text)?;
        // What the policy passes, else the fragment's own default, else undefined.
        let function = format!(
            "package {namespace}\n\n\
             parameter(name) := value if {{\n\tvalue := {parameters}[name]\n}} else := value if {{\n\
             \tvalue := data.{namespace}.parameters_api[name][\"default\"]\n}}\n"
        );
        scan::check_tokens(&function).map_err(LoadError::Scan)?;
        self.add(&format!("{namespace}.parameters.rego"), &function)
    }

    /// Looks at the rules of `text` together with those of all modules that are there.
    fn refuse_recursion(&mut self, package: &str, text: &str) -> Result<(), LoadError> {
        self.references.push(Arc::new(References::read(package, text)));
        let modules = FRAMEWORK.iter().chain(self.references.iter().map(AsRef::as_ref));
        recursion::check(modules).map_err(LoadError::Recursion)
    }

    fn add(&mut self, path: &str, text: &str) -> Result<(), LoadError> {
        match self.engine.add_policy(path.to_owned(), wrap(text).into_owned()) {
            Ok(_) => Ok(()),
            Err(error) => Err(LoadError::Parse { message: message(&error) }),
        }
    }

    /// Puts `value` at `key` of the data document. The next evaluation prepares all modules anew.
    pub(crate) fn set_data(&mut self, data: Value) -> Result<(), LoadError> {
        self.engine.clear_data();
        self.engine.add_data(data).map_err(|error| LoadError::Parse { message: message(&error) })
    }

    /// Evaluates `rule`, a path as `data.policy.reason`, within `limit`. Undefined is a value.
    pub(crate) fn evaluate(
        &mut self,
        rule: &str,
        input: Value,
        limit: Duration,
    ) -> Result<Value, EvaluationError> {
        let request = input.as_object().ok().into_iter().flat_map(|fields| fields.iter());
        let request = request.filter(|(name, _)| **name != STATE_FIELD.into()).map(|(_, value)| value);
        if !budget::fields_fit(request, REQUEST_BYTES_MAX) {
            return Err(EvaluationError::RequestTooLarge);
        }
        self.budget.renew();
        let answer = evaluate_within(&mut self.engine, rule, input, limit);
        if matches!(answer, Err(EvaluationError::TooLong)) {
            return answer;
        }
        // What a rule makes of a value that was not built is not to be trusted either.
        if self.budget.is_spent() {
            return Err(EvaluationError::AnswerTooLarge);
        }
        if matches!(&answer, Ok(answer) if !budget::fits(answer, ANSWER_BYTES_MAX)) {
            return Err(EvaluationError::AnswerTooLarge);
        }
        answer.map_err(|error| match error {
            EvaluationError::Fault { message } if message == "not a valid rule path" => {
                EvaluationError::NoRule { rule: rule.to_owned() }
            }
            error => error,
        })
    }
}

/// Evaluates `rule`, a path, over `input` within `limit`. Undefined is a value.
pub(crate) fn evaluate_within(
    engine: &mut regorus::Engine,
    rule: &str,
    input: Value,
    limit: Duration,
) -> Result<Value, EvaluationError> {
    let started = Instant::now();
    engine.set_execution_timer_config(timer(limit));
    engine.set_input(input);
    let result = engine.eval_rule(rule.to_owned());
    // The interpreter would hold on to the state in the input, and the next change would copy it.
    engine.set_input(Value::Undefined);
    // Nobody reads what the policy prints.
    let _ = engine.take_prints();
    // Inside a function the interpreter takes its own time limit for one more error that leaves the function
    // undefined. What it answers after that is not to be trusted.
    if started.elapsed() >= limit {
        return Err(EvaluationError::TooLong);
    }
    result.map_err(|error| EvaluationError::Fault { message: message(&error) })
}

/// The interpreter quotes whole lines of the policy before the message proper; the last line is the message.
pub(crate) fn message(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let location = text.lines().find_map(|line| line.trim_start().strip_prefix("--> "));
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let last = last.trim_start_matches("error: ");
    let mut message = match location {
        Some(location) => format!("{location}: {last}"),
        None => last.to_owned(),
    };
    shorten(&mut message, MESSAGE_BYTES_MAX);
    message
}

#[cfg(test)]
pub(super) fn framework_references() -> &'static [References] {
    &FRAMEWORK
}
