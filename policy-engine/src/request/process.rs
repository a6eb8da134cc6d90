//! Processes: what a container's init and an exec have in common.

use serde::Serialize;

use super::{EnforcementPoint, Judged, Request};
use crate::amendment::Amendment;
use crate::name::{ContainerId, ExecId};
use crate::path::GuestPath;

/// A numeric id and the name that the container's own files give it (empty when they give none).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IdName {
    /// The number, in decimal, as policies compare it.
    pub id: String,
    /// The name.
    pub name: String,
}

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
    fn id_name(&self) -> IdName {
        IdName { id: self.uid.to_string(), name: self.user_name.clone() }
    }

    fn groups(&self) -> Vec<IdName> {
        let ids = std::iter::once(&self.gid).chain(&self.additional_gids);
        let names = self.group_names.iter().map(String::as_str).chain(std::iter::repeat(""));
        ids.zip(names).map(|(id, name)| IdName { id: id.to_string(), name: name.to_owned() }).collect()
    }
}

/// The five capability sets, as `CAP_...` names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[expect(missing_docs, reason = "the kernel's names of the sets, capabilities(7)")]
pub struct CapabilitySets {
    pub bounding: Vec<String>,
    pub effective: Vec<String>,
    pub inheritable: Vec<String>,
    pub permitted: Vec<String>,
    pub ambient: Vec<String>,
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
}

impl ProcessSpec {
    pub(super) fn fill_input(&self, input: &mut serde_json::Map<String, serde_json::Value>) {
        let fields = serde_json::json!({
            "argList": self.args,
            "envList": self.env,
            "workingDir": self.cwd.as_str(),
            "user": self.user.id_name(),
            "groups": self.user.groups(),
            "umask": format!("{:04o}", self.umask),
            "capabilities": self.capabilities,
            "noNewPrivileges": self.no_new_privileges,
        });
        if let serde_json::Value::Object(fields) = fields {
            input.extend(fields);
        }
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
    fn input(&self) -> serde_json::Value {
        let mut input = serde_json::Map::new();
        input.insert("containerID".into(), self.container_id.as_str().into());
        self.process.fill_input(&mut input);
        serde_json::Value::Object(input)
    }

    fn amend(&mut self, amendment: &Amendment) {
        self.process.amend(amendment);
    }
}
