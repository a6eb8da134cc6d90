//! `image_guest_pull`: a root that the guest fetches itself. Kata's shims name an image, and put into the options what
//! they know of the container.

use std::collections::BTreeMap;

use policy_engine::ContainerId;
use policy_engine::request::{MountOverlay, ScratchBacking, ScratchMount};
use proto::kata::agent::Storage;
use registry_client::Reference;

use super::scratch::MEMORY_DEFAULT_BYTES;
use super::{RequestError, RootFilesystem, RootLayers, VolumePlan, refuse};
use crate::request::create_container::CONTAINER_TYPE_KEYS;

/// The driver, and the one option of it.
pub(super) const DRIVER: &str = "image_guest_pull";

/// Where the metadata repeats the image of a container, by containerd and by CRI-O.
const IMAGE_NAMES: [&str; 2] = ["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"];
/// What shims write in the place of the sandbox's image,
const PAUSE: &str = "pause";
/// and where they say which one that is.
const PAUSE_IMAGE_NAME: &str = "io.kubernetes.cri.podsandbox.image-name";

/// The longest option, in bytes. Kubernetes bounds the annotations of an object by 256 KiB, and JSON escapes some.
///
/// Attack: an option of 4 MiB that is one part on the wire and half a million strings in memory.
const OPTION_LENGTH_MAX: usize = 1 << 20;

/// What a shim knows of the container.
pub(crate) type Metadata = BTreeMap<String, String>;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct DriverOption {
    metadata: Option<Metadata>,
}

/// The root of container `id` on an image. Without scratch it has some in memory, since images expect to be written to.
///
/// Attack: a root that is pulled beside one that is not, of which the policy sees one.
pub(super) fn root(
    storage: &Storage,
    id: &ContainerId,
    scratch: Option<ScratchMount>,
    volumes: Vec<VolumePlan>,
) -> Result<RootFilesystem, RequestError> {
    let target = format!("/run/kata-containers/{id}/rootfs");
    if storage.mount_point != target || storage.fstype != "overlay" || !storage.options.is_empty() {
        return Err(RequestError::Value {
            field: "storages: image_guest_pull",
            expected: "`overlay` at `/run/kata-containers/<container id>/rootfs`, without options",
        });
    }
    let metadata = metadata(storage)?;
    let reference = reference(&storage.source, &metadata)?;
    let path = |text: &str| {
        text.parse().map_err(|source| RequestError::Path { field: "storages.mount_point", source })
    };
    let scratch = match scratch {
        Some(scratch) => scratch,
        None => ScratchMount {
            target: path(&format!("/run/gcs/c/{id}/scratch/{id}"))?,
            backing: ScratchBacking::Memory { size_bytes: MEMORY_DEFAULT_BYTES },
        },
    };
    let overlay = MountOverlay {
        container_id: id.clone(),
        // The guest finds them, and where to mount them.
        layers: Vec::new(),
        scratch: Some(scratch.target.clone()),
        target: path(&target)?,
    };
    let layers = RootLayers::Image { reference, metadata };
    Ok(RootFilesystem { volumes, layers, scratch: Some(scratch), overlay })
}

fn metadata(storage: &Storage) -> Result<Metadata, RequestError> {
    let malformed = || RequestError::Value {
        field: "storages.driver_options",
        expected: "one `image_guest_pull={\"metadata\":{...}}`",
    };
    let [option] = storage.driver_options.as_slice() else { return Err(malformed()) };
    refuse(option.len() > OPTION_LENGTH_MAX, "storages.driver_options", "metadata of more than 1 MiB")?;
    let json = option.strip_prefix(DRIVER).and_then(|rest| rest.strip_prefix('=')).ok_or_else(malformed)?;
    let option: DriverOption = serde_json::from_str(json).map_err(|_| malformed())?;
    let mut metadata = option.metadata.unwrap_or_default();
    // The rest is of no use, and would be held as long as the image is being pulled.
    metadata.retain(|key, _| {
        IMAGE_NAMES.iter().chain(&[PAUSE_IMAGE_NAME]).chain(&CONTAINER_TYPE_KEYS).any(|known| known == key)
    });
    Ok(metadata)
}

/// The image is the storage's source.
///
/// Attack: a digest that somebody reads in the metadata, while another image is pulled.
fn reference(source: &str, metadata: &Metadata) -> Result<Reference, RequestError> {
    let differs = IMAGE_NAMES.iter().filter_map(|key| metadata.get(*key)).any(|name| name != source);
    refuse(differs, "storages.driver_options", "the metadata names another image than the source")?;
    let name = match (source, metadata.get(PAUSE_IMAGE_NAME)) {
        (PAUSE, Some(name)) => name,
        // Attack: the peer unpacks what the host left at `/pause_bundle`.
        (PAUSE, None) => {
            return Err(RequestError::Refused {
                field: "storages.source: pause",
                reason: "the guest has no image of its own, and the metadata names none for the sandbox",
            });
        }
        (source, _) => source,
    };
    name.parse().map_err(|source| RequestError::Image { source })
}

#[cfg(test)]
mod tests;
