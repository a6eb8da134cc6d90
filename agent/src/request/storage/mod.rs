//! Storages: layers, scratch and the overlay over both.

mod layer;
mod overlay;
mod scratch;

use policy_engine::ContainerId;
use policy_engine::request::{MountDevice, MountOverlay, ScratchMount};
use proto::kata::agent::Storage;

use super::{RequestError, refuse};

/// The most layers of a container: what overlayfs takes is 500.
const LAYERS_MAX: usize = 128;

/// The storages of a container, sorted out.
#[derive(Debug)]
pub(super) struct RootFilesystem {
    /// Base first, as the host sent them.
    pub(super) layers: Vec<MountDevice>,
    pub(super) scratch: Option<ScratchMount>,
    pub(super) overlay: MountOverlay,
}

/// Sorts the storages of container `id` out: layers, at most one scratch, exactly one overlay that names
/// each layer once, topmost first.
///
/// Attack: a storage more or less than policy judges, or one file system twice under two names.
pub(super) fn root_filesystem(
    storages: &[Storage],
    id: &ContainerId,
) -> Result<RootFilesystem, RequestError> {
    let mut layers = Vec::new();
    let mut scratch = None;
    let mut overlay = None;
    for storage in storages {
        refuse(storage.fs_group.is_some(), "storages.fs_group", "file ownership comes with the layer")?;
        refuse(storage.shared, "storages.shared", "sharing is the guest's own decision")?;
        refuse(!storage.driver_options.is_empty(), "storages.driver_options", "no driver here has any")?;
        match storage.driver.as_str() {
            driver if layer::is_disk_driver(driver) && layer::is_layer(storage) => {
                layers.push(layer::layer(storage)?)
            }
            "blk" => set_once(&mut scratch, scratch::disk_scratch(storage, id)?, "storages: scratch")?,
            "ephemeral" => {
                set_once(&mut scratch, scratch::memory_scratch(storage, id)?, "storages: scratch")?
            }
            "overlayfs" => set_once(&mut overlay, storage, "storages: overlay")?,
            driver => return Err(RequestError::Driver { driver: RequestError::excerpt(driver) }),
        }
    }
    if layers.len() > LAYERS_MAX {
        return Err(RequestError::Value { field: "storages", expected: "at most 128 layers" });
    }
    let overlay = overlay.ok_or(RequestError::Missing { field: "storages: overlay" })?;
    let overlay = overlay::mount_overlay(overlay, id, &layers, scratch.as_ref())?;
    Ok(RootFilesystem { layers, scratch, overlay })
}

fn set_once<T>(place: &mut Option<T>, value: T, field: &'static str) -> Result<(), RequestError> {
    refuse(place.is_some(), field, "a container has one of each")?;
    *place = Some(value);
    Ok(())
}

fn unknown_option(driver: &'static str, option: &str) -> RequestError {
    RequestError::Option { driver, option: RequestError::excerpt(option) }
}
