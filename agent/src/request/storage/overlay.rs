//! The overlay: a container's root over its layers.

use std::collections::BTreeSet;

use policy_engine::ContainerId;
use policy_engine::request::{MountDevice, MountOverlay, ScratchMount};
use proto::kata::agent::Storage;

use super::{RequestError, refuse, set_once, unknown_option};

pub(super) fn mount_overlay(
    storage: &Storage,
    id: &ContainerId,
    layers: &[MountDevice],
    scratch: Option<&ScratchMount>,
) -> Result<MountOverlay, RequestError> {
    let mut lower: Option<Vec<&str>> = None;
    let mut upper = None;
    for option in &storage.options {
        match option.split_once('=').unwrap_or((option, "")) {
            ("lowerdir", paths) => set_once(&mut lower, paths.split(':').collect(), "lowerdir")?,
            ("X-kata.overlay-upper", path) => set_once(&mut upper, path, "X-kata.overlay-upper")?,
            _ => return Err(unknown_option("overlayfs", option)),
        }
    }
    let lower = lower.ok_or(RequestError::Missing { field: "lowerdir" })?;
    let named = layers.iter().rev().map(|layer| layer.target.path().as_str());
    if !named.eq(lower.iter().copied()) {
        return Err(RequestError::Value {
            field: "lowerdir",
            expected: "each layer of the request once, topmost first",
        });
    }
    refuse_duplicates(layers)?;
    if upper != scratch.map(|scratch| scratch.target.as_str()) {
        return Err(RequestError::Value {
            field: "X-kata.overlay-upper",
            expected: "the mount point of the request's scratch",
        });
    }
    let target = format!("/run/kata-containers/{id}/rootfs");
    if storage.mount_point != target || storage.fstype != "overlay" || storage.source != "overlay" {
        return Err(RequestError::Value {
            field: "storages: overlay",
            expected: "`overlay` at `/run/kata-containers/<container id>/rootfs`",
        });
    }
    Ok(MountOverlay {
        container_id: id.clone(),
        layers: layers.iter().rev().map(|layer| layer.target.clone()).collect(),
        scratch: scratch.map(|scratch| scratch.target.clone()),
        target: target
            .parse()
            .map_err(|source| RequestError::Path { field: "storages.mount_point", source })?,
    })
}

/// Attack: one layer twice in a root is counted twice, and by another sum by whoever unmounts it.
pub(super) fn refuse_duplicates(layers: &[MountDevice]) -> Result<(), RequestError> {
    let distinct: BTreeSet<_> = layers.iter().map(|layer| &layer.target).collect();
    refuse(distinct.len() != layers.len(), "storages: layers", "a layer is in a root once")
}
