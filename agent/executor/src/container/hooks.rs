//! Hooks: programs that run in a container before its own.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use policy_engine::request::CreateContainer;
use policy_engine::request::linux::{Hook, Namespace};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{OpenTreeFlags, open_tree};
use serde::{Deserialize, Serialize};

use super::{CreateOptions, PlanError};

/// How long a hook may take that has no time of its own.
const DEFAULT_TIMEOUT_S: u32 = 30;
/// The version of the OCI runtime specification whose state hooks are told.
const OCI_VERSION: &str = "1.2.0";

/// What hooks are told of a container that nothing else says of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HookState {
    /// The directory that the container was made from. Hooks of the guest's run there; if it is empty, in `/`.
    pub bundle: String,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// The hooks of a container. Descriptors, when there are any: the null device, and the guest's directory tree for those
/// at its creation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HooksPlan {
    pub(crate) state: State,
    pub(crate) create_container: Vec<HookPlan>,
    pub(crate) start_container: Vec<HookPlan>,
}

/// One hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HookPlan {
    pub(crate) path: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) timeout_s: u32,
}

/// The state of a container, as the OCI runtime specification has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    oci_version: String,
    id: String,
    status: Status,
    /// The init, as its own pid namespace numbers it.
    pid: i32,
    pub(crate) bundle: String,
    annotations: BTreeMap<String, String>,
}

impl State {
    /// The state at another point of the container's life, told by its init.
    pub(crate) fn at(&self, status: Status, pid: i32) -> Self {
        Self { status, pid, ..self.clone() }
    }
}

/// Where a container is in its life when a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Creating,
    Created,
}

/// The plan of a container's hooks.
pub(super) fn compile(request: &CreateContainer, options: &CreateOptions) -> Result<HooksPlan, PlanError> {
    let hooks = &request.linux.hooks;
    if !hooks.create_container.is_empty() && request.linux.namespaces.pid != Namespace::New {
        return Err(PlanError::HookNamespace);
    }
    let list = |hooks: &[Hook]| hooks.iter().map(hook).collect::<Result<Vec<_>, _>>();
    Ok(HooksPlan {
        state: State {
            oci_version: OCI_VERSION.to_owned(),
            id: request.container_id.to_string(),
            status: Status::Creating,
            pid: 0,
            bundle: options.hook_state.bundle.clone(),
            annotations: options.hook_state.annotations.clone(),
        },
        create_container: list(&hooks.create_container)?,
        start_container: list(&hooks.start_container)?,
    })
}

fn hook(hook: &Hook) -> Result<HookPlan, PlanError> {
    if hook.args.iter().chain(&hook.env).any(|text| text.contains('\0')) {
        return Err(PlanError::Nul);
    }
    let timeout_s = hook.timeout_s.unwrap_or(DEFAULT_TIMEOUT_S);
    if timeout_s == 0 {
        return Err(PlanError::HookTimeout);
    }
    let path = hook.path.to_string();
    let args = if hook.args.is_empty() { vec![path.clone()] } else { hook.args.clone() };
    Ok(HookPlan { path, args, env: hook.env.clone(), timeout_s })
}

impl HooksPlan {
    /// How long all of them may take.
    pub(super) fn time_limit(&self) -> Duration {
        let hooks = self.create_container.iter().chain(&self.start_container);
        hooks.fold(Duration::ZERO, |sum, hook| sum.saturating_add(Duration::from_secs(hook.timeout_s.into())))
    }

    /// Opens the descriptors that go with the plan.
    pub(super) fn open(&self) -> io::Result<Vec<OwnedFd>> {
        let mut descriptors = Vec::new();
        if !(self.create_container.is_empty() && self.start_container.is_empty()) {
            let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
            descriptors.push(rustix::fs::open("/dev/null", flags, Mode::empty())?);
        }
        if !self.create_container.is_empty() {
            let copy = OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_RECURSIVE;
            descriptors.push(open_tree(CWD, "/", copy)?);
        }
        Ok(descriptors)
    }
}
