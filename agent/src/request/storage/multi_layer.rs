//! A root in Kata's multi-layer form: storages of one mount point, of which each is a layer or the disk above them.
//!
//! Options: `X-kata.multi-layer`, `X-kata.overlay-lower`, `X-kata.overlay-upper` and `X-kata.mkdir.path` as Kata's shim
//! sends them beside those of layers and scratch. Layers come topmost first, as overlayfs names them.

use policy_engine::request::{DeviceTarget, MountDevice, MountOverlay, ScratchBacking, ScratchMount};
use policy_engine::{ContainerId, RootHash};
use proto::kata::agent::Storage;

use super::scratch::{MEMORY_DEFAULT_BYTES, disk, target};
use super::volume::VolumePlan;
use super::{RequestError, RootFilesystem, RootLayers, layer, overlay, refuse, set_once};

/// The driver that has the form; any other has it by the option.
const DRIVER: &str = "erofs.multi-layer";
const FORM: &str = "X-kata.multi-layer";
const LOWER: &str = "X-kata.overlay-lower";
const UPPER: &str = "X-kata.overlay-upper";
/// The directories that the shim wants to be made are those that the guest makes anyway, with these modes.
const MADE: [&str; 5] = [
    "X-kata.mkdir.path={{ mount 0 }}/upper",
    "X-kata.mkdir.path={{ mount 0 }}/upper:0755",
    "X-kata.mkdir.path={{ mount 0 }}/work",
    "X-kata.mkdir.path={{ mount 0 }}/work:0700",
    "X-kata.mkdir.path={{ mount 0 }}/work:0755",
];
/// Numbers of layers have nine digits at the most.
const NUMBERS: u32 = 1_000_000_000;

/// Whether a storage is a part of such a root.
pub(super) fn is_part(storage: &Storage) -> bool {
    storage.driver == DRIVER || storage.options.iter().any(|option| option.starts_with(FORM))
}

/// The root of container `id`, made of `parts`.
pub(super) fn root(
    parts: &[&Storage],
    id: &ContainerId,
    volumes: Vec<VolumePlan>,
) -> Result<RootFilesystem, RequestError> {
    let place = format!("/run/kata-containers/{id}");
    let root = format!("{place}/rootfs");
    let mut layers = Vec::new();
    let mut upper = None;
    for part in parts {
        if part.mount_point != root {
            return Err(RequestError::Value {
                field: "storages.mount_point",
                expected: "`/run/kata-containers/<container id>/rootfs` for each part of a root",
            });
        }
        let Part { is_upper, options } = Part::of(part)?;
        if is_upper {
            set_once(&mut upper, disk(part, &options)?, "X-kata.overlay-upper")?;
        } else {
            layers.push(lower(part, options)?);
        }
    }
    overlay::refuse_duplicates(&layers)?;
    let topmost_first: Vec<_> = layers.iter().map(|layer| layer.target.clone()).collect();
    layers.reverse();
    // Without a disk Kata's agent writes to memory.
    let backing = upper.unwrap_or(ScratchBacking::Memory { size_bytes: MEMORY_DEFAULT_BYTES });
    let scratch = ScratchMount { target: target(&format!("{place}/scratch"))?, backing };
    let overlay = MountOverlay {
        container_id: id.clone(),
        layers: topmost_first,
        scratch: Some(scratch.target.clone()),
        target: target(&root)?,
    };
    let layers = RootLayers::Disks(layers);
    Ok(RootFilesystem { volumes, layers, scratch: Some(scratch), overlay })
}

/// What one storage is in the root.
struct Part {
    is_upper: bool,
    /// The options that are not about that.
    options: Vec<String>,
}

impl Part {
    fn of(storage: &Storage) -> Result<Self, RequestError> {
        let (mut form, mut upper, mut lower) = (None, None, None);
        let mut options = Vec::new();
        let mut made = Vec::new();
        for option in &storage.options {
            match option.as_str() {
                "X-kata.multi-layer=true" => set_once(&mut form, (), FORM)?,
                UPPER => set_once(&mut upper, (), UPPER)?,
                LOWER => set_once(&mut lower, (), LOWER)?,
                known if MADE.contains(&known) => made.push(option),
                other => options.push(other.to_owned()),
            }
        }
        let is_upper = match (upper, lower) {
            (Some(()), None) => true,
            (None, Some(())) => false,
            (None, None) => storage.fstype == "ext4",
            (Some(()), Some(())) => {
                return Err(RequestError::Refused { field: LOWER, reason: "a part is lower or upper" });
            }
        };
        refuse(!is_upper && !made.is_empty(), "X-kata.mkdir.path", "nothing is made in a layer")?;
        Ok(Self { is_upper, options })
    }
}

/// A layer, mounted at the place that its root hash stands for: containers that have it in common share it.
fn lower(storage: &Storage, options: Vec<String>) -> Result<MountDevice, RequestError> {
    let driver = if storage.driver == DRIVER { "blk" } else { &storage.driver };
    let placed = |number: u32| Storage {
        driver: driver.to_owned(),
        mount_point: format!("{}/m{number}", DeviceTarget::DIRECTORY),
        options: options.clone(),
        ..storage.clone()
    };
    refuse(!layer::is_layer(&placed(0)), LOWER, "a layer has a root hash of dm-verity")?;
    let number = place(layer::layer(&placed(0))?.root_hash);
    layer::layer(&placed(number))
}

/// A number that another layer has with a chance of one to a billion; such a layer is refused.
fn place(root_hash: RootHash) -> u32 {
    let digits = root_hash.to_string();
    let start = digits.get(..8).and_then(|start| u32::from_str_radix(start, 16).ok());
    start.unwrap_or_default().checked_rem(NUMBERS).unwrap_or_default()
}
