//! Which number of a system call has which outcome.

use std::collections::BTreeMap;

use nix::libc;
use policy_engine::request::linux::SeccompComparison;

use super::architecture::{Architecture, NO_CALL};
use super::{Condition, Entry, PROGRAM_LENGTH_MAX, SeccompError};

/// What a filter does with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Always the same.
    Return(u32),
    /// What the first rule says whose conditions hold.
    Rules(Vec<Rule>, u32),
}

/// A verdict and all that has to hold for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) verdict: u32,
    /// Whether arguments have 32 bits.
    pub(super) narrow: bool,
}

/// The outcomes for the calls of one architecture.
#[derive(Debug)]
pub(super) struct Calls {
    listed: BTreeMap<u32, Outcome>,
    default: u32,
    /// The outcome for numbers above all that the profile names.
    newer: u32,
    last: Option<u32>,
}

impl Calls {
    /// What a profile's entries say of the calls of `architecture`.
    pub(super) fn new(
        architecture: &Architecture,
        entries: &[Entry<'_>],
        default: u32,
    ) -> Result<Self, SeccompError> {
        let mut calls =
            Self { listed: BTreeMap::new(), default, newer: newer_than_named(default), last: None };
        let mut rules: usize = 0;
        for entry in entries {
            rules = rules.saturating_add(entry.names.len().saturating_mul(entry.alternatives.len()));
            if rules > PROGRAM_LENGTH_MAX {
                return Err(SeccompError::TooLong);
            }
            for name in entry.names {
                calls.add(architecture, name, entry);
            }
        }
        for outcome in calls.listed.values_mut() {
            if let Outcome::Rules(rules, _) = outcome {
                rules.sort_by_key(|rule| leniency(rule.verdict));
            }
        }
        Ok(calls)
    }

    fn add(&mut self, architecture: &Architecture, name: &str, entry: &Entry<'_>) {
        let narrow = architecture.narrow;
        let number = architecture.number(name);
        self.last = self.last.max(number);
        let Some(verdict) = entry.verdict else { return };
        if let Some(number) = number {
            if entry.alternatives.is_empty() {
                self.list(number, Outcome::Return(verdict));
            } else {
                let rule =
                    |conditions: &Vec<Condition>| Rule { conditions: conditions.clone(), verdict, narrow };
                let rules = entry.alternatives.iter().map(rule).collect();
                self.list(number, Outcome::Rules(rules, self.default));
            }
        }
        for (multiplexer, selector) in architecture.multiplexed(name) {
            // The arguments of a multiplexed call lie in memory, which no filter can read. What it cannot judge is not
            // allowed, and forbidden as if the conditions held.
            if !entry.alternatives.is_empty() && is_permissive(verdict) {
                continue;
            }
            let Some(number) = architecture.number(multiplexer.name) else { continue };
            let selected = Condition {
                index: 0,
                value: u64::from(multiplexer.mask),
                value_two: u64::from(selector),
                op: SeccompComparison::MaskedEqual,
            };
            let rule = Rule { conditions: vec![selected], verdict, narrow };
            self.list(number, Outcome::Rules(vec![rule], self.default));
        }
    }

    /// Lists a call. The first outcome without conditions stays.
    fn list(&mut self, number: u32, outcome: Outcome) {
        match (self.listed.get_mut(&number), outcome) {
            (None, outcome) => {
                self.listed.insert(number, outcome);
            }
            (Some(Outcome::Return(_)), _) => {}
            (Some(Outcome::Rules(rules, _)), Outcome::Rules(more, _)) => rules.extend(more),
            (Some(listed), outcome @ Outcome::Return(_)) => *listed = outcome,
        }
    }

    /// The outcome for a number that is not listed.
    fn unlisted(&self, number: u32) -> Outcome {
        let newer = self.last.is_some_and(|last| number > last);
        Outcome::Return(if newer { self.newer } else { self.default })
    }
}

/// All numbers under one token of the kernel's.
#[derive(Debug)]
pub(super) struct NumberSpace {
    pub(super) token: u32,
    /// From which number on there is which outcome. The first is of 0.
    outcomes: BTreeMap<u32, Outcome>,
}

impl NumberSpace {
    /// The numbers of an architecture; any other one kills, but for the one that is no call.
    pub(super) fn new(architecture: &Architecture, calls: Calls) -> Self {
        let mut space = Self { token: architecture.token, outcomes: BTreeMap::new() };
        space.outcomes.insert(0, Outcome::Return(libc::SECCOMP_RET_KILL_PROCESS));
        space.outcomes.insert(NO_CALL, calls.unlisted(NO_CALL));
        space.add(architecture, calls);
        space
    }

    /// Adds the numbers of another architecture, of which the space has none yet.
    pub(super) fn add(&mut self, architecture: &Architecture, calls: Calls) {
        let (first, last) = (*architecture.numbers.start(), *architecture.numbers.end());
        let after = last.saturating_add(1);
        self.outcomes.entry(after).or_insert(Outcome::Return(libc::SECCOMP_RET_KILL_PROCESS));
        self.outcomes.insert(first, calls.unlisted(first));
        for &number in calls.listed.keys().chain(&calls.last) {
            let next = number.saturating_add(1);
            if next < after && !calls.listed.contains_key(&next) {
                self.outcomes.insert(next, calls.unlisted(next));
            }
        }
        self.outcomes.extend(calls.listed);
    }

    /// The outcomes in the order of their first numbers, each other than the one before.
    pub(super) fn outcomes(&self) -> Vec<(u32, &Outcome)> {
        let mut outcomes: Vec<(u32, &Outcome)> = Vec::with_capacity(self.outcomes.len());
        for (&number, outcome) in &self.outcomes {
            if outcomes.last().is_none_or(|(_, before)| *before != outcome) {
                outcomes.push((number, outcome));
            }
        }
        outcomes
    }
}

/// What calls newer than all named ones get.
fn newer_than_named(default: u32) -> u32 {
    if is_permissive(default) { default } else { libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs() }
}

/// Whether the call is made, or left to a tracer.
fn is_permissive(verdict: u32) -> bool {
    let action = verdict & libc::SECCOMP_RET_ACTION_FULL;
    [libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_LOG, libc::SECCOMP_RET_TRACE].contains(&action)
}

/// How much a verdict lets pass: the kernel's own order, from killing the process to allowing the call (`seccomp(2)`).
fn leniency(verdict: u32) -> i32 {
    (verdict & libc::SECCOMP_RET_ACTION_FULL).cast_signed()
}
