//! Why a container is not created, or nothing is executed in it or sent to it; and processes of the guest.

use std::sync::Arc;

use super::conditions::{Condition, Conditions};
use super::differences::{self, Differences};
use super::reasons::{Explanation, NOT_STARTED};
use super::survey::{Object, Process, Survey};
use super::{Closest, Difference, Field, ObjectKind};
use crate::native::matching::same_texts;
use crate::native::objects::{Container, ExecProcess};
use crate::native::points::Rules;
use crate::native::policy::Candidate;
use crate::question;

/// The most signals that are named as what is expected.
const SIGNALS_MAX: usize = 16;

const SHUT_DOWN: &str = "container already shut down";

pub(super) fn create(rules: Rules<'_>, question: &question::CreateContainer<'_>) -> Explanation {
    let candidates = rules.possible(question.container_id);
    let mut explanation = if rules.state.started.contains_key(question.container_id) {
        Explanation::of("container already started")
    } else if candidates.is_empty() {
        // Whether some container would fit is worth knowing before its layers are there.
        let added = &rules.state.fragments.containers;
        let all = rules.with_platform_rules(rules.policy.containers.iter().chain(added));
        let Explanation { closest, .. } = compare(rules, &Process::created(question), &all);
        Explanation { closest, ..Explanation::of("no overlay mounted for container") }
    } else {
        compare(rules, &Process::created(question), candidates)
    };
    if !question.devices.is_empty() {
        explanation.reasons.push("devices not supported".to_owned());
    }
    explanation
}

pub(super) fn exec(rules: Rules<'_>, question: &question::ExecInContainer<'_>) -> Explanation {
    let Some(privileged) = rules.state.started.get(question.container_id) else {
        return Explanation::of(NOT_STARTED);
    };
    let candidates = rules.possible(question.container_id);
    if candidates.is_empty() {
        return Explanation::of(SHUT_DOWN);
    }
    compare(rules, &Process::executed(question, *privileged), candidates)
}

fn compare(rules: Rules<'_>, process: &Process<'_>, candidates: &[Candidate]) -> Explanation {
    let survey = Survey::of(process, candidates.iter().map(Object::Container), rules);
    let closest = survey.closest.and_then(|(object, met)| {
        let Object::Container(candidate) = object else { return None };
        let executed = process.creation.is_none();
        let nearest = executed.then(|| nearest_exec(&candidate.container, process.command)).flatten();
        let command = match nearest {
            Some((_, exec)) => Some(&*exec.command),
            None => (!executed).then(|| candidate.container.words()),
        };
        let differences = differences::of_process(object, command, process, met, rules);
        let exec = nearest.map(|(place, _)| place);
        Some(of_container(rules, &candidate.container, exec, met.fields(process.asked()), differences))
    });
    Explanation { reasons: survey.reasons(process, rules.policy), closest, layers: None }
}

pub(super) fn exec_external(rules: Rules<'_>, question: &question::ExecExternal<'_>) -> Explanation {
    let process = Process::external(question);
    let objects = rules.external_processes().map(|process| Object::External(process));
    let survey = Survey::of(&process, objects, rules);
    let closest = survey.closest.and_then(|(object, met)| {
        let Object::External(closest) = object else { return None };
        let differences = differences::of_process(object, Some(&closest.command), &process, met, rules);
        let place = |list: &[Arc<_>]| list.iter().position(|listed| Arc::as_ptr(listed) == closest);
        let own = place(&rules.policy.external_processes);
        let (met, differing) = met.fields(process.asked());
        Some(Closest {
            kind: ObjectKind::ExternalProcess,
            index: own.or_else(|| place(&rules.state.fragments.external_processes)),
            fragment: own.is_none(),
            container: None,
            name: None,
            id: None,
            met,
            differing,
            differences: differences.listed,
            differences_left_out: differences.left_out,
        })
    });
    Explanation { reasons: survey.reasons(&process, rules.policy), closest, layers: None }
}

pub(super) fn signal(rules: Rules<'_>, question: &question::SignalContainerProcess<'_>) -> Explanation {
    if !rules.state.started.contains_key(question.container_id) {
        return Explanation::of(NOT_STARTED);
    }
    let candidates = rules.possible(question.container_id);
    if candidates.is_empty() {
        return Explanation::of(SHUT_DOWN);
    }
    // There is one init: what it was started with is not asked.
    let any_command = question.is_init_process;
    let signals = Conditions::of(&[Condition::Signals]);
    let asked = if any_command { signals } else { signals.and(Conditions::of(&[Condition::Command])) };
    let judge = |command: &[Box<str>], signals: &[i64]| {
        let mut met = Conditions::default();
        met.set(Condition::Command, any_command || same_texts(command, &question.command));
        met.set(Condition::Signals, signals.contains(&question.signal));
        met
    };
    let mut fits = false;
    let mut closest: Option<(Target<'_>, Conditions, (u32, usize))> = None;
    for target in candidates.iter().flat_map(|candidate| Target::of(candidate, question.is_init_process)) {
        let met = judge(target.command, target.signals);
        fits |= met.includes(asked);
        let alike = (met.count(), common_start(target.command, &question.command));
        if closest.is_none_or(|(.., most)| alike > most) {
            closest = Some((target, met, alike));
        }
    }
    let closest = closest.map(|(Target { candidate, exec, command, signals }, met, _)| {
        let mut differences = Differences::default();
        if !met.includes(Conditions::of(&[Condition::Command])) {
            differences.add(differences::command(command, &question.command));
        }
        if !met.includes(Conditions::of(&[Condition::Signals])) {
            let signals: Vec<String> = signals.iter().take(SIGNALS_MAX).map(i64::to_string).collect();
            let difference = Difference::of(Field::Signals).expected(signals.join(", "));
            differences.add([difference.given(question.signal.to_string())]);
        }
        of_container(rules, &candidate.container, exec, met.fields(asked), differences)
    });
    let mut explanation = Explanation { closest, ..Explanation::default() };
    if !fits {
        explanation.reasons.push("target isn't allowed to receive the signal".to_owned());
    }
    explanation
}

/// What a signal may be sent to.
#[derive(Debug, Clone, Copy)]
struct Target<'p> {
    candidate: &'p Candidate,
    /// The place of the exec process; none for the container's init.
    exec: Option<usize>,
    command: &'p [Box<str>],
    signals: &'p [i64],
}

impl<'p> Target<'p> {
    /// A container's init, or what may be executed in it.
    fn of(candidate: &'p Candidate, init: bool) -> impl Iterator<Item = Self> {
        let Container { signals, exec_processes, .. } = &*candidate.container;
        let command = candidate.container.words();
        let this = init.then_some(Self { candidate, exec: None, command, signals });
        let execs = exec_processes.iter().enumerate().filter(move |_| !init);
        let execs = execs.map(move |(place, ExecProcess { command, signals })| Self {
            candidate,
            exec: Some(place),
            command,
            signals,
        });
        this.into_iter().chain(execs)
    }
}

/// How many arguments at the start are the same.
fn common_start(expected: &[Box<str>], given: &[&str]) -> usize {
    expected.iter().zip(given).take_while(|(expected, given)| ***expected == ***given).count()
}

/// The exec process of a container whose command is `command`, or starts most like it; of several the first.
fn nearest_exec<'p>(container: &'p Container, command: &[&str]) -> Option<(usize, &'p ExecProcess)> {
    let alike = |exec: &ExecProcess| {
        let same = exec.command.len() == command.len();
        (common_start(&exec.command, command), same)
    };
    // The last of equal ones is the maximum.
    container.exec_processes.iter().enumerate().rev().max_by_key(|(_, exec)| alike(exec))
}

/// Describes a container, or one of its exec processes, as the closest object.
pub(super) fn of_container(
    rules: Rules<'_>,
    container: &Arc<Container>,
    exec: Option<usize>,
    (met, differing): (Vec<Field>, Vec<Field>),
    differences: Differences,
) -> Closest {
    let place = |list: &[Arc<Container>]| list.iter().position(|listed| is_made_of(container, listed));
    let (own, added) = (&rules.policy.containers, &rules.state.fragments.containers);
    let in_policy = place(own);
    let index = in_policy.or_else(|| place(added));
    let list = if in_policy.is_some() { own } else { &**added };
    // What is remembered of an older framework's container has no name.
    let container = index.and_then(|index| list.get(index)).unwrap_or(container);
    Closest {
        kind: if exec.is_some() { ObjectKind::ExecProcess } else { ObjectKind::Container },
        index: exec.or(index),
        container: exec.and(index),
        fragment: index.is_some() && in_policy.is_none(),
        name: container.name.as_deref().map(str::to_owned),
        id: container.id.as_deref().map(str::to_owned),
        met,
        differing,
        differences: differences.listed,
        differences_left_out: differences.left_out,
    }
}

/// Whether `found` is `listed`, or was remembered as it: then with what a rule of the platform adds.
fn is_made_of(found: &Arc<Container>, listed: &Arc<Container>) -> bool {
    if Arc::ptr_eq(found, listed) {
        return true;
    }
    // The name last: what is remembered of an older framework's container has none.
    found.command == listed.command
        && found.layers == listed.layers
        && found.working_dir == listed.working_dir
        && found.env_rules.starts_with(&listed.env_rules)
        && found.mounts.starts_with(&listed.mounts)
        && found.exec_processes == listed.exec_processes
        && found.signals == listed.signals
        && found.user == listed.user
        && found.capabilities == listed.capabilities
        && found.seccomp_profile_sha256 == listed.seccomp_profile_sha256
        && found.allow_elevated == listed.allow_elevated
        && found.allow_stdio_access == listed.allow_stdio_access
        && found.no_new_privileges == listed.no_new_privileges
        && (found.name.is_none() || found.name == listed.name)
}
