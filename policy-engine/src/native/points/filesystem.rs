//! Devices and file systems.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Answer, Rules};
use crate::native::objects::Container;
use crate::native::policy::Candidate;
use crate::native::state::Change;
use crate::pattern::RequestPatterns;
use crate::question::{MountDevice, MountOverlay, Plan9Mount, RwMountDevice, ScratchMount, Unmount};

/// The file systems that the guest makes on writable disks.
pub(crate) const WRITABLE_FILESYSTEMS: [&str; 2] = ["ext4", "xfs"];

impl Rules<'_> {
    pub(super) fn mount_device(
        self,
        question: &MountDevice<'_>,
        patterns: &mut RequestPatterns,
    ) -> Option<Change> {
        let allowed = !self.device_mounted(question.target)
            && self.layer_known(&question.device_hash)
            && patterns.matches_whole(question.mount_path_regex, question.target);
        allowed.then(|| Change::MountDevice {
            target: question.target.into(),
            root_hash: (&*question.device_hash).into(),
        })
    }

    /// One mount point has one device, whichever kind it is.
    pub(crate) fn device_mounted(self, target: &str) -> bool {
        self.state.devices.contains_key(target) || self.state.rw_devices.contains(target)
    }

    /// Any layer of any container may be mounted; which container it serves is decided by `mount_overlay`.
    pub(crate) fn layer_known(self, root_hash: &str) -> bool {
        self.policy.index.has_layer(root_hash)
            || self
                .state
                .fragments
                .containers
                .iter()
                .any(|container| container.layers.iter().any(|layer| **layer == *root_hash))
    }

    /// How many different layers the policy and the fragments name.
    pub(crate) fn layer_count(self) -> usize {
        let added = self.state.fragments.containers.iter().flat_map(|container| &container.layers);
        let new: HashSet<&str> =
            added.map(AsRef::as_ref).filter(|layer: &&str| !self.policy.index.has_layer(layer)).collect();
        self.policy.index.layer_count().saturating_add(new.len())
    }

    pub(super) fn unmount_device(self, question: &Unmount<'_>) -> Option<Change> {
        let mounted = self.state.devices.contains_key(question.target);
        mounted.then(|| Change::UnmountDevice(question.target.into()))
    }

    pub(super) fn mount_overlay(self, question: &MountOverlay<'_>) -> Option<Change> {
        if self.overlay_mounted(question) {
            return None;
        }
        let candidates = self.overlay_candidates(&question.layer_paths);
        (!candidates.is_empty()).then(|| Change::MountOverlay {
            target: question.target.into(),
            container_id: question.container_id.into(),
            candidates: candidates.into(),
        })
    }

    pub(crate) fn overlay_mounted(self, question: &MountOverlay<'_>) -> bool {
        self.state.overlay_targets.contains(question.target)
            || self.state.matches.contains_key(question.container_id)
    }

    /// The containers whose layers are mounted at `layer_paths`, each with one rule of the platform.
    pub(crate) fn overlay_candidates(self, layer_paths: &[&str]) -> Vec<Candidate> {
        // Policies list layers from the base up, overlay mounts name them from the top down.
        let mounted: Option<Vec<Arc<str>>> =
            layer_paths.iter().rev().map(|path| self.state.devices.get(*path).cloned()).collect();
        let Some(layers) = mounted.filter(|layers| !layers.is_empty()) else { return Vec::new() };
        let fragments = &self.state.fragments;
        let listed = self.policy.index.stacked(&layers).iter();
        let listed = listed.filter_map(|place| self.policy.containers.get(usize::try_from(*place).ok()?));
        let added = fragments.containers.iter().filter(|container| *container.layers == *layers);
        self.with_platform_rules(listed.chain(added))
    }

    /// Each container with each rule of the platform, or as it is where there is none.
    pub(crate) fn with_platform_rules<'c>(
        self,
        containers: impl Iterator<Item = &'c Arc<Container>>,
    ) -> Vec<Candidate> {
        let rules = || self.policy.platform_rules.iter().chain(&self.state.fragments.platform_rules);
        let mut candidates = Vec::new();
        for container in containers {
            let with = |rule| Candidate { container: Arc::clone(container), rule };
            if rules().next().is_none() {
                candidates.push(with(None));
            }
            candidates.extend(rules().map(|rule| with(Some(Arc::clone(rule)))));
        }
        candidates
    }

    pub(super) fn unmount_overlay(self, question: &Unmount<'_>) -> Option<Change> {
        let mounted = self.state.overlay_targets.contains(question.target);
        mounted.then(|| Change::UnmountOverlay(question.target.into()))
    }

    pub(super) fn scratch_mount(self, question: &ScratchMount<'_>) -> Option<Change> {
        let allowed = !self.state.scratch_mounts.contains_key(question.target)
            && self.encryption_fits(question.encrypted);
        allowed
            .then(|| Change::ScratchMount { target: question.target.into(), encrypted: question.encrypted })
    }

    pub(crate) fn encryption_fits(self, encrypted: bool) -> bool {
        encrypted || self.policy.rights.unencrypted_scratch
    }

    pub(super) fn scratch_unmount(self, question: &Unmount<'_>) -> Option<Change> {
        let mounted = self.state.scratch_mounts.contains_key(question.target);
        mounted.then(|| Change::ScratchUnmount(question.target.into()))
    }

    pub(super) fn rw_mount_device(
        self,
        question: &RwMountDevice<'_>,
        patterns: &mut RequestPatterns,
    ) -> Option<Change> {
        let allowed = !self.device_mounted(question.target)
            && self.encryption_fits(question.encrypted)
            // A file system that the host made is a parser bug away from the kernel.
            && question.ensure_filesystem
            && WRITABLE_FILESYSTEMS.contains(&question.filesystem)
            && patterns.matches_whole(question.mount_path_regex, question.target);
        allowed.then(|| Change::MountRwDevice(question.target.into()))
    }

    pub(super) fn rw_unmount_device(self, question: &Unmount<'_>) -> Option<Change> {
        let mounted = self.state.rw_devices.contains(question.target);
        mounted.then(|| Change::UnmountRwDevice(question.target.into()))
    }

    pub(super) fn plan9_mount<'q>(
        self,
        question: &Plan9Mount<'_>,
        patterns: &mut RequestPatterns,
    ) -> Answer<'q> {
        let mut owners = self.plan9_containers(question, patterns);
        match (owners.pop(), owners.is_empty()) {
            (None, _) => Answer::Denied,
            // Two ids, one the start of the other, can both fit.
            (Some(_), false) => Answer::Interpreter,
            (Some(container_id), true) => {
                let mounted = self.state.p9mounts.contains_key(question.target);
                Answer::changes((!mounted).then(|| Change::Plan9Mount {
                    target: question.target.into(),
                    container_id: container_id.into(),
                }))
            }
        }
    }

    /// The containers whose directory `<root>/<container id><mount path>` the target is.
    pub(crate) fn plan9_containers(
        &self,
        question: &Plan9Mount<'_>,
        patterns: &mut RequestPatterns,
    ) -> Vec<&str> {
        let below =
            question.target.strip_prefix(question.root_prefix).and_then(|rest| rest.strip_prefix('/'));
        let Some(below) = below else { return Vec::new() };
        let owns = |container_id: &&str| {
            below
                .strip_prefix(*container_id)
                .is_some_and(|path| patterns.matches_whole(question.mount_path_prefix, path))
        };
        self.state.matches.keys().map(|id| &**id).filter(owns).collect()
    }

    pub(super) fn plan9_unmount(self, question: &Unmount<'_>) -> Option<Change> {
        let mounted = self.state.p9mounts.contains_key(question.target);
        mounted.then(|| Change::Plan9Unmount(question.target.into()))
    }
}
