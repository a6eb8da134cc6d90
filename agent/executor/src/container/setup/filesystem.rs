//! The mounts of a container.

mod copy_up;
mod hierarchies;

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, chmodat, fstat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags};

use super::devices;
use super::outside::MadeOutside;
use super::root::{Root, attach_at, is_directory, is_symlink};
use crate::container::plan::{DeviceNodePlan, Inherited, MountKind, MountPlan, Virtual};
use crate::mounts::Filesystem;
use crate::sys::mount_attributes::{Changes, Extent, change_mount, set_propagation};

/// Mounts what the plan says. Trees are taken from `descriptors`, in order; `nodes` are those of a new `/dev`.
pub(super) fn mount(
    root: &Root,
    plan: &MountPlan,
    nodes: &[DeviceNodePlan],
    descriptors: &mut impl Iterator<Item = OwnedFd>,
    mut outside: Option<&mut MadeOutside>,
) -> io::Result<()> {
    let destination = &plan.destination;
    let mount = match &plan.what {
        MountKind::Tree => {
            let tree = descriptors.next().ok_or(Errno::BADF)?;
            if is_symlink(&tree)? {
                return root.copy_symlink(&tree, destination);
            }
            attach_at(&tree, &root.mount_point(destination, is_directory(&tree)?)?)?;
            tree
        }
        MountKind::Virtual { kind, parameters, attributes, inherited } => {
            let attributes = MountAttrFlags::from_bits_retain(*attributes);
            match inherited {
                Inherited::Nothing => {
                    let made = outside.as_deref_mut().and_then(|outside| outside.take(*kind));
                    let tree = made.map_or_else(|| new_instance(*kind, parameters, attributes), Ok)?;
                    attach_at(&tree, &place_of(root, *kind, destination)?)?;
                    if *kind == Virtual::Dev {
                        devices::populate(&tree, nodes, outside)?;
                    }
                    tree
                }
                Inherited::Mode | Inherited::Contents => {
                    inheriting(root, plan, parameters, attributes, *inherited)?
                }
            }
        }
        MountKind::Hierarchies { hierarchies, own_only, attributes } => {
            let place = root.mount_point(destination, true)?;
            let attributes = MountAttrFlags::from_bits_retain(*attributes);
            hierarchies::mount(&place, hierarchies, *own_only, attributes)?
        }
        MountKind::Changes { mount, tree } => {
            let place = root.existing_mount_point(destination)?;
            for (changes, extent) in [(mount, Extent::One), (tree, Extent::Tree)] {
                change_mount(place.as_fd(), *changes, extent)?;
            }
            place
        }
    };
    for spreading in &plan.propagation {
        let kind = MountPropagationFlags::from_bits_retain(spreading.flags);
        set_propagation(mount.as_fd(), kind, spreading.extent)?;
    }
    Ok(())
}

/// A tmpfs that has the mode of the directory that it covers, and its contents if asked for.
fn inheriting(
    root: &Root,
    plan: &MountPlan,
    parameters: &[(String, String)],
    attributes: MountAttrFlags,
    inherited: Inherited,
) -> io::Result<OwnedFd> {
    let covered = match root.existing_mount_point(&plan.destination) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        other => Some(other?),
    };
    let read_only = MountAttrFlags::MOUNT_ATTR_RDONLY;
    let tree = new_instance(Virtual::Tmpfs, parameters, attributes.difference(read_only))?;
    if let Some(covered) = &covered {
        if !parameters.iter().any(|(key, _)| key == "mode") {
            chmodat(&tree, ".", Mode::from_raw_mode(fstat(covered)?.st_mode), AtFlags::empty())?;
        }
        if inherited == Inherited::Contents {
            copy_up::copy(covered, &tree)?;
        }
    }
    restrict(&tree, attributes.intersection(read_only))?;
    attach_at(&tree, &root.mount_point(&plan.destination, true)?)?;
    Ok(tree)
}

/// Where a virtual file system goes.
///
/// The kernel's own trees are mounted at a directory with exactly the name that the masked and read-only paths below
/// it are given by: were `/proc` a symbolic link, those would protect another place (CVE-2023-28642).
fn place_of(root: &Root, kind: Virtual, destination: &str) -> io::Result<OwnedFd> {
    let place = root.mount_point(destination, true)?;
    match kind {
        Virtual::Tmpfs => Ok(place),
        Virtual::Proc
        | Virtual::Dev
        | Virtual::Devpts
        | Virtual::Mqueue
        | Virtual::Sysfs
        | Virtual::Cgroup => {
            root.open(destination, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::NO_SYMLINKS)
        }
    }
}

/// A detached new instance of a file system. Parameters with an empty value are flags.
pub(super) fn new_instance(
    kind: Virtual,
    parameters: &[(String, String)],
    attributes: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let instance = Filesystem::open(kind.name())?;
    let set = |instance: Filesystem, (key, value): &(String, String)| instance.parameter(key, value);
    parameters.iter().try_fold(instance, set)?.mount(attributes)
}

/// Adds attributes once the mount is filled.
fn restrict(mount: &OwnedFd, attributes: MountAttrFlags) -> io::Result<()> {
    change_mount(mount.as_fd(), Changes { clear: 0, set: attributes.bits() }, Extent::One)
}
