//! The root file system of a container: layers below, scratch above.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use policy_engine::request::{MountOverlay, UnmountOverlay};
use policy_engine::{ContainerId, Grant, GuestPath, Permit};
use rustix::mount::MountAttrFlags;

use super::filesystem::descriptor_path;
use super::{Filesystem, MountPoint, MountPointError};
use crate::boot::SecurityContext;
use crate::layers::Layer;
use crate::patience::{DISK_WORK, Patience, SilentDiskError};
use crate::rollback::{Rollback, carry_out, take_down};
use crate::scratch::{Scratch, WriteDirectories};

/// The most layers of one overlay: the kernel's own limit (`OVL_MAX_STACK`), less one for the security context
/// and one for the mount point.
const LAYERS_MAX: usize = 498;

/// Where overlays and scratch are mounted, strictly below.
pub(crate) const CONTAINER_PLACES: [&str; 2] = ["/run/gcs/c", "/run/kata-containers"];

/// Why a root file system is not mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountOverlayError {
    /// A disk of a layer or of the scratch does not answer, or has not answered before.
    #[error("the disks of the root file system cannot be waited for")]
    Silent(#[from] SilentDiskError),
    /// The layers given are not those that the policy allowed, in their order.
    #[error("the layers are not those of the permit")]
    OtherLayers,
    /// The scratch given is not the one of the permit.
    #[error("the scratch is not that of the permit")]
    OtherScratch,
    /// None, or more than the kernel stacks.
    #[error("a root file system has 1 to {LAYERS_MAX} layers, not {count}")]
    LayerCount {
        /// How many there were.
        count: usize,
    },
    /// No descriptor of a directory that it is made of.
    #[error("cannot prepare the root file system")]
    Prepare(#[source] io::Error),
    /// The directories for writes could not be made; a scratch serves one container only.
    #[error("cannot prepare the scratch for writes")]
    WriteDirectories(#[source] io::Error),
    /// The directory for it could not be made.
    #[error("cannot make the mount point of the root file system")]
    MountPoint(#[source] MountPointError),
    /// The kernel does not mount the overlay.
    #[error("the kernel does not mount the overlay")]
    Filesystem(#[source] io::Error),
    /// The mount could not be attached to its directory.
    #[error("cannot attach the overlay")]
    Attach(#[source] io::Error),
}

/// Why a root file system is not gone.
#[derive(Debug, thiserror::Error)]
pub enum UnmountOverlayError {
    /// A disk does not answer: what is left of the root file system is not known.
    #[error("the disks of the root file system cannot be waited for")]
    Silent(#[from] SilentDiskError),
    /// The permit is for another overlay.
    #[error("the permit names another root file system")]
    OtherOverlay,
    /// The mount stays.
    #[error("cannot unmount the root file system")]
    Unmount(#[source] io::Error),
}

/// A mounted root file system of a container.
#[derive(Debug)]
pub struct Overlay {
    grant: Grant<MountOverlay>,
    root: OwnedFd,
    point: MountPoint,
}

impl Overlay {
    /// Where it is mounted.
    #[must_use]
    pub fn target(&self) -> &GuestPath {
        &self.grant.request().target
    }

    /// The container it is for.
    #[must_use]
    pub fn container_id(&self) -> &ContainerId {
        &self.grant.request().container_id
    }

    /// Its root directory, opened with `O_PATH`. As long as a copy of it is open, the overlay does not unmount.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// Mounts the root file system that the permit names. `layers` are the mounted layers in the permit's order,
/// topmost first; `scratch` takes the writes, and without it the root is read-only; `context` is shown to the
/// container above its layers.
///
/// # Errors
/// [`MountOverlayError`]; everything was undone, or the permit ended as *unknown*.
pub fn mount_overlay(
    permit: Permit<MountOverlay>,
    layers: &[&Layer],
    scratch: Option<&Scratch>,
    context: Option<&SecurityContext>,
) -> Result<Overlay, MountOverlayError> {
    let (grant, (root, point)) =
        carry_out(permit, |request, rollback| mount(request, layers, scratch, context, rollback))?;
    Ok(Overlay { grant, root, point })
}

/// Unmounts a root file system whose processes are gone.
///
/// # Errors
/// [`UnmountOverlayError`]; the permit ended as *unknown*.
pub fn unmount_overlay(permit: Permit<UnmountOverlay>, overlay: Overlay) -> Result<(), UnmountOverlayError> {
    take_down(permit, |request| unmount(request, overlay))
}

fn unmount(request: &UnmountOverlay, overlay: Overlay) -> Result<(), UnmountOverlayError> {
    if overlay.target() != &request.target {
        return Err(UnmountOverlayError::OtherOverlay);
    }
    let Overlay { grant, root, point } = overlay;
    // An open root keeps the mount busy.
    drop(root);
    // What containers wrote goes to the scratch's disk now.
    DISK_WORK.take_down(grant.request().target.as_str(), Patience::WHOLE_DISK, move || {
        point.unmount().map_err(UnmountOverlayError::Unmount)
    })
}

fn mount(
    request: &MountOverlay,
    layers: &[&Layer],
    scratch: Option<&Scratch>,
    context: Option<&SecurityContext>,
    rollback: &mut Rollback,
) -> Result<(OwnedFd, MountPoint), MountOverlayError> {
    // The policy judged targets; what is mounted are descriptors. They meet here.
    if !request.layers.iter().eq(layers.iter().map(|layer| layer.target())) {
        return Err(MountOverlayError::OtherLayers);
    }
    if request.scratch.as_ref() != scratch.map(Scratch::target) {
        return Err(MountOverlayError::OtherScratch);
    }
    if layers.is_empty() || layers.len() > LAYERS_MAX {
        return Err(MountOverlayError::LayerCount { count: layers.len() });
    }
    let directory = MountPoint::create(&request.target, &CONTAINER_PLACES, rollback)
        .map_err(MountOverlayError::MountPoint)?;
    let lower = context.map(SecurityContext::root).into_iter().chain(layers.iter().map(|layer| layer.root()));
    // The kernel does not stack a single directory; the empty mount point as the lowest one adds nothing.
    let lower = lower.chain([directory.as_fd()]);
    let lower: io::Result<Vec<OwnedFd>> = lower.map(|directory| directory.try_clone_to_owned()).collect();
    let scratch = scratch.map(|scratch| scratch.root().try_clone_to_owned()).transpose();
    let (lower, scratch) =
        lower.and_then(|lower| Ok((lower, scratch?))).map_err(MountOverlayError::Prepare)?;
    // The kernel looks into each of the directories.
    let target = request.target.as_str();
    let root = DISK_WORK.make(target, Patience::FEW_BLOCKS, rollback, move |rollback| {
        let writes = scratch.map(|scratch| WriteDirectories::make(&scratch, rollback)).transpose();
        let writes = writes.map_err(MountOverlayError::WriteDirectories)?;
        stack(lower.iter().map(OwnedFd::as_fd), writes.as_ref()).map_err(MountOverlayError::Filesystem)
    })?;
    let point = directory.attach(root.as_fd(), rollback).map_err(MountOverlayError::Attach)?;
    Ok((root, point))
}

/// Stacks directories, topmost first. Each is an option of its own: a list in one string would be cut at a page.
fn stack<'a>(
    lower: impl Iterator<Item = BorrowedFd<'a>>,
    writes: Option<&WriteDirectories>,
) -> io::Result<OwnedFd> {
    let mut overlay = with_lower(&lower.collect::<Vec<_>>())?;
    // Features that let attributes of a file redirect elsewhere are off, whatever the kernel's defaults.
    for (option, value) in [("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off")] {
        overlay = overlay.option(option, value)?;
    }
    // Device nodes in layers or made by containers open nothing; the launcher mounts a /dev of its own.
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
    match writes {
        Some(writes) => {
            overlay = overlay.descriptor("upperdir", &writes.upper)?.descriptor("workdir", &writes.work)?;
        }
        None => {
            overlay = overlay.flag("ro")?;
            attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
        }
    }
    overlay.mount(attributes)
}

fn with_lower(directories: &[BorrowedFd<'_>]) -> io::Result<Filesystem> {
    let separate = directories.iter().try_fold(Filesystem::open("overlay")?, |overlay, directory| {
        overlay.descriptor("lowerdir+", directory)
    });
    match separate {
        // A developer's kernel before Linux 6.8 has one option for all, of which it takes 255 bytes.
        Err(error) if error.raw_os_error() == Some(nix::libc::EINVAL) => one_lower_option(directories),
        other => other,
    }
}

fn one_lower_option(directories: &[BorrowedFd<'_>]) -> io::Result<Filesystem> {
    let paths: Vec<_> = directories.iter().map(descriptor_path).collect();
    Filesystem::open("overlay")?.option("lowerdir", &paths.join(":"))
}

#[cfg(test)]
mod tests;
