//! Judges one condition after the other. What was found out about one object is kept for the next, which is
//! often alike: of hundreds of containers of one image few rules differ.

use super::{Condition, Conditions, Inside, Marks, Object, Process};
use crate::native::agreement::{self, Granted};
use crate::native::matching::{Mounts, same_texts};
use crate::native::objects::{EnvRule, Mount};
use crate::native::policy::{Candidate, Policy};

pub(super) fn has_command(object: Object<'_>, process: &Process<'_>) -> bool {
    match object {
        Object::External(external) => same_texts(&external.command, process.command),
        Object::Container(candidate) if process.creation.is_some() => {
            candidate.container.is_run_by(process.command)
        }
        Object::Container(candidate) => {
            let mut execs = candidate.container.exec_processes.iter();
            execs.any(|exec| same_texts(&exec.command, process.command))
        }
    }
}

/// Judges rules about the environment. Candidates are often alike, rule by rule: what a rule at some place
/// matches is kept for the same rule at the same place of the next one.
pub(super) struct Variables<'q, 'p> {
    environment: &'q [&'q str],
    dropping: bool,
    by_place: Vec<(&'p EnvRule, Marks)>,
    all: Marks,
    /// What the object that was judged last knows.
    pub(super) known: Marks,
}

impl<'q, 'p> Variables<'q, 'p> {
    pub(super) fn new(environment: &'q [&'q str], dropping: bool) -> Self {
        let all = Marks::of(environment, |_| true);
        Self { environment, dropping, by_place: Vec::new(), all, known: Marks::default() }
    }

    pub(super) fn judge(&mut self, object: Object<'p>, met: &mut Conditions) {
        self.known.clear();
        let mut required_present = true;
        for (place, rule) in object.env_rules().enumerate() {
            let fits = |entry: &&str| rule.fits(entry);
            match self.by_place.get_mut(place) {
                Some((last, _)) if last.form == rule.form => *last = rule,
                Some(last) => *last = (rule, Marks::of(self.environment, fits)),
                None => self.by_place.push((rule, Marks::of(self.environment, fits))),
            }
            if let Some((_, marks)) = self.by_place.get(place) {
                self.known.add(marks);
                required_present &= !rule.required || !marks.is_empty();
            }
        }
        met.set(Condition::Environment, self.dropping || self.known.includes(&self.all));
        met.set(Condition::RequiredEnvironment, required_present);
    }
}

/// Judges as whom and with which rights a process may run in a container.
pub(super) struct Rights<'q, 'p> {
    inside: Inside<'q>,
    policy: &'p Policy,
    /// The same sets are often granted again.
    last_granted: Option<(Granted<'p>, bool)>,
}

impl<'q, 'p> Rights<'q, 'p> {
    pub(super) const fn new(inside: Inside<'q>, policy: &'p Policy) -> Self {
        Self { inside, policy, last_granted: None }
    }

    pub(super) fn judge(&mut self, candidate: &'p Candidate, met: &mut Conditions) {
        let Inside { user, groups, umask, no_new_privileges, .. } = self.inside;
        let container = &candidate.container;
        met.set(Condition::User, container.user.user.fits(user));
        met.set(Condition::Groups, groups.iter().all(|group| container.user.group_fits(group)));
        met.set(Condition::Umask, *container.user.umask == *umask);
        met.set(Condition::NoNewPrivileges, container.no_new_privileges_fits(no_new_privileges));
        met.set(Condition::Capabilities, self.capabilities_fit(candidate));
    }

    fn capabilities_fit(&mut self, candidate: &'p Candidate) -> bool {
        let Self { inside, policy, last_granted } = self;
        let granted = agreement::granted(candidate, &policy.defaults, inside.privileged);
        if let Some((last, fits)) = last_granted
            && *last == granted
        {
            return *fits;
        }
        let dropping = policy.rights.capability_dropping;
        let agreed = agreement::capabilities(inside.capabilities, [granted].into_iter(), dropping);
        let fits = agreed.is_some_and(|sets| agreement::capabilities_fit(&granted, &sets));
        *last_granted = Some((granted, fits));
        fits
    }
}

/// Judges what only the creation of a container asks.
pub(super) struct Creation<'q, 'p> {
    mounts: Mounts<'q>,
    /// What every container may have, and what those may have that may be privileged.
    by_default: [Marks; 2],
    by_place: Vec<(&'p Mount, Marks)>,
    all: Marks,
    /// The mounts that the container that was judged last may have.
    pub(super) known: Marks,
}

impl<'q, 'p> Creation<'q, 'p> {
    pub(super) fn new(mounts: Mounts<'q>) -> Self {
        let asked = &mounts.question.mounts;
        let by_default = [
            Marks::of(asked, |mount| mounts.known_by_default(mount)),
            Marks::of(asked, |mount| mounts.known_by_privilege(mount)),
        ];
        let all = Marks::of(asked, |_| true);
        Self { mounts, by_default, by_place: Vec::new(), all, known: Marks::default() }
    }

    pub(super) fn judge(&mut self, candidate: &'p Candidate, met: &mut Conditions) {
        let question = self.mounts.question;
        let container = &candidate.container;
        self.known.clear();
        for marks in self.by_default.iter().take(if container.allow_elevated { 2 } else { 1 }) {
            self.known.add(marks);
        }
        for (place, allowed) in candidate.mounts().enumerate() {
            let fits = |mount: &_| self.mounts.mount_fits(allowed, mount);
            match self.by_place.get_mut(place) {
                Some((last, _)) if *last == allowed => {}
                Some(last) => *last = (allowed, Marks::of(&question.mounts, fits)),
                None => self.by_place.push((allowed, Marks::of(&question.mounts, fits))),
            }
            if let Some((_, marks)) = self.by_place.get(place) {
                self.known.add(marks);
            }
        }
        met.set(Condition::Mounts, self.known.includes(&self.all));
        met.set(Condition::AllowElevated, container.privileged_fits(question.privileged));
        let seccomp = *container.seccomp_profile_sha256 == *question.seccomp_profile_sha256;
        met.set(Condition::Seccomp, seccomp);
    }
}
