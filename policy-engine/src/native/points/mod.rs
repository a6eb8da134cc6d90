//! The rules of `framework.rego`, natively.

mod container;
mod filesystem;

pub(crate) use filesystem::WRITABLE_FILESYSTEMS;

use serde_json::{Map, Value as Json, json};

use super::agreement::Sets;
use super::policy::Policy;
use super::state::{Change, State};
use crate::pattern::RequestPatterns;
use crate::question::Question;

/// What the framework's rule answers.
#[derive(Debug)]
pub(crate) enum Answer<'q> {
    /// No.
    Denied,
    /// Yes.
    Allowed(Allowed<'q>),
    /// The rule contradicts itself here, and the interpreter says how, or it is none of the native rules.
    Interpreter,
}

/// An allow.
#[derive(Debug, Default)]
pub(crate) struct Allowed<'q> {
    /// The environment that is kept, where the rule speaks of it.
    pub(crate) environment: Option<Vec<&'q str>>,
    /// The capabilities that are kept, likewise.
    pub(crate) capabilities: Option<Box<Sets<'q>>>,
    /// Whether the host may read and write stdio, likewise.
    pub(crate) allow_stdio_access: Option<bool>,
    /// The change of state.
    pub(crate) change: Change,
}

impl<'q> Answer<'q> {
    fn changes(change: Option<Change>) -> Self {
        change.map_or(Self::Denied, |change| Self::Allowed(Allowed { change, ..Allowed::default() }))
    }

    fn allowed(is: bool) -> Self {
        if is { Self::Allowed(Allowed::default()) } else { Self::Denied }
    }

    fn of(allowed: Option<Allowed<'q>>) -> Self {
        allowed.map_or(Self::Denied, Self::Allowed)
    }
}

impl Allowed<'_> {
    /// The answer as the rule gives it, without the change of state.
    pub(crate) fn to_json(&self) -> Json {
        let mut answer = Map::new();
        answer.insert("allowed".to_owned(), Json::Bool(true));
        if let Some(environment) = &self.environment {
            answer.insert("env_list".to_owned(), json!(environment));
        }
        if let Some(sets) = &self.capabilities {
            let Sets([bounding, effective, inheritable, permitted, ambient]) = &**sets;
            let sets = json!({
                "bounding": bounding,
                "effective": effective,
                "inheritable": inheritable,
                "permitted": permitted,
                "ambient": ambient,
            });
            answer.insert("caps_list".to_owned(), sets);
        }
        if let Some(allow) = self.allow_stdio_access {
            answer.insert("allow_stdio_access".to_owned(), Json::Bool(allow));
        }
        Json::Object(answer)
    }
}

/// A policy with what has happened so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) state: &'a State,
}

impl Rules<'_> {
    /// The answer of the framework's rule to `question`.
    pub(crate) fn answer<'q>(self, question: &Question<'q>, patterns: &mut RequestPatterns) -> Answer<'q> {
        let rights = &self.policy.rights;
        match question {
            Question::MountDevice(question) => Answer::changes(self.mount_device(question, patterns)),
            Question::UnmountDevice(question) => Answer::changes(self.unmount_device(question)),
            Question::MountOverlay(question) => Answer::changes(self.mount_overlay(question)),
            Question::UnmountOverlay(question) => Answer::changes(self.unmount_overlay(question)),
            Question::CreateContainer(question) => Answer::of(self.create_container(question)),
            Question::ExecInContainer(question) => Answer::of(self.exec_in_container(question)),
            Question::ExecExternal(question) => Answer::of(self.exec_external(question)),
            Question::SignalContainerProcess(question) => Answer::changes(self.signal(question)),
            Question::ShutdownContainer(question) => Answer::changes(self.shutdown(question)),
            Question::ScratchMount(question) => Answer::changes(self.scratch_mount(question)),
            Question::ScratchUnmount(question) => Answer::changes(self.scratch_unmount(question)),
            Question::RwMountDevice(question) => Answer::changes(self.rw_mount_device(question, patterns)),
            Question::RwUnmountDevice(question) => Answer::changes(self.rw_unmount_device(question)),
            Question::Plan9Mount(question) => self.plan9_mount(question, patterns),
            Question::Plan9Unmount(question) => Answer::changes(self.plan9_unmount(question)),
            // Raw block devices are never given to containers.
            Question::MountBlockdev(_) | Question::UnmountBlockdev(_) => Answer::Denied,
            Question::GetProperties(_) => Answer::allowed(rights.properties_access),
            Question::DumpStacks(_) => Answer::allowed(rights.dump_stacks),
            Question::RuntimeLogging(_) => Answer::allowed(rights.runtime_logging),
            Question::HostNetwork(_) => Answer::allowed(rights.host_network),
            Question::LinuxSettings(_)
            | Question::CreateSandbox(_)
            | Question::ControlContainer(_)
            | Question::DestroySandbox(_) => Answer::Interpreter,
        }
    }
}
