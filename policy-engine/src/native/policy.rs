//! What a native policy holds.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::objects::{
    Container, EnvRule, ExternalProcess, Mount, PlatformRule, SourcePrefixes, Texts, Version,
};
use crate::pattern::Room;

/// What a container may turn out to be: one of the policy's, with what one rule of the platform adds to it.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) container: Arc<Container>,
    pub(crate) rule: Option<Arc<PlatformRule>>,
}

impl Candidate {
    /// The container's rules about the environment, and the platform's.
    pub(crate) fn env_rules(&self) -> impl Iterator<Item = &EnvRule> + Clone {
        self.container.env_rules.iter().chain(self.rule.iter().flat_map(|rule| &rule.env_rules))
    }

    /// The container's mounts, and the platform's.
    pub(crate) fn mounts(&self) -> impl Iterator<Item = &Mount> {
        self.container.mounts.iter().chain(self.rule.iter().flat_map(|rule| &rule.mounts))
    }
}

/// What the policy lets the host do at all: its `allow_...` names. What it does not name is not allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    /// Sorted.
    pub(crate) privileged_capabilities: Texts,
    /// Sorted.
    pub(crate) unprivileged_capabilities: Texts,
}

/// Who says why a request was denied, when `data.policy.reason` is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reasons {
    /// Nobody.
    None,
    /// The framework.
    Framework,
}

/// A policy that only lists objects and points at the framework.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) api_version: Version,
    pub(crate) framework_version: Version,
    /// The questions that the policy has a rule for: the framework's.
    pub(crate) rules: BTreeSet<Box<str>>,
    pub(crate) reasons: Reasons,
    pub(crate) containers: Vec<Arc<Container>>,
    pub(crate) external_processes: Vec<Arc<ExternalProcess>>,
    /// Whether fragments may add to them.
    pub(crate) external_processes_wanted: bool,
    pub(crate) platform_rules: Vec<Arc<PlatformRule>>,
    pub(crate) rights: Rights,
    pub(crate) defaults: Defaults,
    pub(crate) prefixes: SourcePrefixes,
    /// For its compiled patterns.
    pub(crate) room: Room,
    pub(super) index: Index,
}

/// Finds containers by their layers, however many there are.
#[derive(Debug, Default)]
pub(crate) struct Index {
    layers: HashSet<Arc<str>>,
    /// Whole lists of layers, base first, and the places of their containers.
    stacks: HashMap<Box<[Arc<str>]>, Vec<u32>>,
}

impl Index {
    pub(crate) fn of(containers: &[Arc<Container>]) -> Self {
        let mut index = Self::default();
        for (place, container) in (0u32..).zip(containers) {
            index.layers.extend(container.layers.iter().cloned());
            // Nearly every list is new: one that is not costs a copy that is dropped.
            index.stacks.entry(container.layers.clone()).or_default().push(place);
        }
        index
    }

    /// Whether some container has the layer.
    pub(crate) fn has_layer(&self, root_hash: &str) -> bool {
        self.layers.contains(root_hash)
    }

    /// How many different layers the containers have.
    pub(crate) fn layer_count(&self) -> usize {
        self.layers.len()
    }

    /// The places of the containers with exactly these layers, base first.
    pub(crate) fn stacked(&self, layers: &[Arc<str>]) -> &[u32] {
        self.stacks.get(layers).map_or(&[], Vec::as_slice)
    }
}
