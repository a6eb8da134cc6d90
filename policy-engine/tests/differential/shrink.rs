//! Makes a disagreement small enough to read.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::pair::{Difference, Pair};
use crate::policy::{Layout, Policy};
use crate::story::Step;
use crate::tally::Tally;

/// How long a case is made smaller.
const SHRINKING_MAX: Duration = Duration::from_secs(20);

/// A policy and steps on which the evaluators differ.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) policy: Policy,
    pub(crate) steps: Vec<Step>,
}

impl Case {
    /// The first difference, from a fresh start.
    pub(crate) fn difference(&self) -> Option<Difference> {
        match Pair::load(&self.policy.text()) {
            Err(difference) => Some(difference),
            Ok(None) => None,
            Ok(Some(mut pair)) => {
                let ran = pair.run(&self.steps, &mut Tally::default());
                ran.and_then(|()| pair.compare_states()).err()
            }
        }
    }

    /// Takes away what the difference does not need.
    pub(crate) fn shrunk(mut self) -> Self {
        let end = Instant::now() + SHRINKING_MAX;
        loop {
            let size = self.size();
            self = self.shrink_steps(end);
            self = self.shrink_policy(end);
            if self.size() >= size {
                return self;
            }
        }
    }

    fn size(&self) -> usize {
        self.steps.len() + self.policy.text().len()
    }

    fn shrink_steps(mut self, end: Instant) -> Self {
        let mut length = self.steps.len();
        while length > 0 {
            let mut start = 0;
            while start < self.steps.len() && Instant::now() < end {
                let mut smaller = self.clone();
                smaller.steps.drain(start..(start + length).min(self.steps.len()));
                if smaller.difference().is_some() {
                    self = smaller;
                } else {
                    start += length;
                }
            }
            length /= 2;
        }
        self
    }

    fn shrink_policy(mut self, end: Instant) -> Self {
        let mut plain = self.clone();
        plain.policy.layout = Layout::default();
        if plain.difference().is_some() {
            self = plain;
        }
        let mut index = 0;
        while index < self.policy.entries.len() && Instant::now() < end {
            let mut smaller = self.clone();
            smaller.policy.entries.remove(index);
            if smaller.difference().is_some() {
                self = smaller;
                continue;
            }
            self = self.shrink_list(index, end);
            index += 1;
        }
        self
    }

    /// Empties lists inside the value of the entry `index`, member by member.
    fn shrink_list(mut self, index: usize, end: Instant) -> Self {
        let mut skipped = 0;
        while let Some(Some(value)) = self.policy.entries.get(index).map(|entry| entry.1.clone()) {
            let mut value = value;
            if Instant::now() >= end || !remove_member(&mut value, &mut skipped.clone()) {
                break;
            }
            let mut smaller = self.clone();
            smaller.policy.entries[index].1 = Some(value);
            if smaller.difference().is_some() { self = smaller } else { skipped += 1 }
        }
        self
    }
}

/// Removes the list member that stands at place `number`, counted through all lists from outside.
fn remove_member(value: &mut Value, number: &mut usize) -> bool {
    match value {
        Value::Array(list) => {
            if *number < list.len() {
                list.remove(*number);
                return true;
            }
            *number -= list.len();
            list.iter_mut().any(|member| remove_member(member, number))
        }
        Value::Object(fields) => fields.values_mut().any(|member| remove_member(member, number)),
        _ => false,
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "{}", self.policy.text())?;
        let mut lines = String::new();
        for step in &self.steps {
            let line = match step {
                Step::Query { rule, input, .. } => json!({ "op": "query", "rule": rule, "input": input }),
                Step::AddFragment { namespace, text, parameters } => {
                    json!({ "op": "add_module", "namespace": namespace, "code": text, "parameters": parameters })
                }
                Step::RemoveFragment => json!({ "op": "remove_module" }),
                Step::SetData { key, value } => json!({ "op": "update_data", "key": key, "value": value }),
                Step::Save => json!({ "op": "save_metadata" }),
                Step::Restore => json!({ "op": "restore_metadata" }),
            };
            writeln!(lines, "{line}")?;
        }
        formatter.write_str(&lines)
    }
}
