//! What was covered: a generator that degenerates shows here.

use std::collections::BTreeMap;

use serde_json::Value;

/// Answers of one question.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answers {
    pub(crate) allowed: u64,
    pub(crate) denied: u64,
    /// Neither: no rule, an error, or another value.
    pub(crate) other: u64,
    /// Given by the native matcher.
    pub(crate) native: u64,
}

impl Answers {
    pub(crate) fn total(self) -> u64 {
        self.allowed + self.denied + self.other
    }
}

/// All answers, by rule.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) rules: BTreeMap<String, Answers>,
    /// Answers of `data.policy.reason` with at least one reason.
    pub(crate) explained: u64,
    pub(crate) policies: u64,
    /// Policies that the native matcher takes.
    pub(crate) native_policies: u64,
}

impl Tally {
    pub(crate) fn count(&mut self, rule: &str, answer: Option<&Value>, native: bool) {
        let answers = self.rules.entry(rule.rsplit('.').next().unwrap().to_owned()).or_default();
        match answer.and_then(|answer| answer.get("allowed")) {
            Some(Value::Bool(true)) => answers.allowed += 1,
            Some(Value::Bool(false)) => answers.denied += 1,
            _ => answers.other += 1,
        }
        answers.native += u64::from(native);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (rule, more) in &other.rules {
            let answers = self.rules.entry(rule.clone()).or_default();
            answers.allowed += more.allowed;
            answers.denied += more.denied;
            answers.other += more.other;
            answers.native += more.native;
        }
        self.explained += other.explained;
        self.policies += other.policies;
        self.native_policies += other.native_policies;
    }

    /// How many questions were asked.
    pub(crate) fn decisions(&self) -> u64 {
        self.rules.values().map(|answers| answers.total()).sum()
    }

    pub(crate) fn native(&self) -> u64 {
        self.rules.values().map(|answers| answers.native).sum()
    }

    /// The answers of `rule`.
    pub(crate) fn of(&self, rule: &str) -> Answers {
        self.rules.get(rule).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (policies, native) = (self.policies, self.native_policies);
        writeln!(
            formatter,
            "{:<30} {:>9} {:>9} {:>9} {:>9}",
            "rule", "allowed", "denied", "other", "native"
        )?;
        for (rule, Answers { allowed, denied, other, native }) in &self.rules {
            writeln!(formatter, "{rule:<30} {allowed:>9} {denied:>9} {other:>9} {native:>9}")?;
        }
        write!(
            formatter,
            "{} decisions on {policies} policies ({native} native), {} answered natively, {} denials explained",
            self.decisions(),
            self.native(),
            self.explained
        )
    }
}
