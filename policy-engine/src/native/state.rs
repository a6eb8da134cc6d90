//! What has happened so far, typed: the native form of the state that rules read as `input.metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value as Json;

use super::objects::{Container, ExternalProcess, PlatformRule};
use super::policy::Candidate;

/// The state. A clone shares what does not change after.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// Mounted layers: the root hash at each mount point.
    pub(crate) devices: BTreeMap<Box<str>, Arc<str>>,
    /// Writable disks, by mount point.
    pub(crate) rw_devices: BTreeSet<Box<str>>,
    /// Scratch by mount point, and whether it is encrypted.
    pub(crate) scratch_mounts: BTreeMap<Box<str>, bool>,
    /// Mounted root file systems.
    pub(crate) overlay_targets: BTreeSet<Box<str>>,
    /// 9p directories: the container's id at each mount point.
    pub(crate) p9mounts: BTreeMap<Box<str>, Box<str>>,
    /// What each container may still turn out to be.
    pub(crate) matches: BTreeMap<Box<str>, Arc<[Candidate]>>,
    /// The containers that were created, and whether they run privileged.
    pub(crate) started: BTreeMap<Box<str>, bool>,
    /// What fragments added.
    pub(crate) fragments: Arc<Fragments>,
}

/// What fragments added to the policy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fragments {
    pub(crate) containers: Box<[Arc<Container>]>,
    pub(crate) external_processes: Box<[Arc<ExternalProcess>]>,
    pub(crate) platform_rules: Box<[Arc<PlatformRule>]>,
    /// `issuers` as rules read it: only the interpreter looks into it.
    pub(crate) issuers: Json,
    /// `fragment_parameters` likewise: a list without doubles.
    pub(crate) parameters: Json,
}
