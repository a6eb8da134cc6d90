//! From the bytes of a policy to an evaluator, or the reason why not.

use std::collections::BTreeMap;

use regorus::Value;

use super::limits::{DECISION_TIME_MAX, POLICY_BYTES_MAX};
use super::recursion::RecursionError;
use super::rego::{EvaluationError, Rego};
use super::scan::{self, Rule, ScanError};
use super::{EvaluatorKind, defaults, metadata::Metadata};

/// Names that a fragment may not take: ours, the policy's, and those of the data document.
pub(crate) const RESERVED: [&str; 12] = [
    "api",
    "defaultMounts",
    "defaultPrivilegedCapabilities",
    "defaultUnprivilegedCapabilities",
    "framework",
    "hugePagesPrefix",
    "metadata",
    "operatingsystem",
    "plan9Prefix",
    "policy",
    "privilegedMounts",
    "sandboxPrefix",
];

/// Why a policy is not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Larger than [`POLICY_BYTES_MAX`].
    #[error("the policy has {bytes} bytes, more than {POLICY_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("the policy is not UTF-8 text")]
    Text(#[source] std::str::Utf8Error),
    /// Refused before parsing.
    #[error("the policy is not accepted")]
    Scan(#[source] ScanError),
    /// Rules or functions that may refer to themselves.
    #[error("the policy is recursive")]
    Recursion(#[source] RecursionError),
    /// Not Rego (version 1 syntax).
    #[error("the policy does not parse: {message}")]
    Parse {
        /// The parser's words, shortened.
        message: String,
    },
    /// A fragment takes a name that is not free.
    #[error("the namespace `{namespace}` is reserved")]
    Reserved {
        /// The name.
        namespace: String,
    },
    /// The policy's own rules cannot be evaluated.
    #[error("the policy cannot be evaluated")]
    Evaluation(#[source] EvaluationError),
    /// The policy does not say which API it was written for.
    #[error("the policy has no api_version")]
    ApiVersionMissing,
    /// The policy was written for an API that this engine does not know.
    #[error("the policy's api_version {policy} is not {engine} or older")]
    ApiVersion {
        /// The policy's version.
        policy: String,
        /// This engine's.
        engine: String,
    },
    /// The policy uses the framework but does not say which one it was written for.
    #[error("the policy uses data.framework and has no framework_version")]
    FrameworkVersionMissing,
    /// The policy was written for a framework that this engine does not know.
    #[error("the policy's framework_version {policy} is not {engine} or older")]
    FrameworkVersion {
        /// The policy's version.
        policy: String,
        /// This engine's.
        engine: String,
    },
}

/// What a policy says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySummary {
    /// The API that it was written for.
    pub api_version: String,
    /// The framework that it was written for; a policy that defines all its rules itself may have none.
    pub framework_version: Option<String>,
    /// How many containers it lists.
    pub containers: usize,
    /// How it is evaluated.
    pub evaluator: EvaluatorKind,
}

pub(super) fn text(policy: &[u8]) -> Result<&str, LoadError> {
    if policy.len() > POLICY_BYTES_MAX {
        return Err(LoadError::TooLarge { bytes: policy.len() });
    }
    std::str::from_utf8(policy).map_err(LoadError::Text)
}

/// The rules of a policy's text, by name.
///
/// # Errors
///
/// When it is no text or too large.
pub(crate) fn policy_rules(policy: &[u8]) -> Result<BTreeMap<String, Rule>, LoadError> {
    text(policy).map(scan::rules)
}

/// Loads a policy with the guest's own defaults and checks its versions.
pub(super) fn policy(policy: &[u8]) -> Result<(Rego, PolicySummary), LoadError> {
    let text = text(policy)?;
    let mut rego = Rego::load(text, Value::from(defaults::document()))?;
    let summary = summarize(&mut rego, text)?;
    Ok((rego, summary))
}

fn summarize(rego: &mut Rego, text: &str) -> Result<PolicySummary, LoadError> {
    let mut rule = |rule: &str| {
        let mut input = Value::new_object();
        if let Ok(fields) = input.as_object_mut() {
            fields.insert("metadata".into(), Metadata::new().document());
        }
        rego.evaluate(&format!("data.framework.{rule}"), input, DECISION_TIME_MAX)
            .map_err(LoadError::Evaluation)
    };
    let engine = |value: Value| value.as_string().map(|version| version.to_string()).unwrap_or_default();
    let api_version = match rule("policy_api_version")? {
        Value::String(version) => version.to_string(),
        _ => return Err(LoadError::ApiVersionMissing),
    };
    if rule("api_version_understood")? != Value::Bool(true) {
        return Err(LoadError::ApiVersion { policy: api_version, engine: engine(rule("api_version")?) });
    }
    let framework_version = match rule("policy_framework_version")? {
        Value::String(version) => Some(version.to_string()),
        _ => None,
    };
    match &framework_version {
        None if text.contains("data.framework") => return Err(LoadError::FrameworkVersionMissing),
        Some(version) if rule("framework_version_understood")? != Value::Bool(true) => {
            return Err(LoadError::FrameworkVersion {
                policy: version.clone(),
                engine: engine(rule("version")?),
            });
        }
        _ => {}
    }
    let containers = rule("declared_containers")?.as_array().map(|list| list.iter().count()).unwrap_or(0);
    Ok(PolicySummary { api_version, framework_version, containers, evaluator: EvaluatorKind::Interpreter })
}
