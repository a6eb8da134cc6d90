//! Verdicts of several runtimes side by side.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::outcome::Outcome;

/// What each runtime made of each test. The first runtime is ours, the second the measure.
pub(super) struct Comparison {
    runtimes: Vec<String>,
    /// By group and test; one outcome a runtime.
    tests: BTreeMap<(String, String), Vec<Outcome>>,
}

impl Comparison {
    pub(super) fn new(runtimes: Vec<String>) -> Self {
        Self { runtimes, tests: BTreeMap::new() }
    }

    /// Adds a group: what each runtime answered, in the order of the runtimes. A group that nobody answered counts
    /// as one test.
    pub(super) fn add(&mut self, group: &str, answers: &[Vec<(String, Outcome)>]) {
        let mut names: BTreeSet<_> = answers.iter().flatten().map(|(name, _)| name.as_str()).collect();
        if names.is_empty() {
            names.insert("all");
        }
        for name in names {
            let found = |answer: &Vec<(String, Outcome)>| {
                let test = answer.iter().find(|(test, _)| test == name);
                test.map_or(Outcome::Unanswered, |(_, outcome)| outcome.clone())
            };
            let outcomes = answers.iter().map(found).collect();
            self.tests.insert((group.to_owned(), name.to_owned()), outcomes);
        }
    }

    /// The tests that the measure passes and we do not.
    pub(super) fn behind(&self) -> Vec<String> {
        let is_behind = |outcomes: &[Outcome]| match outcomes {
            [ours, measure, ..] => *measure == Outcome::Passed && *ours != Outcome::Passed,
            _ => false,
        };
        let behind = self.tests.iter().filter(|(_, outcomes)| is_behind(outcomes));
        behind.map(|((group, test), _)| format!("{group}::{test}")).collect()
    }

    /// Two tables: how many tests of each group a runtime passes; and the tests that not every runtime passes, with
    /// what the suite said.
    pub(super) fn to_markdown(&self) -> String {
        let mut text = format!("| group | tests | {} |\n", self.runtimes.join(" | "));
        self.rule(&mut text, 2);
        let groups: BTreeSet<_> = self.tests.keys().map(|(group, _)| group.as_str()).collect();
        for group in groups {
            self.count(&mut text, group, |name| name == group);
        }
        self.count(&mut text, "all", |_| true);
        let _ = write!(text, "\n| test | {} | said |\n", self.runtimes.join(" | "));
        self.rule(&mut text, 2);
        for ((group, test), outcomes) in &self.tests {
            if outcomes.iter().any(|outcome| *outcome != Outcome::Passed) {
                let columns: Vec<_> = outcomes.iter().map(ToString::to_string).collect();
                let said = outcomes.iter().find_map(Outcome::reason).unwrap_or_default();
                let said = said.replace('|', "\\|");
                let _ = writeln!(text, "| {group}::{test} | {} | {said} |", columns.join(" | "));
            }
        }
        text
    }

    fn rule(&self, text: &mut String, more: usize) {
        let _ = writeln!(text, "|{}", "---|".repeat(self.runtimes.len().saturating_add(more)));
    }

    /// A row of the first table.
    fn count(&self, text: &mut String, label: &str, belongs: impl Fn(&str) -> bool) {
        let tests: Vec<_> = self
            .tests
            .iter()
            .filter(|((group, _), _)| belongs(group))
            .map(|(_, outcomes)| outcomes)
            .collect();
        let passed = |runtime: usize| {
            let of_runtime = tests.iter().filter_map(|outcomes| outcomes.get(runtime));
            of_runtime.filter(|outcome| **outcome == Outcome::Passed).count().to_string()
        };
        let columns: Vec<_> = (0..self.runtimes.len()).map(passed).collect();
        let _ = writeln!(text, "| {label} | {} | {} |", tests.len(), columns.join(" | "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Outcome {
        Outcome::Failed("a | b".to_owned())
    }

    fn comparison() -> Comparison {
        let mut comparison = Comparison::new(vec!["ours".to_owned(), "runc".to_owned()]);
        let named = |outcomes: [Outcome; 3]| {
            ["one", "two", "three"].map(ToOwned::to_owned).into_iter().zip(outcomes).collect()
        };
        let ours = named([Outcome::Passed, failed(), Outcome::Passed]);
        let measure = named([Outcome::Passed, Outcome::Passed, failed()]);
        comparison.add("group", &[ours, measure]);
        comparison.add("hangs", &[Vec::new(), vec![("four".to_owned(), Outcome::Passed)]]);
        comparison.add("silent", &[Vec::new(), Vec::new()]);
        comparison
    }

    #[test]
    fn behind_is_what_the_measure_passes_and_we_do_not() {
        assert_eq!(comparison().behind(), ["group::two", "hangs::four"]);
    }

    #[test]
    fn tables_show_counts_and_differences() {
        let text = comparison().to_markdown();
        assert!(text.contains("| group | 3 | 2 | 2 |"), "{text}");
        assert!(text.contains("| all | 5 | 2 | 3 |"), "{text}");
        assert!(text.contains("| group::two | fails | passes | a \\| b |"), "{text}");
        assert!(text.contains("| hangs::four | no answer | passes |  |"), "{text}");
        assert!(text.contains("| silent::all | no answer | no answer |  |"), "{text}");
        assert!(!text.contains("group::one"), "{text}");
    }
}
