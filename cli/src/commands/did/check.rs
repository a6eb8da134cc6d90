//! `cce did check`: the resolver against vectors in the format of the method's own.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use signed_statement::did;

use crate::output::Answer;

/// How many differences are shown.
const DIFFERENCES_MAX: usize = 10;

/// Arguments of `cce did check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// JSON list of {id, input: {did, chain}, output: {document} or {error}}; certificates in base64url.
    vectors: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Vector {
    id: String,
    input: Input,
    output: Output,
}

#[derive(Debug, Deserialize)]
struct Input {
    did: String,
    chain: Chain,
}

/// A list of certificates, or the text of the `x509chain` resolution option.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Chain {
    List(Vec<String>),
    Text(String),
}

#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Output {
    Document(Value),
    Error(String),
}

#[derive(Debug, Serialize)]
struct Difference {
    id: String,
    expected: Output,
    given: Output,
}

#[derive(Debug, Default, Serialize)]
struct Comparison {
    vectors: usize,
    agree: usize,
    differ: usize,
    differences: Vec<Difference>,
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Difference { id, expected, given } in &self.differences {
            writeln!(formatter, "{id}\n  expected: {expected}\n  given:    {given}")?;
        }
        write!(formatter, "{} vectors, {} agree, {} differ", self.vectors, self.agree, self.differ)
    }
}

impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(document) => write!(formatter, "{document}"),
            Self::Error(error) => write!(formatter, "error: {error}"),
        }
    }
}

/// Resolves each name with its chain.
///
/// # Errors
/// When the file is not one of vectors.
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<Answer> {
    let text =
        std::fs::read(&args.vectors).with_context(|| format!("reading {} failed", args.vectors.display()))?;
    let vectors: Vec<Vector> = serde_json::from_slice(&text)
        .with_context(|| format!("{} is not a list of did:x509 vectors", args.vectors.display()))?;
    let mut comparison = Comparison::default();
    for Vector { id, input, output: expected } in vectors {
        comparison.vectors = comparison.vectors.saturating_add(1);
        let given = resolve(&input).with_context(|| format!("vector {id}"))?;
        if given == expected {
            comparison.agree = comparison.agree.saturating_add(1);
        } else {
            comparison.differ = comparison.differ.saturating_add(1);
            if comparison.differences.len() < DIFFERENCES_MAX {
                comparison.differences.push(Difference { id, expected, given });
            }
        }
    }
    if comparison.differ == 0 { Answer::yes(&comparison) } else { Answer::no(&comparison) }
}

fn resolve(input: &Input) -> anyhow::Result<Output> {
    let certificates: Vec<&str> = match &input.chain {
        Chain::List(certificates) => certificates.iter().map(String::as_str).collect(),
        Chain::Text(certificates) => certificates.split(',').collect(),
    };
    let chain = certificates
        .into_iter()
        .map(|certificate| URL_SAFE_NO_PAD.decode(certificate.trim_end_matches('=')))
        .collect::<Result<Vec<_>, _>>()
        .context("a certificate is not base64url")?;
    Ok(match did::resolve(&input.did, &chain) {
        Ok(document) => Output::Document(serde_json::to_value(document)?),
        Err(error) => Output::Error(error.to_string()),
    })
}
