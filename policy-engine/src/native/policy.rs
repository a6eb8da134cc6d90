//! What a native policy holds.

use std::sync::Arc;

use super::objects::{Container, EnvRule, ExternalProcess, Mount, PlatformRule};

/// What a container may turn out to be: one of the policy's, with what one rule of the platform adds to it.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) container: Arc<Container>,
    pub(crate) rule: Option<Arc<PlatformRule>>,
}

impl Candidate {
    /// The container's rules about the environment, and the platform's.
    pub(crate) fn env_rules(&self) -> impl Iterator<Item = &EnvRule> {
        self.container.env_rules.iter().chain(self.rule.iter().flat_map(|rule| &rule.env_rules))
    }

    /// The container's mounts, and the platform's.
    pub(crate) fn mounts(&self) -> impl Iterator<Item = &Mount> {
        self.container.mounts.iter().chain(self.rule.iter().flat_map(|rule| &rule.mounts))
    }
}

/// What the policy lets the host do at all: its `allow_...` names. What it does not name is not allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent rights, each under the policy's own name")]
pub(crate) struct Rights {
    pub(crate) environment_variable_dropping: bool,
    pub(crate) capability_dropping: bool,
    pub(crate) unencrypted_scratch: bool,
    pub(crate) properties_access: bool,
    pub(crate) dump_stacks: bool,
    pub(crate) runtime_logging: bool,
    pub(crate) host_network: bool,
}

/// What a container runtime gives every container: the data document beside the policy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Defaults {
    pub(crate) mounts: Box<[Mount]>,
    pub(crate) privileged_mounts: Box<[Mount]>,
    pub(crate) privileged_capabilities: Box<[Box<str>]>,
    pub(crate) unprivileged_capabilities: Box<[Box<str>]>,
}

/// A policy that only lists objects and points at the framework.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) containers: Box<[Arc<Container>]>,
    pub(crate) external_processes: Box<[Arc<ExternalProcess>]>,
    pub(crate) platform_rules: Box<[Arc<PlatformRule>]>,
    pub(crate) rights: Rights,
    pub(crate) defaults: Defaults,
}
