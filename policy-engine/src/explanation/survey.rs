//! Compares a process that is asked for with each object that it may be, once.

mod judges;

use super::conditions::{Condition, Conditions, Marks};
use super::differences::variable_name;
use crate::native::matching::Mounts;
use crate::native::objects::{EnvRule, ExternalProcess};
use crate::native::points::Rules;
use crate::native::policy::{Candidate, Policy};
use crate::question::{self, IdName};
use judges::{Creation, Rights, Variables, has_command};

/// An object of the policy that a process may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Object<'p> {
    /// A container, or for an exec one of its exec processes.
    Container(&'p Candidate),
    External(&'p ExternalProcess),
}

impl<'p> Object<'p> {
    pub(super) fn working_dir(self) -> &'p str {
        match self {
            Self::Container(candidate) => &candidate.container.working_dir,
            Self::External(process) => &process.working_dir,
        }
    }

    pub(super) fn env_rules(self) -> impl Iterator<Item = &'p EnvRule> {
        let (own, platform): (&[EnvRule], &[EnvRule]) = match self {
            Self::Container(Candidate { container, rule }) => {
                (&container.env_rules, rule.as_ref().map_or(&[], |rule| &rule.env_rules))
            }
            Self::External(process) => (&process.env_rules, &[]),
        };
        own.iter().chain(platform)
    }

    fn allow_stdio_access(self) -> bool {
        match self {
            Self::Container(candidate) => candidate.container.allow_stdio_access,
            Self::External(process) => process.allow_stdio_access,
        }
    }
}

/// A process that is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process<'q> {
    pub(super) command: &'q [&'q str],
    pub(super) environment: &'q [&'q str],
    pub(super) working_dir: &'q str,
    /// In a container.
    pub(super) inside: Option<Inside<'q>>,
    /// The init of a container to be.
    pub(super) creation: Option<&'q question::CreateContainer<'q>>,
}

/// As whom and with which rights a process runs in a container.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inside<'q> {
    pub(super) no_new_privileges: bool,
    pub(super) user: &'q IdName<'q>,
    pub(super) groups: &'q [IdName<'q>],
    pub(super) umask: &'q str,
    pub(super) capabilities: &'q question::Capabilities<'q>,
    pub(super) privileged: bool,
}

impl<'q> Process<'q> {
    pub(super) fn created(question: &'q question::CreateContainer<'q>) -> Self {
        Self {
            command: &question.command,
            environment: &question.environment,
            working_dir: question.working_dir,
            inside: Some(Inside {
                no_new_privileges: question.no_new_privileges,
                user: &question.user,
                groups: &question.groups,
                umask: &question.umask,
                capabilities: &question.capabilities,
                privileged: question.privileged,
            }),
            creation: Some(question),
        }
    }

    /// `privileged` is what its container runs as.
    pub(super) fn executed(question: &'q question::ExecInContainer<'q>, privileged: bool) -> Self {
        Self {
            command: &question.command,
            environment: &question.environment,
            working_dir: question.working_dir,
            inside: Some(Inside {
                no_new_privileges: question.no_new_privileges,
                user: &question.user,
                groups: &question.groups,
                umask: &question.umask,
                capabilities: &question.capabilities,
                privileged,
            }),
            creation: None,
        }
    }

    pub(super) fn external(question: &'q question::ExecExternal<'q>) -> Self {
        Self {
            command: &question.command,
            environment: &question.environment,
            working_dir: question.working_dir,
            inside: None,
            creation: None,
        }
    }

    /// What is asked of an object.
    pub(super) const fn asked(&self) -> Conditions {
        use Condition::{
            AllowElevated, Capabilities, Command, Environment, Groups, Mounts, NoNewPrivileges,
            RequiredEnvironment, Seccomp, Umask, User, WorkingDir,
        };
        const ANY: [Condition; 4] = [Command, WorkingDir, Environment, RequiredEnvironment];
        const EXEC: Conditions = Conditions::of(&[
            Command,
            WorkingDir,
            Environment,
            RequiredEnvironment,
            NoNewPrivileges,
            User,
            Groups,
            Umask,
            Capabilities,
        ]);
        match (self.inside, self.creation) {
            (None, _) => Conditions::of(&ANY),
            (Some(_), None) => EXEC,
            (Some(_), Some(_)) => EXEC.and(Conditions::of(&[AllowElevated, Mounts, Seccomp])),
        }
    }
}

/// The reasons that stand for themselves: what none of the objects meets, and the words for it.
const WORDS: [(Conditions, &str); 7] = [
    (Conditions::of(&[Condition::AllowElevated]), "privileged escalation not allowed"),
    (Conditions::of(&[Condition::Capabilities]), "capabilities don't match"),
    (Conditions::of(&[Condition::Command]), "invalid command"),
    (Conditions::of(&[Condition::NoNewPrivileges]), "invalid noNewPrivileges"),
    (Conditions::of(&[Condition::Seccomp]), "invalid seccomp"),
    (Conditions::of(&[Condition::User, Condition::Groups, Condition::Umask]), "invalid user"),
    (Conditions::of(&[Condition::WorkingDir]), "invalid working directory"),
];
const REQUIRED: Conditions = Conditions::of(&[Condition::RequiredEnvironment]);
const ENVIRONMENT: Conditions = Conditions::of(&[Condition::Environment, Condition::RequiredEnvironment]);
const MOUNTS: Conditions = Conditions::of(&[Condition::Mounts]);

/// What the comparison of one process with all objects has found.
#[derive(Debug)]
pub(super) struct Survey<'p> {
    asked: Conditions,
    /// What each of the objects meets, without doubles.
    met: Vec<Conditions>,
    /// The values of `allow_stdio_access` among the objects that meet everything.
    stdio: [bool; 2],
    known_variables: Marks,
    known_mounts: Marks,
    /// The object that meets most, and what it meets.
    pub(super) closest: Option<(Object<'p>, Conditions)>,
}

impl<'p> Survey<'p> {
    pub(super) fn of(
        process: &Process<'_>,
        objects: impl Iterator<Item = Object<'p>>,
        rules: Rules<'p>,
    ) -> Self {
        let mut survey = Self {
            asked: process.asked(),
            met: Vec::new(),
            stdio: [false; 2],
            known_variables: Marks::default(),
            known_mounts: Marks::default(),
            closest: None,
        };
        let mut variables =
            Variables::new(process.environment, rules.policy.rights.environment_variable_dropping);
        let mut rights = process.inside.map(|inside| Rights::new(inside, rules.policy));
        let mut creation = process
            .creation
            .map(|question| Creation::new(Mounts { policy: rules.policy, state: rules.state, question }));
        for object in objects {
            let mut met = Conditions::default();
            met.set(Condition::Command, has_command(object, process));
            met.set(Condition::WorkingDir, object.working_dir() == process.working_dir);
            variables.judge(object, &mut met);
            survey.known_variables.add(&variables.known);
            if let Object::Container(candidate) = object {
                if let Some(rights) = &mut rights {
                    rights.judge(candidate, &mut met);
                }
                if let Some(creation) = &mut creation {
                    creation.judge(candidate, &mut met);
                    survey.known_mounts.add(&creation.known);
                }
            }
            survey.count(object, met);
        }
        survey
    }

    fn count(&mut self, object: Object<'p>, met: Conditions) {
        if met.includes(self.asked) {
            let choice = usize::from(object.allow_stdio_access());
            if let Some(seen) = self.stdio.get_mut(choice) {
                *seen = true;
            }
        }
        // 2^12 at the most, a handful in practice.
        if !self.met.contains(&met) {
            self.met.push(met);
        }
        if self.closest.is_none_or(|(_, most)| met.count() > most.count()) {
            self.closest = Some((object, met));
        }
    }

    fn met_by_some(&self, conditions: Conditions) -> bool {
        self.met.iter().any(|met| met.includes(conditions))
    }

    /// The reasons, as `container_reasons.rego` gives them.
    pub(super) fn reasons(&self, process: &Process<'_>, policy: &Policy) -> Vec<String> {
        let mut reasons = Vec::new();
        let mut each_met_by_some = true;
        for (conditions, words) in WORDS {
            if self.asked.includes(conditions) && !self.met_by_some(conditions) {
                each_met_by_some = false;
                reasons.push(words.to_owned());
            }
        }
        if !self.met_by_some(ENVIRONMENT) {
            each_met_by_some = false;
            let missing_required = !self.met.is_empty() && !self.met_by_some(REQUIRED);
            if missing_required {
                reasons.push("missing required environment variable".to_owned());
            }
            let unknown: Vec<&str> =
                self.known_variables.missing(process.environment).map(|entry| variable_name(entry)).collect();
            if !policy.rights.environment_variable_dropping && !unknown.is_empty() {
                reasons.push(format!("invalid env list: {}", unknown.join(",")));
            } else if !self.met.is_empty() && !missing_required {
                reasons.push("invalid env list".to_owned());
            }
        }
        if let Some(question) = process.creation
            && !self.met_by_some(MOUNTS)
        {
            each_met_by_some = false;
            let unknown: Vec<&str> =
                self.known_mounts.missing(&question.mounts).map(|mount| mount.destination).collect();
            reasons.push(match unknown.as_slice() {
                [] => "invalid mount list".to_owned(),
                _ => format!("invalid mount list: {}", unknown.join(",")),
            });
        }
        let devices = process.creation.is_some_and(|question| !question.devices.is_empty());
        if each_met_by_some && !devices {
            reasons.push(self.ambiguity(process));
        }
        reasons
    }

    /// Each condition is met by some object: either by none all of them, or by several.
    fn ambiguity(&self, process: &Process<'_>) -> String {
        let (one, many) = match process.inside {
            Some(_) => ("container", "containers"),
            None => ("external process", "external processes"),
        };
        match self.stdio {
            [false, false] => format!("no {one} of the policy meets all conditions at once"),
            [true, true] => format!("{many} only distinguishable by allow_stdio_access"),
            _ => format!("{many} only distinguishable by what would be dropped"),
        }
    }
}
