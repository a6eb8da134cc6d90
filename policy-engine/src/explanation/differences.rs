//! How an object of the policy and a process that is asked for differ, element by element.

use std::borrow::Cow;

use super::conditions::{Condition, Conditions};
use super::survey::{Object, Process};
use super::{Difference, Field};
use crate::native::matching::Mounts;
use crate::native::objects::{EnvForm, EnvRule, TextRule};
use crate::native::points::Rules;

mod container;

/// The most differences that are listed of one field.
const OF_ONE_FIELD_MAX: usize = 4;

/// In place of what may be a secret.
const NOT_SHOWN: &str = "(not shown)";

/// A list of differences that stays short.
#[derive(Debug, Default)]
pub(super) struct Differences {
    pub(super) listed: Vec<Difference>,
    pub(super) left_out: usize,
}

impl Differences {
    /// Adds those of one field.
    pub(super) fn add(&mut self, of_one_field: impl IntoIterator<Item = Difference>) {
        let mut of_one_field = of_one_field.into_iter();
        self.listed.extend(of_one_field.by_ref().take(OF_ONE_FIELD_MAX));
        self.left_out = self.left_out.saturating_add(of_one_field.count());
    }
}

/// The arguments that differ.
pub(super) fn command<'a>(
    expected: &'a [Box<str>],
    given: &'a [&'a str],
) -> impl Iterator<Item = Difference> + 'a {
    (0..expected.len().max(given.len())).filter_map(|place| {
        let (expected, given) = (expected.get(place).map(AsRef::as_ref), given.get(place).copied());
        (expected != given).then(|| Difference {
            expected: expected.map(str::to_owned),
            given: given.map(str::to_owned),
            ..Difference::of(Field::Command).at(format!("argument {place}"))
        })
    })
}

/// How `object` differs from what `process` asks in the conditions that are not `met`.
pub(super) fn of_process(
    object: Object<'_>,
    command_of: Option<&[Box<str>]>,
    process: &Process<'_>,
    met: Conditions,
    rules: Rules<'_>,
) -> Differences {
    let unmet = |condition| !met.includes(Conditions::of(&[condition]));
    let mut differences = Differences::default();
    if unmet(Condition::Command) {
        match command_of {
            Some(expected) => differences.add(command(expected, process.command)),
            // Nothing may be executed in this container.
            None => differences.add(command(&[], process.command).take(1)),
        }
    }
    if unmet(Condition::WorkingDir) {
        differences.add([Difference::of(Field::WorkingDir)
            .expected(object.working_dir())
            .given(process.working_dir)]);
    }
    if unmet(Condition::Environment) {
        differences.add(unknown_variables(object, process.environment));
    }
    if unmet(Condition::RequiredEnvironment) {
        differences.add(missing_variables(object, process.environment));
    }
    if let (Object::Container(candidate), Some(inside)) = (object, &process.inside) {
        container::of_rights(&mut differences, candidate, inside, &unmet, rules.policy);
        if let Some(question) = process.creation {
            container::of_creation(
                &mut differences,
                candidate,
                Mounts { policy: rules.policy, state: rules.state, question },
                &unmet,
            );
        }
    }
    differences
}

/// Variables that no rule of the object knows. Whether it knows the name with another value is said, neither
/// value is.
fn unknown_variables<'a>(
    object: Object<'a>,
    environment: &'a [&'a str],
) -> impl Iterator<Item = Difference> + 'a {
    let unknown = move |entry: &&&str| !object.env_rules().any(|rule| rule.fits(entry));
    environment.iter().filter(unknown).map(move |entry| {
        let name = variable_name(entry);
        let other_value = object.env_rules().any(|rule| rule_name(rule).as_deref() == Some(name));
        Difference {
            expected: other_value.then(|| NOT_SHOWN.to_owned()),
            ..Difference::of(Field::EnvRules).at(name).given(NOT_SHOWN)
        }
    })
}

/// Rules that some variable must fit and none does.
fn missing_variables<'a>(
    object: Object<'a>,
    environment: &'a [&'a str],
) -> impl Iterator<Item = Difference> + 'a {
    let missing = move |(_, rule): &(usize, &EnvRule)| {
        rule.required && !environment.iter().any(|entry| rule.fits(entry))
    };
    object.env_rules().enumerate().filter(missing).map(move |(place, rule)| {
        let name = rule_name(rule);
        let given =
            name.is_some() && environment.iter().any(|entry| Some(variable_name(entry)) == name.as_deref());
        Difference {
            given: given.then(|| NOT_SHOWN.to_owned()),
            ..Difference::of(Field::EnvRules)
                .at(name.map_or_else(|| format!("rule {place}"), Cow::into_owned))
                .expected(NOT_SHOWN)
        }
    })
}

/// What is before the first equals sign.
pub(super) fn variable_name(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

/// The name of the variable that a rule is about, where it is certainly that: in a pattern, what stands before
/// the first equals sign may match an equals sign and a value too.
fn rule_name(rule: &EnvRule) -> Option<Cow<'_, str>> {
    let plain = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    match &rule.form {
        EnvForm::Entry(TextRule::Exact(entry)) => entry.split_once('=').map(|(name, _)| name.into()),
        EnvForm::Entry(TextRule::Pattern(pattern)) => {
            pattern.text().split_once('=').map(|(name, _)| name).filter(|name| plain(name)).map(Into::into)
        }
        EnvForm::Parts { name: TextRule::Exact(name), .. } => Some(name.as_ref().into()),
        EnvForm::Parts { name: TextRule::Pattern(pattern), .. } => Some(pattern.text().into()),
    }
}
