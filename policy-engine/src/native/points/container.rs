//! Containers and processes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Allowed, Rules};
use crate::native::agreement::{self, Sets};
use crate::native::matching::{Mounts, environment_fits, same_texts};
use crate::native::objects::ExternalProcess;
use crate::native::policy::Candidate;
use crate::native::state::Change;
use crate::question::{
    Capabilities, CreateContainer, ExecExternal, ExecInContainer, ShutdownContainer, SignalContainerProcess,
};

impl Rules<'_> {
    pub(super) fn create_container<'q>(self, question: &CreateContainer<'q>) -> Option<Allowed<'q>> {
        // An id is used once: a second container under it would inherit what was said of the first.
        if self.state.started.contains_key(question.container_id) || !question.devices.is_empty() {
            return None;
        }
        let fitting =
            self.fitting(question.container_id, |candidate| self.creation_fits(candidate, question));
        let (environment, fitting) = self.agree_on_environment(&question.environment, fitting)?;
        let (capabilities, fitting) =
            self.agree_on_capabilities(&question.capabilities, fitting, question.privileged)?;
        // The host would learn which of two containers it runs only from what it may then read of it.
        let allow_stdio_access =
            only_choice(fitting.iter().map(|candidate| candidate.container.allow_stdio_access))?;
        Some(Allowed {
            environment: Some(environment),
            capabilities: Some(Box::new(capabilities)),
            allow_stdio_access: Some(allow_stdio_access),
            change: Change::Start {
                container_id: question.container_id.into(),
                candidates: self.narrowed(question.container_id, &fitting),
                privileged: question.privileged,
            },
        })
    }

    /// Whether the candidate fits in all that is not agreed on.
    pub(crate) fn creation_fits(self, candidate: &Candidate, question: &CreateContainer<'_>) -> bool {
        let container = &candidate.container;
        let mounts = Mounts { policy: self.policy, state: self.state, question };
        container.is_run_by(&question.command)
            && *container.working_dir == *question.working_dir
            && container.no_new_privileges_fits(question.no_new_privileges)
            && container.privileged_fits(question.privileged)
            && *container.seccomp_profile_sha256 == *question.seccomp_profile_sha256
            && container.user.fits(&question.user, &question.groups, &question.umask)
            && mounts.fit(candidate)
    }

    pub(super) fn exec_in_container<'q>(self, question: &ExecInContainer<'q>) -> Option<Allowed<'q>> {
        let privileged = *self.state.started.get(question.container_id)?;
        let fitting = self.fitting(question.container_id, |candidate| exec_fits(candidate, question));
        let (environment, fitting) = self.agree_on_environment(&question.environment, fitting)?;
        let (capabilities, fitting) =
            self.agree_on_capabilities(&question.capabilities, fitting, privileged)?;
        Some(Allowed {
            environment: Some(environment),
            capabilities: Some(Box::new(capabilities)),
            change: self.narrow(question.container_id, &fitting)?,
            ..Allowed::default()
        })
    }

    pub(super) fn signal(self, question: &SignalContainerProcess<'_>) -> Option<Change> {
        self.state.started.get(question.container_id)?;
        let fitting = self.fitting(question.container_id, |candidate| signal_fits(candidate, question));
        self.narrow(question.container_id, &fitting)
    }

    /// `started` stays: the id is never used again.
    pub(super) fn shutdown(self, question: &ShutdownContainer<'_>) -> Option<Change> {
        self.state.started.get(question.container_id)?;
        Some(Change::Shutdown(question.container_id.into()))
    }

    pub(super) fn exec_external<'q>(self, question: &ExecExternal<'q>) -> Option<Allowed<'q>> {
        let fits = |process: &&Arc<ExternalProcess>| {
            *process.working_dir == *question.working_dir && same_texts(&process.command, &question.command)
        };
        let mut fitting: Vec<&Arc<ExternalProcess>> = self.external_processes().filter(fits).collect();
        let environment = agreement::environment(
            &question.environment,
            fitting.iter().map(|process| process.env_rules.iter()),
            self.policy.rights.environment_variable_dropping,
        )?;
        fitting.retain(|process| environment_fits(|| process.env_rules.iter(), &environment));
        let allow_stdio_access = only_choice(fitting.iter().map(|process| process.allow_stdio_access))?;
        Some(Allowed {
            environment: Some(environment),
            allow_stdio_access: Some(allow_stdio_access),
            ..Allowed::default()
        })
    }

    pub(crate) fn external_processes(&self) -> impl Iterator<Item = &Arc<ExternalProcess>> {
        // An older policy that lists none has none from fragments either.
        let added = self.policy.external_processes_wanted.then_some(&self.state.fragments.external_processes);
        self.policy.external_processes.iter().chain(added.into_iter().flatten())
    }

    /// What the container may still turn out to be.
    pub(crate) fn possible(&self, container_id: &str) -> &[Candidate] {
        self.state.matches.get(container_id).map_or(&[], |candidates| candidates)
    }

    fn fitting(&self, container_id: &str, fits: impl Fn(&Candidate) -> bool) -> Vec<&Candidate> {
        self.possible(container_id).iter().filter(|candidate| fits(candidate)).collect()
    }

    /// The environment that is kept, and the candidates that allow it.
    fn agree_on_environment<'q, 'c>(
        self,
        asked: &[&'q str],
        mut fitting: Vec<&'c Candidate>,
    ) -> Option<(Vec<&'q str>, Vec<&'c Candidate>)> {
        let rules = fitting.iter().map(|candidate| candidate.env_rules());
        let environment =
            agreement::environment(asked, rules, self.policy.rights.environment_variable_dropping)?;
        fitting.retain(|candidate| environment_fits(|| candidate.env_rules(), &environment));
        Some((environment, fitting))
    }

    /// The capabilities that are kept, and the candidates that grant exactly these.
    fn agree_on_capabilities<'q, 'c>(
        self,
        asked: &Capabilities<'q>,
        mut fitting: Vec<&'c Candidate>,
        privileged: bool,
    ) -> Option<(Sets<'q>, Vec<&'c Candidate>)> {
        let granted = |candidate| agreement::granted(candidate, &self.policy.defaults, privileged);
        let capabilities = agreement::capabilities(
            asked,
            fitting.iter().map(|candidate| granted(candidate)),
            self.policy.rights.capability_dropping,
        )?;
        fitting.retain(|candidate| agreement::capabilities_fit(&granted(candidate), &capabilities));
        Some((capabilities, fitting))
    }

    /// The candidates that remain; none is no answer.
    fn narrow(self, container_id: &str, fitting: &[&Candidate]) -> Option<Change> {
        (!fitting.is_empty()).then(|| Change::Narrow {
            container_id: container_id.into(),
            candidates: self.narrowed(container_id, fitting),
        })
    }

    fn narrowed(self, container_id: &str, fitting: &[&Candidate]) -> Arc<[Candidate]> {
        match self.state.matches.get(container_id) {
            Some(candidates) if candidates.len() == fitting.len() => Arc::clone(candidates),
            _ => fitting.iter().map(|candidate| (*candidate).clone()).collect(),
        }
    }
}

pub(crate) fn exec_fits(candidate: &Candidate, question: &ExecInContainer<'_>) -> bool {
    let container = &candidate.container;
    container.exec_processes.iter().any(|process| same_texts(&process.command, &question.command))
        && *container.working_dir == *question.working_dir
        && container.no_new_privileges_fits(question.no_new_privileges)
        && container.user.fits(&question.user, &question.groups, &question.umask)
}

pub(crate) fn signal_fits(candidate: &Candidate, question: &SignalContainerProcess<'_>) -> bool {
    let container = &candidate.container;
    if question.is_init_process {
        return container.signals.contains(&question.signal);
    }
    container.exec_processes.iter().any(|process| {
        same_texts(&process.command, &question.command) && process.signals.contains(&question.signal)
    })
}

/// The one value that all have; `None` for several, and for no value.
fn only_choice(choices: impl Iterator<Item = bool>) -> Option<bool> {
    let choices: BTreeSet<bool> = choices.collect();
    choices.first().copied().filter(|_| choices.len() == 1)
}
