//! Why a request was refused.

use std::borrow::Cow;

use serde::Serialize;

use crate::explanation::{Closest, Explanation};
use crate::request::EnforcementPoint;

/// The most reasons that one denial carries: a host cannot make the guest build long answers.
pub const REASONS_MAX: usize = 16;

/// The longest reason, in bytes. Longer ones, such as a list of many names, end in an ellipsis.
pub const REASON_BYTES_MAX: usize = 512;

/// The longest denial as text, in bytes.
pub const DENIAL_BYTES_MAX: usize = 2048;

/// What a denial says beside its reasons, in bytes: the rule, the closest object and the fields that differ.
const AROUND_REASONS_BYTES: usize = 640;

/// The policy's no, for people and programs. It never holds values of the environment.
///
/// As text it is for the host: it names what failed, and of the closest object only its name and the fields
/// that differ. The fields themselves, which serialisation writes too, show contents of the policy and are for
/// the guest and for who wrote the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Denial {
    /// The rule that said no.
    pub rule: Cow<'static, str>,
    /// The conditions that failed, in the words that users of the peers know (`invalid command`, ...): each
    /// once, at most [`REASONS_MAX`] of at most [`REASON_BYTES_MAX`] bytes.
    pub reasons: Vec<String>,
    /// The object of the policy that came closest, if the rule compares objects.
    pub closest: Option<Box<Closest>>,
    /// For a layer that no container has: how many different layers the policy names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<usize>,
}

impl Denial {
    pub(crate) fn new(point: EnforcementPoint, reasons: Vec<String>) -> Self {
        Self::by_rule(point.name().into(), reasons)
    }

    pub(crate) fn by_rule(rule: Cow<'static, str>, reasons: Vec<String>) -> Self {
        let mut room = DENIAL_BYTES_MAX.saturating_sub(AROUND_REASONS_BYTES);
        let mut kept: Vec<String> = Vec::new();
        for mut reason in reasons {
            shorten(&mut reason, REASON_BYTES_MAX.min(room));
            if reason.is_empty() || kept.contains(&reason) {
                continue;
            }
            if kept.len() >= REASONS_MAX {
                break;
            }
            // With the separator.
            room = room.saturating_sub(reason.len().saturating_add(2));
            kept.push(reason);
        }
        Self { rule, reasons: kept, closest: None, layers: None }
    }

    pub(crate) fn explained(rule: Cow<'static, str>, explanation: Explanation) -> Self {
        let Explanation { reasons, closest, layers } = explanation;
        let closest = closest.map(|closest| Box::new(closest.bounded()));
        Self { closest, layers, ..Self::by_rule(rule, reasons) }
    }
}

/// Cuts `text` to at most `bytes_max` bytes, with an ellipsis where something is missing. Control characters
/// become blanks: a name that the host chose must not move the cursor of who reads it.
pub(crate) fn shorten(text: &mut String, bytes_max: usize) {
    const ELLIPSIS: &str = "…";
    if text.contains(char::is_control) {
        *text = text.replace(char::is_control, " ");
    }
    if text.len() <= bytes_max {
        return;
    }
    let mut end = bytes_max.saturating_sub(ELLIPSIS.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.truncate(end);
    if bytes_max >= ELLIPSIS.len() {
        text.push_str(ELLIPSIS);
    }
}

impl std::fmt::Display for Denial {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} is denied by policy", self.rule)?;
        if !self.reasons.is_empty() {
            write!(formatter, ": {}", self.reasons.join("; "))?;
        }
        if let Some(layers) = self.layers {
            write!(formatter, "; the policy names {layers} layers")?;
        }
        if let Some(closest) = &self.closest {
            write!(formatter, "; closest is {closest}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Denial {}

/// Why there is no permit.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The policy says no, or does not say yes.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// An earlier effect ended in an unknown state: the guest only takes things down.
    #[error("the guest is in an inconsistent state after an earlier failure and only takes things down")]
    Poisoned,
    /// A permit is outstanding: changes are decided one at a time.
    #[error("another change is under way")]
    Busy,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(reasons: Vec<String>) -> Denial {
        Denial::new(EnforcementPoint::CreateContainer, reasons)
    }

    #[test]
    fn denials_are_bounded() {
        let long = denial((0..100).map(|number| format!("{number}{}", "é".repeat(5_000))).collect());
        assert!(long.to_string().len() <= DENIAL_BYTES_MAX, "{}", long.to_string().len());
        assert!(long.reasons.iter().all(|reason| reason.len() <= REASON_BYTES_MAX));
        let many = denial((0..100).map(|number| number.to_string()).collect());
        assert_eq!(many.reasons.len(), REASONS_MAX);
    }

    #[test]
    fn each_reason_is_given_once_and_on_one_line() {
        let denial = denial(["invalid user", "invalid user", "a\nb\x1b[2J"].map(str::to_owned).into());
        assert_eq!(denial.reasons, ["invalid user", "a b [2J"]);
        assert_eq!(denial.to_string(), "create_container is denied by policy: invalid user; a b [2J");
    }
}
