//! Mounting by descriptor, and the root file systems of containers.

mod detached_copy;
mod filesystem;
mod mount_point;
mod overlay;

pub(crate) use detached_copy::detached_copy;
pub(crate) use filesystem::{Filesystem, INERT, descriptor_path};
pub(crate) use mount_point::MountPoint;
pub(crate) use overlay::CONTAINER_PLACES;

pub use mount_point::MountPointError;
pub use overlay::{MountOverlayError, Overlay, UnmountOverlayError, mount_overlay, unmount_overlay};
