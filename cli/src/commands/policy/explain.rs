//! `cce policy explain`: why a policy denies a request, and what of it came closest.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use policy_engine::limits::POLICY_BYTES_MAX;
use policy_engine::{Denial, Session};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::output::Answer;

/// The longest file of requests, in bytes. A request has a few KiB.
const REQUESTS_BYTES_MAX: usize = 64 << 20;

/// Arguments of `cce policy explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Policy text; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    policy: String,
    /// JSON: `{"rule": "create_container", "input": {...}}`, or a list of these, asked in order. What is
    /// allowed changes the state for those after it, so that mounts can precede a container.
    #[arg(long, value_name = "FILE")]
    request: String,
}

/// A question to the policy. The rule may be spelled `data.policy.<rule>`, as recorders of decisions do.
#[derive(Debug, Deserialize)]
struct Question {
    rule: String,
    input: Value,
}

#[derive(Debug, Serialize)]
struct Explained {
    /// Whether every request is allowed.
    allowed: bool,
    requests: usize,
    denials: Vec<ExplainedDenial>,
}

#[derive(Debug, Serialize)]
struct ExplainedDenial {
    /// The place of the request in the list, from 0.
    request: usize,
    #[serde(flatten)]
    denial: Denial,
}

/// Asks the policy and explains each denial.
///
/// # Errors
/// When a file cannot be read, the policy is not accepted, or a request is none.
pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<Answer> {
    ensure!(args.policy != "-" || args.request != "-", "standard input is either the policy or the requests");
    let policy = read(&args.policy, POLICY_BYTES_MAX)?;
    let requests = read(&args.request, REQUESTS_BYTES_MAX)?;
    let questions = questions(&requests).with_context(|| format!("cannot use {}", args.request))?;
    let mut session =
        Session::for_guest(&policy).with_context(|| format!("the guest does not accept {}", args.policy))?;
    let explained = explain(&mut session, &questions)?;
    if explained.allowed { Answer::yes(&explained) } else { Answer::no(&explained) }
}

/// Reads a file that has at most `bytes_max` bytes.
fn read(file: &str, bytes_max: usize) -> anyhow::Result<Vec<u8>> {
    let context = || format!("cannot read {file}");
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    if file == "-" {
        io::stdin().lock().take(limit).read_to_end(&mut bytes).with_context(context)?;
    } else {
        File::open(file)
            .and_then(|source| source.take(limit).read_to_end(&mut bytes))
            .with_context(context)?;
    }
    ensure!(bytes.len() <= bytes_max, "{file} has more than {bytes_max} bytes");
    Ok(bytes)
}

/// One request, or a list of them.
fn questions(text: &[u8]) -> anyhow::Result<Vec<Question>> {
    let questions = match serde_json::from_slice(text).context("not JSON")? {
        list @ Value::Array(_) => serde_json::from_value(list),
        one => serde_json::from_value(one).map(|question| vec![question]),
    };
    let questions = questions.context("a request is an object of `rule` and `input`")?;
    if questions.is_empty() {
        bail!("no request");
    }
    Ok(questions)
}

fn explain(session: &mut Session, questions: &[Question]) -> anyhow::Result<Explained> {
    let mut denials = Vec::new();
    for (request, Question { rule, input }) in questions.iter().enumerate() {
        let rule = rule.strip_prefix("data.policy.").unwrap_or(rule);
        let denial =
            session.explain(rule, input).with_context(|| format!("cannot judge request {request}"))?;
        denials.extend(denial.map(|denial| ExplainedDenial { request, denial }));
    }
    Ok(Explained { allowed: denials.is_empty(), requests: questions.len(), denials })
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let denied = self.denials.len();
        write!(f, "{} of {} requests allowed", self.requests.saturating_sub(denied), self.requests)?;
        self.denials.iter().try_for_each(|denial| write!(f, "\n\n{denial}"))
    }
}

impl fmt::Display for ExplainedDenial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Denial { rule, reasons, closest, layers } = &self.denial;
        write!(f, "request {}: {rule} is denied by policy", self.request)?;
        for reason in reasons {
            write!(f, "\n  {reason}")?;
        }
        if let Some(layers) = layers {
            write!(f, "\nthe policy names {layers} layers")?;
        }
        let Some(closest) = closest else { return Ok(()) };
        write!(f, "\nclosest is {closest}")?;
        for difference in &closest.differences {
            write!(f, "\n  {}", difference.field.name())?;
            if let Some(element) = &difference.element {
                write!(f, ", {element}")?;
            }
            let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            write!(f, "\n    expected  {}", shown(&difference.expected))?;
            write!(f, "\n    given     {}", shown(&difference.given))?;
        }
        if closest.differences_left_out > 0 {
            write!(f, "\n  and {} more differences", closest.differences_left_out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_stands_alone_or_in_a_list() {
        let one = r#"{"rule": "get_properties", "input": {}}"#;
        assert_eq!(questions(one.as_bytes()).unwrap().len(), 1);
        assert_eq!(questions(format!("[{one},{one}]").as_bytes()).unwrap().len(), 2);
        for bad in ["", "[]", "1", r#"{"rule": "x"}"#, r#"[{"input": {}}]"#] {
            assert!(questions(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
