//! Processes: what a container's init and an exec have in common.

use super::linux::{self, LinuxSettings, ProcessSettings};
use super::{EnforcementPoint, Judged, Request};
use crate::amendment::Amendment;
use crate::name::{ContainerId, ExecId};
use crate::path::GuestPath;
use crate::question::{self, IdName, Question};

/// The identity of a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups: set always, also when empty.
    pub additional_gids: Vec<u32>,
    /// Name of `uid` in the container's `/etc/passwd`, empty when it has none.
    pub user_name: String,
    /// Names of `gid` and then of `additional_gids` in the container's `/etc/group`, empty where missing.
    pub group_names: Vec<String>,
}

impl User {
    pub(super) fn id_name(&self) -> IdName<'_> {
        IdName { id: self.uid.to_string().into(), name: &self.user_name }
    }

    pub(super) fn groups(&self) -> Vec<IdName<'_>> {
        let ids = std::iter::once(&self.gid).chain(&self.additional_gids);
        let names = self.group_names.iter().map(String::as_str).chain(std::iter::repeat(""));
        ids.zip(names).map(|(id, name)| IdName { id: id.to_string().into(), name }).collect()
    }
}

/// Capabilities of a container that asks for none: the fourteen that container engines agree on, by name.
pub const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// The five capability sets, as `CAP_...` names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the kernel's names of the sets, capabilities(7)")]
pub struct CapabilitySets {
    pub bounding: Vec<String>,
    pub effective: Vec<String>,
    pub inheritable: Vec<String>,
    pub permitted: Vec<String>,
    pub ambient: Vec<String>,
}

impl CapabilitySets {
    pub(super) fn asked(&self) -> question::Capabilities<'_> {
        question::Capabilities {
            bounding: texts(&self.bounding),
            effective: texts(&self.effective),
            inheritable: texts(&self.inheritable),
            permitted: texts(&self.permitted),
            ambient: texts(&self.ambient),
        }
    }
}

pub(super) fn texts(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

/// A resource limit of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rlimit {
    /// The name, `RLIMIT_...`.
    pub kind: String,
    /// Soft limit, in the limit's own unit.
    pub soft: u64,
    /// Hard limit, in the limit's own unit.
    pub hard: u64,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TerminalSize {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// What is executed, as whom, with which rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSpec {
    /// Program and arguments.
    pub args: Vec<String>,
    /// Environment entries `NAME=value`, in order. What policy judged is what runs: nothing is trimmed.
    pub env: Vec<String>,
    /// Working directory, inside the container.
    pub cwd: GuestPath,
    /// The identity.
    pub user: User,
    /// File mode creation mask.
    pub umask: u16,
    /// Capability sets.
    pub capabilities: CapabilitySets,
    /// Whether `execve` may not raise privileges.
    pub no_new_privileges: bool,
    /// Resource limits.
    pub rlimits: Vec<Rlimit>,
    /// A terminal instead of pipes.
    pub terminal: Option<TerminalSize>,
    /// `oom_score_adj`, -1000 to 1000.
    pub oom_score_adj: Option<i16>,
    /// Settings beyond those that every process has.
    pub settings: ProcessSettings,
}

impl ProcessSpec {
    pub(super) fn umask_text(&self) -> String {
        format!("{:04o}", self.umask)
    }

    pub(super) fn amend(&mut self, amendment: &Amendment) {
        if let Some(env) = &amendment.env {
            self.env.clone_from(env);
        }
        if let Some(capabilities) = &amendment.capabilities {
            self.capabilities.clone_from(capabilities);
        }
    }
}

/// Starts another process in a running container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecInContainer {
    /// The container.
    pub container_id: ContainerId,
    /// The name of the new process.
    pub exec_id: ExecId,
    /// What is executed.
    pub process: ProcessSpec,
}

impl Request for ExecInContainer {
    const POINT: EnforcementPoint = EnforcementPoint::ExecInContainer;
}

impl Judged for ExecInContainer {
    fn question(&self) -> Question<'_> {
        let process = &self.process;
        Question::ExecInContainer(question::ExecInContainer {
            container_id: self.container_id.as_str(),
            command: texts(&process.args),
            environment: texts(&process.env),
            working_dir: process.cwd.as_str(),
            no_new_privileges: process.no_new_privileges,
            user: process.user.id_name(),
            groups: process.user.groups(),
            umask: process.umask_text().into(),
            capabilities: process.capabilities.asked(),
        })
    }

    fn settings(&self) -> Option<Question<'_>> {
        linux::question(&self.container_id, &LinuxSettings::default(), &self.process.settings, &[])
    }

    fn amend(&mut self, amendment: &Amendment) {
        self.process.amend(amendment);
    }
}
