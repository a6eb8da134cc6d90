//! `cce policy check`: whether a guest would accept a policy, and what a reviewer would say about it.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use anyhow::Context as _;
use clap::Args;
use policy_engine::limits::POLICY_BYTES_MAX;
use policy_engine::lint::{self, Finding, Severity};
use policy_engine::{Engine, EvaluatorKind, LoadError, PolicyDigest};
use serde::Serialize;

use crate::output::Answer;

/// Arguments of `cce policy check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Policy text; `-` reads standard input.
    file: String,
    /// Answer no to a policy with warnings too.
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Serialize)]
struct Check {
    file: String,
    sha256: String,
    loads: bool,
    api_version: Option<String>,
    framework_version: Option<String>,
    containers: Option<usize>,
    /// How it is evaluated.
    evaluator: Option<EvaluatorKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    findings: Vec<Finding>,
}

impl Check {
    fn new(file: &str, policy: &[u8]) -> Self {
        let sha256 = PolicyDigest::of(policy).to_string();
        let file = file.to_owned();
        match Engine::load(policy) {
            Ok(engine) => {
                let summary = engine.summary();
                Self {
                    file,
                    sha256,
                    loads: true,
                    api_version: Some(summary.api_version),
                    framework_version: summary.framework_version,
                    containers: Some(summary.containers),
                    evaluator: Some(summary.evaluator),
                    error: None,
                    // What loads can be read.
                    findings: lint::check(policy).unwrap_or_default(),
                }
            }
            Err(error) => Self {
                file,
                sha256,
                loads: false,
                api_version: None,
                framework_version: None,
                containers: None,
                evaluator: None,
                error: Some(with_causes(&error)),
                findings: Vec::new(),
            },
        }
    }
}

impl Check {
    /// Whether the policy is accepted and has no findings as bad as this.
    fn passes(&self, strict: bool) -> bool {
        let worst_accepted = if strict { Severity::Note } else { Severity::Warning };
        self.loads && self.findings.iter().all(|finding| finding.severity >= worst_accepted)
    }
}

/// The error and its causes on one line.
fn with_causes(error: &LoadError) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.error {
            return write!(f, "{} is not accepted: {error}", self.file);
        }
        let or_none = |version: &Option<String>| version.clone().unwrap_or_else(|| "none".to_owned());
        write!(
            f,
            "{} is accepted: api_version {}, framework_version {}, {} containers, evaluated {}\nsha256 {}",
            self.file,
            or_none(&self.api_version),
            or_none(&self.framework_version),
            self.containers.unwrap_or_default(),
            match self.evaluator {
                Some(EvaluatorKind::Native) => "natively",
                _ => "by the interpreter",
            },
            self.sha256
        )?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n{finding}"))
    }
}

/// Loads a policy as the guest does, and lists what a reviewer should look at.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<Answer> {
    let policy =
        if args.file == "-" { read(io::stdin().lock()) } else { File::open(&args.file).and_then(read) }
            .with_context(|| format!("cannot read {}", args.file))?;
    let check = Check::new(&args.file, &policy);
    if check.passes(args.strict) { Answer::yes(&check) } else { Answer::no(&check) }
}

/// Reads one byte more than a policy may have, so that one that is too large is noticed.
fn read(source: impl Read) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(POLICY_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut policy = Vec::new();
    source.take(limit).read_to_end(&mut policy)?;
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str =
        "package policy\napi_version := \"0.10.0\"\nframework_version := \"0.2.3\"\ncontainers := []\n";

    #[test]
    fn accepted_policies_tell_their_versions() {
        let mut check = serde_json::to_value(Check::new("p.rego", POLICY.as_bytes())).unwrap();
        let findings = check.as_object_mut().unwrap().remove("findings").unwrap();
        let expected = serde_json::json!({
            "file": "p.rego",
            "sha256": PolicyDigest::of(POLICY.as_bytes()).to_string(),
            "loads": true,
            "api_version": "0.10.0",
            "framework_version": "0.2.3",
            "containers": 0,
            "evaluator": "native",
        });
        assert_eq!(check, expected);
        let codes: Vec<&str> =
            findings.as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect();
        assert_eq!(codes.iter().filter(|code| **code == "rule-missing").count(), 17, "{codes:?}");
    }

    #[test]
    fn errors_fail_a_policy_and_warnings_a_strict_check() {
        let warned = Check::new("p.rego", POLICY.as_bytes());
        assert!(warned.to_string().contains("\nwarning[rule-missing] mount_device: "), "{warned}");
        assert!(warned.passes(false) && !warned.passes(true));
        let broken = POLICY.replace("[]", "[{\"layers\": []}]");
        let broken = Check::new("p.rego", broken.as_bytes());
        assert!(broken.loads && !broken.passes(false));
        let custom = "package policy\napi_version := \"0.1.0\"\nmount_device := {\"allowed\": false}\n\
            mount_overlay := mount_device\ncreate_container := mount_device\n";
        assert!(Check::new("p.rego", custom.as_bytes()).passes(true));
    }

    #[test]
    fn refused_policies_tell_why() {
        let check = Check::new("p.rego", b"package nothing\n");
        assert!(!check.loads && !check.passes(false));
        assert_eq!(check.error.as_deref(), Some("the policy is not accepted: the package must be `policy`"));
        assert_eq!(
            check.to_string(),
            "p.rego is not accepted: the policy is not accepted: the package must be `policy`"
        );
    }
}
