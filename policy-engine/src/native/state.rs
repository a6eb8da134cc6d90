//! What has happened so far, typed: the native form of the state that rules read as `input.metadata`.

mod document;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regorus::Value;

use super::objects::{Container, ExternalProcess, PlatformRule};
use super::policy::Candidate;
use crate::evaluator::metadata::Metadata;

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
#[derive(Debug, Clone)]
pub(crate) struct Fragments {
    pub(crate) containers: Vec<Arc<Container>>,
    pub(crate) external_processes: Vec<Arc<ExternalProcess>>,
    pub(crate) platform_rules: Vec<Arc<PlatformRule>>,
    /// `issuers` as rules read it: only the interpreter looks into it.
    issuers: Value,
    /// `fragment_parameters` likewise.
    parameters: Value,
}

impl Default for Fragments {
    fn default() -> Self {
        Self {
            containers: Vec::new(),
            external_processes: Vec::new(),
            platform_rules: Vec::new(),
            issuers: Value::new_object(),
            parameters: Value::new_set(),
        }
    }
}

/// What an allowed request changes once it is done. An entry is only ever added where the decision saw none.
#[derive(Debug, Default)]
pub(crate) enum Change {
    #[default]
    Nothing,
    MountDevice {
        target: Box<str>,
        root_hash: Arc<str>,
    },
    UnmountDevice(Box<str>),
    MountRwDevice(Box<str>),
    UnmountRwDevice(Box<str>),
    ScratchMount {
        target: Box<str>,
        encrypted: bool,
    },
    ScratchUnmount(Box<str>),
    MountOverlay {
        target: Box<str>,
        container_id: Box<str>,
        candidates: Arc<[Candidate]>,
    },
    UnmountOverlay(Box<str>),
    Plan9Mount {
        target: Box<str>,
        container_id: Box<str>,
    },
    Plan9Unmount(Box<str>),
    Start {
        container_id: Box<str>,
        candidates: Arc<[Candidate]>,
        privileged: bool,
    },
    Narrow {
        container_id: Box<str>,
        candidates: Arc<[Candidate]>,
    },
    Shutdown(Box<str>),
}

impl State {
    /// How many entries all maps and sets have together, and they themselves: what [`Metadata::entries`] counts.
    pub(crate) fn entries(&self) -> usize {
        [
            Metadata::NAMES,
            self.devices.len(),
            self.rw_devices.len(),
            self.scratch_mounts.len(),
            self.overlay_targets.len(),
            self.p9mounts.len(),
            self.matches.len(),
            self.started.len(),
            self.fragments.issuers.as_object().map_or(0, |issuers| issuers.len()),
            self.fragments.parameters.as_set().map_or(0, |parameters| parameters.len()),
        ]
        .into_iter()
        .fold(0, usize::saturating_add)
    }

    /// Applies a change that was decided on this very state.
    pub(crate) fn commit(&mut self, change: Change) {
        match change {
            Change::Nothing => {}
            Change::MountDevice { target, root_hash } => {
                self.devices.insert(target, root_hash);
            }
            Change::UnmountDevice(target) => {
                self.devices.remove(&target);
            }
            Change::MountRwDevice(target) => {
                self.rw_devices.insert(target);
            }
            Change::UnmountRwDevice(target) => {
                self.rw_devices.remove(&target);
            }
            Change::ScratchMount { target, encrypted } => {
                self.scratch_mounts.insert(target, encrypted);
            }
            Change::ScratchUnmount(target) => {
                self.scratch_mounts.remove(&target);
            }
            Change::MountOverlay { target, container_id, candidates } => {
                self.matches.insert(container_id, candidates);
                self.overlay_targets.insert(target);
            }
            Change::UnmountOverlay(target) => {
                self.overlay_targets.remove(&target);
            }
            Change::Plan9Mount { target, container_id } => {
                self.p9mounts.insert(target, container_id);
            }
            Change::Plan9Unmount(target) => {
                self.p9mounts.remove(&target);
            }
            Change::Start { container_id, candidates, privileged } => {
                self.started.insert(container_id.clone(), privileged);
                self.matches.insert(container_id, candidates);
            }
            Change::Narrow { container_id, candidates } => {
                self.matches.insert(container_id, candidates);
            }
            Change::Shutdown(container_id) => {
                self.matches.remove(&container_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_as_the_interpreter_counts_them() {
        let mut state = State::default();
        let counted = |state: &State| Metadata::from_document(state.to_document()).entries();
        assert_eq!(state.entries(), counted(&state));
        for change in [
            Change::MountDevice { target: "m".into(), root_hash: "aa".into() },
            Change::MountRwDevice("w".into()),
            Change::ScratchMount { target: "s".into(), encrypted: true },
            Change::MountOverlay { target: "o".into(), container_id: "c".into(), candidates: Arc::new([]) },
            Change::Plan9Mount { target: "p".into(), container_id: "c".into() },
            Change::Start { container_id: "c".into(), candidates: Arc::new([]), privileged: false },
            Change::UnmountDevice("m".into()),
        ] {
            state.commit(change);
            assert_eq!(state.entries(), counted(&state));
        }
        assert_eq!(state.entries(), Metadata::NAMES + 6);
    }
}
