//! Storages: layers, scratch, the overlay over both, and volumes of the pod.

mod guest_pull;
mod layer;
mod multi_layer;
mod overlay;
mod scratch;
mod volume;

use policy_engine::request::{MountDevice, MountOverlay, ScratchMount};
use policy_engine::{ContainerId, SandboxId};
use proto::kata::agent::Storage;
use registry_client::Reference;

use super::{RequestError, refuse};

pub(crate) use guest_pull::Metadata;
pub(crate) use volume::VolumePlan;

/// The most layers of a container: what overlayfs takes is 500.
const LAYERS_MAX: usize = 128;

/// Drivers of Kata's that this guest does not have, and why.
const REFUSED_DRIVERS: [(&str, &str); 9] = [
    ("virtio-fs", "the host writes its content, which no digest covers"),
    ("9p", "the host writes its content, which no digest covers"),
    ("watchable-bind", "the host writes its content, which no digest covers"),
    ("bind", "containers mount volumes by the mounts of their specification"),
    ("local", "a directory of the guest is a volume, which is mounted below `/run/gcs/sandboxMounts`"),
    ("blk-ccw", "the guest has no channel subsystem"),
    ("vfio-pci", "no device of the host's is handed through"),
    ("vfio-pci-gk", "no device of the host's is handed through"),
    ("vfio-ap", "no device of the host's is handed through"),
];

/// The storages of a container, sorted out.
#[derive(Debug)]
pub(crate) struct RootFilesystem {
    /// Volumes of the pod that the container brings, if they are not there yet.
    pub(crate) volumes: Vec<VolumePlan>,
    pub(crate) layers: RootLayers,
    pub(crate) scratch: Option<ScratchMount>,
    pub(crate) overlay: MountOverlay,
}

/// Where a root's layers come from.
#[derive(Debug)]
pub(crate) enum RootLayers {
    /// Disks of the host's, base first.
    Disks(Vec<MountDevice>),
    /// A registry. Which layers there are is found out by asking it.
    Image {
        reference: Reference,
        /// What the shim says about the container beside its specification.
        metadata: Metadata,
    },
}

/// Sorts the storages of container `id` out: layers, at most one scratch, exactly one overlay that names each layer
/// once, topmost first, or one root of Kata's multi-layer form, or one image to be pulled; and volumes.
///
/// Attack: a storage more or less than policy judges, or one file system twice under two names.
pub(super) fn root_filesystem(
    storages: &[Storage],
    id: &ContainerId,
) -> Result<RootFilesystem, RequestError> {
    let mut volumes = Vec::new();
    let mut layers = Vec::new();
    let mut scratch = None;
    let mut overlay = None;
    let mut parts = Vec::new();
    let mut image = None;
    for storage in storages {
        let is_image = storage.driver == guest_pull::DRIVER;
        let options = !storage.driver_options.is_empty() && !is_image;
        refuse(options, "storages.driver_options", "this driver has none")?;
        if volume::is_volume(storage) {
            volumes.push(volume::volume(storage)?);
            continue;
        }
        refuse(storage.fs_group.is_some(), "storages.fs_group", "file ownership comes with the layer")?;
        refuse(storage.shared, "storages.shared", "sharing is the guest's own decision")?;
        if multi_layer::is_part(storage) {
            parts.push(storage);
            continue;
        }
        match storage.driver.as_str() {
            driver if layer::is_disk_driver(driver) && layer::is_layer(storage) => {
                layers.push(layer::layer(storage)?)
            }
            driver if layer::is_disk_driver(driver) => {
                set_once(&mut scratch, scratch::disk_scratch(storage, id)?, "storages: scratch")?
            }
            "ephemeral" => {
                set_once(&mut scratch, scratch::memory_scratch(storage, id)?, "storages: scratch")?
            }
            "overlayfs" => set_once(&mut overlay, storage, "storages: overlay")?,
            guest_pull::DRIVER => set_once(&mut image, storage, "storages: image_guest_pull")?,
            driver => return Err(refused_driver(driver)),
        }
    }
    if layers.len().max(parts.len()) > LAYERS_MAX {
        return Err(RequestError::Value { field: "storages", expected: "at most 128 layers" });
    }
    if !parts.is_empty() {
        let other = overlay.is_some() || scratch.is_some() || !layers.is_empty() || image.is_some();
        refuse(other, "storages: X-kata.multi-layer", "a container has one root")?;
        return multi_layer::root(&parts, id, volumes);
    }
    if let Some(image) = image {
        let other = overlay.is_some() || !layers.is_empty();
        refuse(other, "storages: image_guest_pull", "a container has one root")?;
        return guest_pull::root(image, id, scratch, volumes);
    }
    let overlay = overlay.ok_or(RequestError::Missing { field: "storages: overlay" })?;
    let overlay = overlay::mount_overlay(overlay, id, &layers, scratch.as_ref())?;
    Ok(RootFilesystem { volumes, layers: RootLayers::Disks(layers), scratch, overlay })
}

/// Sorts the storages of the sandbox out: at most one scratch for volumes, and volumes.
pub(super) fn sandbox_storages(
    storages: &[Storage],
    id: &SandboxId,
) -> Result<(Option<ScratchMount>, Vec<VolumePlan>), RequestError> {
    let mut scratch = None;
    let mut volumes = Vec::new();
    for storage in storages {
        refuse(!storage.driver_options.is_empty(), "storages.driver_options", "no driver here has any")?;
        if volume::is_volume(storage) {
            volumes.push(volume::volume(storage)?);
            continue;
        }
        let owned = storage.fs_group.is_some() || storage.shared;
        refuse(owned, "storages.fs_group", "only volumes have owners and are shared")?;
        set_once(&mut scratch, scratch::sandbox_scratch(storage, id)?, "storages: scratch")?;
    }
    Ok((scratch, volumes))
}

fn refused_driver(driver: &str) -> RequestError {
    let known = REFUSED_DRIVERS.iter().find(|(name, _)| *name == driver);
    let reason = known.map_or("it is not known", |(_, reason)| reason);
    RequestError::Driver { driver: RequestError::excerpt(driver), reason }
}

fn set_once<T>(place: &mut Option<T>, value: T, field: &'static str) -> Result<(), RequestError> {
    refuse(place.is_some(), field, "there is one of each")?;
    *place = Some(value);
    Ok(())
}

fn unknown_option(driver: &'static str, option: &str) -> RequestError {
    RequestError::Option { driver, option: RequestError::excerpt(option) }
}

#[cfg(test)]
mod tests;
