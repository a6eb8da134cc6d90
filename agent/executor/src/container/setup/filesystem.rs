//! The mounts of a container.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

use super::devices;
use super::root::{Root, attach_at, is_directory};
use crate::container::plan::{MountKind, MountPlan, Virtual};

/// Mounts what the plan says. Sources of bind mounts are taken from `descriptors`, in order.
pub(super) fn mount(
    root: &Root,
    plan: &MountPlan,
    descriptors: &mut impl Iterator<Item = OwnedFd>,
) -> io::Result<()> {
    match &plan.what {
        MountKind::Bind => {
            let tree = descriptors.next().ok_or(Errno::BADF)?;
            let place = root.mount_point(&plan.destination, is_directory(&tree)?)?;
            attach_at(&tree, &place)
        }
        MountKind::Virtual(kind, parameters) => {
            let tree = new_instance(*kind, parameters, MountAttrFlags::from_bits_retain(plan.attributes))?;
            if *kind == Virtual::Dev {
                devices::populate(&tree)?;
            }
            let place = place_of(root, *kind, &plan.destination)?;
            attach_at(&tree, &place)
        }
    }
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
    let context = fsopen(kind.name(), FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in parameters {
        if value.is_empty() {
            fsconfig_set_flag(&context, key)?;
        } else {
            fsconfig_set_string(&context, key, value)?;
        }
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(io::Error::from)
}
