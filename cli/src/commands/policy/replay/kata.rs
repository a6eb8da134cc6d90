//! Test cases of genpolicy: one policy, requests in their order, and which of them it allows.

mod request;

use std::error::Error;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use policy_engine::kata::{KataPolicy, Kind, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::output::Answer;

/// How many differences are shown.
const DIFFERENCES_SHOWN: usize = 10;

#[derive(Debug, Deserialize)]
struct TestCase {
    description: String,
    allowed: bool,
    kind: String,
    request: Json,
}

#[derive(Debug, Default, Serialize)]
struct Comparison {
    queries: usize,
    agree: usize,
    differ: usize,
    /// The first [`DIFFERENCES_SHOWN`].
    differences: Vec<Difference>,
}

#[derive(Debug, Serialize)]
struct Difference {
    /// Place in the file, from 1.
    case: usize,
    description: String,
    kind: String,
    expected_allowed: bool,
    /// Why this engine denies.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} queries, {} agree, {} differ", self.queries, self.agree, self.differ)?;
        for difference in &self.differences {
            let Difference { case, description, kind, reason, .. } = difference;
            write!(f, "\ncase {case}, {kind}, {description:?}: ")?;
            match reason {
                Some(reason) => write!(f, "expected allowed; {reason}")?,
                None => write!(f, "expected denied, is allowed")?,
            }
        }
        Ok(())
    }
}

/// Asks the policy of one file each case of another.
///
/// # Errors
/// When a file cannot be read or is not of the form.
pub(super) fn run(policy: &Path, cases: &Path) -> anyhow::Result<Answer> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let text = String::from_utf8(read(policy)?);
    let text = text.with_context(|| format!("{} is not UTF-8 text", policy.display()))?;
    let policy = KataPolicy::load(&text).with_context(|| format!("cannot use {}", policy.display()))?;
    let of_the_form = || format!("{} holds no test cases", cases.display());
    let comparison = compare(&policy, &read(cases)?).with_context(of_the_form)?;
    if comparison.differ == 0 { Answer::yes(&comparison) } else { Answer::no(&comparison) }
}

fn compare(policy: &KataPolicy, cases: &[u8]) -> anyhow::Result<Comparison> {
    let cases: Vec<TestCase> = serde_json::from_slice(cases)?;
    let mut comparison = Comparison { queries: cases.len(), ..Comparison::default() };
    for (case, number) in cases.into_iter().zip(1..) {
        let at = || format!("case {number}, {:?}", case.description);
        let kind: Kind =
            case.kind.parse().map_err(|error| anyhow!("{error}: {}", case.kind)).with_context(at)?;
        let input = request::complete(kind, &case.request).with_context(at)?;
        let refusal = match policy.judge(kind, input) {
            Ok(allowed) => {
                allowed.done();
                None
            }
            Err(refusal) => Some(refusal),
        };
        if refusal.is_none() == case.allowed {
            comparison.agree = comparison.agree.saturating_add(1);
            continue;
        }
        comparison.differ = comparison.differ.saturating_add(1);
        if comparison.differences.len() < DIFFERENCES_SHOWN {
            comparison.differences.push(Difference {
                case: number,
                description: case.description,
                kind: case.kind,
                expected_allowed: case.allowed,
                reason: refusal.as_ref().map(with_causes),
            });
        }
    }
    Ok(comparison)
}

/// The error and its causes on one line.
fn with_causes(refusal: &Refusal) -> String {
    let causes = std::iter::successors(refusal.source(), |cause| (*cause).source());
    causes.fold(refusal.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests;
