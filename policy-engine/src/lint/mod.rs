//! Reads a policy as a reviewer would: what does not do what it seems to, and what is left open.
//!
//! The checks look at the objects that the policy's rules give when they are evaluated, so that they work for
//! literal lists and for computed ones. A finding is no verdict about safety: a policy may want what is found,
//! and one without findings may still allow too much.

mod containers;
mod document;
mod finding;
mod fragments;
mod patterns;
mod rights;
mod rules;
mod shape;
mod spelling;
mod versions;

#[cfg(test)]
mod fixture;

pub use finding::{Finding, Severity};

use crate::evaluator::LoadError;
use document::Document;
use finding::Findings;

/// The findings about `policy`, the worst first, and in the order of the policy's lists.
///
/// # Errors
///
/// When the policy is no text, exceeds the limits or does not parse.
pub fn check(policy: &[u8]) -> Result<Vec<Finding>, LoadError> {
    let document = Document::load(policy)?;
    let mut findings = Findings::default();
    versions::check(&document, &mut findings);
    rules::check(&document, &mut findings);
    rights::check(&document, &mut findings);
    shape::check(&document, &mut findings);
    containers::check(&document, &mut findings);
    patterns::check(&document, &mut findings);
    fragments::check(&document, &mut findings);
    Ok(findings.sorted())
}
