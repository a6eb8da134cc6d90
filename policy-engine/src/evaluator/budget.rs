//! How much the functions of one evaluation may build.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use regorus::Value;

use super::limits::EVALUATION_BYTES_MAX;

/// What is left for the evaluation that is under way. Shared by the functions of one interpreter.
#[derive(Debug, Clone, Default)]
pub(super) struct Budget(Arc<AtomicUsize>);

impl Budget {
    /// Starts an evaluation.
    pub(super) fn renew(&self) {
        self.0.store(EVALUATION_BYTES_MAX, Ordering::Relaxed);
    }

    /// Takes `bytes` before they are built; `None` when they are not left. The evaluation has failed then,
    /// whatever the policy makes of the missing value.
    pub(super) fn take(&self, bytes: usize) -> Option<()> {
        let left = self.0.load(Ordering::Relaxed).checked_sub(bytes).filter(|left| *left > 0);
        self.0.store(left.unwrap_or(0), Ordering::Relaxed);
        left.map(drop)
    }

    /// Whether something was not built.
    pub(super) fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// What an element of a value takes beside the bytes of texts.
const ELEMENT_BYTES: usize = 32;

/// Whether `value`, written out, stays within `bytes_max`. A policy can share parts of a value so that a small
/// one is endless when it is written out; the look ends at the limit.
pub(super) fn fits(value: &Value, bytes_max: usize) -> bool {
    fields_fit(std::iter::once(value), bytes_max)
}

/// As [`fits`], for some fields of an object together.
pub(super) fn fields_fit<'a>(values: impl Iterator<Item = &'a Value>, bytes_max: usize) -> bool {
    let mut left = bytes_max;
    let mut open: Vec<&Value> = values.collect();
    while let Some(value) = open.pop() {
        let bytes = match value {
            Value::String(text) => text.len(),
            // A list may have more elements than there is room for.
            Value::Array(list) => list.iter().count(),
            Value::Set(set) => set.len(),
            Value::Object(fields) => fields.iter().count(),
            _ => 0,
        };
        let Some(rest) = left.checked_sub(bytes.saturating_add(ELEMENT_BYTES)) else { return false };
        left = rest;
        match value {
            Value::Array(list) => open.extend(list.iter()),
            Value::Set(set) => open.extend(set.iter()),
            Value::Object(fields) => open.extend(fields.iter().flat_map(|(key, value)| [key, value])),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_for_one_evaluation() {
        let budget = Budget::default();
        budget.renew();
        assert!(budget.take(EVALUATION_BYTES_MAX - 1).is_some());
        assert!(!budget.is_spent());
        assert!(budget.take(2).is_none());
        assert!(budget.is_spent());
        assert!(budget.take(1).is_none());
        budget.renew();
        assert!(!budget.is_spent());
        assert!(budget.take(usize::MAX).is_none());
    }

    #[test]
    fn values_are_measured_as_they_are_written_out() {
        assert!(fits(&Value::from("x".repeat(100)), 132));
        assert!(!fits(&Value::from("x".repeat(100)), 131));
        let list = Value::from_json_str("[1, \"ab\", {\"a\": []}]").unwrap();
        assert!(fits(&list, 3 + 32 * 6 + 2 + 1 + 1));
        assert!(!fits(&list, 3 + 32 * 6 + 2 + 1));
        // Doubled forty times: small in memory, a terabyte as a text.
        let mut shared = Value::from("x");
        for _ in 0..40 {
            shared = Value::from(vec![shared.clone(), shared]);
        }
        assert!(!fits(&shared, 1 << 20));
    }
}
