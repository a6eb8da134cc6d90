//! Why a request was refused.

use serde::Serialize;

use crate::request::EnforcementPoint;

/// The most reasons that one denial carries: a host cannot make the guest build long answers.
pub const REASONS_MAX: usize = 16;

/// The longest reason, in bytes. Longer ones, such as a list of many names, end in an ellipsis.
pub const REASON_BYTES_MAX: usize = 512;

/// The longest denial as text, in bytes.
pub const DENIAL_BYTES_MAX: usize = 2048;

/// The policy's no, for people and programs. It names what failed; it never holds values of the
/// environment or contents of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Denial {
    /// The rule that said no.
    pub rule: &'static str,
    /// The conditions that failed, in the words that users of the peers know (`invalid command`, ...): each
    /// once, at most [`REASONS_MAX`] of at most [`REASON_BYTES_MAX`] bytes.
    pub reasons: Vec<String>,
}

impl Denial {
    pub(crate) fn new(point: EnforcementPoint, reasons: Vec<String>) -> Self {
        // Room for the sentence around the reasons.
        let mut room = DENIAL_BYTES_MAX.saturating_sub(128);
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
        Self { rule: point.name(), reasons: kept }
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
