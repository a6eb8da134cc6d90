//! What is made for a container outside of its user namespace, which has no right to make it.
//!
//! For a new user namespace the agent makes it, and passes descriptors. For a joined one the process does so itself,
//! before it enters that.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, chmodat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MoveMountFlags, UnmountFlags, move_mount, unmount};
use rustix::process::fchdir;

use super::devices;
use super::filesystem::new_instance;
use super::root::open_child;
use crate::container::plan::{DeviceNodePlan, MountKind, NodeKind, RootPlan, Virtual};
use crate::mounts::detached_copy;
use crate::procfs::PrivateProcfs;
use crate::sys::mount_attributes::Extent;

/// Detached mounts.
#[derive(Debug)]
pub(in crate::container) struct MadeOutside {
    /// What the process writes to, and a whole procfs.
    pub(super) procfs: PrivateProcfs,
    /// A whole sysfs.
    sysfs: OwnedFd,
    /// Those of the plan that are made before they are mounted, in its order.
    filesystems: VecDeque<(Virtual, OwnedFd)>,
    /// The device nodes of the plan, by their paths there: each a mount of its own.
    nodes: Vec<(String, OwnedFd)>,
}

impl MadeOutside {
    /// Makes all that `plan` needs.
    pub(in crate::container) fn make(plan: &RootPlan) -> io::Result<Self> {
        let none = MountAttrFlags::empty();
        let filesystems = made_outside(plan).map(|(kind, parameters, attributes)| {
            let attributes = MountAttrFlags::from_bits_retain(attributes);
            new_instance(kind, parameters, attributes).map(|tree| (kind, tree))
        });
        Ok(Self {
            procfs: PrivateProcfs::given(new_instance(Virtual::Proc, &[], none)?),
            sysfs: new_instance(Virtual::Sysfs, &[], none)?,
            filesystems: filesystems.collect::<io::Result<_>>()?,
            nodes: make_nodes(plan)?,
        })
    }

    /// Its descriptors, for [`receive`](Self::receive).
    pub(in crate::container) fn into_descriptors(self) -> impl Iterator<Item = OwnedFd> {
        [self.procfs.into_tree(), self.sysfs]
            .into_iter()
            .chain(self.filesystems.into_iter().map(|(_, tree)| tree))
            .chain(self.nodes.into_iter().map(|(_, node)| node))
    }

    /// Takes what was made for `plan` from `descriptors`.
    pub(super) fn receive(
        plan: &RootPlan,
        descriptors: &mut impl Iterator<Item = OwnedFd>,
    ) -> io::Result<Self> {
        let mut next = || descriptors.next().ok_or(Errno::BADF);
        let (procfs, sysfs) = (PrivateProcfs::given(next()?), next()?);
        let filesystems = made_outside(plan).map(|(kind, ..)| next().map(|tree| (kind, tree)));
        let filesystems = filesystems.collect::<Result<_, _>>()?;
        let nodes = device_nodes(plan).map(|node| next().map(|made| (node.path.clone(), made)));
        let nodes = nodes.collect::<Result<_, _>>()?;
        Ok(Self { procfs, sysfs, filesystems, nodes })
    }

    /// Makes what the user namespace has a right to, but the kernel only while it sees a whole procfs and sysfs in the
    /// mount namespace: lest somebody sees what was hidden from them there. The root is still empty. Those of the guest
    /// are covered and gone again before anything of the container is there.
    pub(super) fn complete(&mut self, plan: &RootPlan) -> io::Result<()> {
        let whole = [self.procfs.tree(), &self.sysfs];
        for tree in whole {
            move_mount(tree, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        }
        let mut made = VecDeque::new();
        for (kind, parameters, attributes) in filesystems(plan) {
            let tree = match plan.namespaces.outside.contains(&kind) {
                true => self.filesystems.pop_front().map(|(_, tree)| tree).ok_or(Errno::BADF)?,
                false => new_instance(kind, parameters, MountAttrFlags::from_bits_retain(attributes))?,
            };
            made.push_back((kind, tree));
        }
        for tree in whole.into_iter().rev() {
            fchdir(tree)?;
            unmount(".", UnmountFlags::DETACH)?;
        }
        self.filesystems = made;
        Ok(())
    }

    /// The next file system that is made already, if it is of this `kind`.
    pub(super) fn take(&mut self, kind: Virtual) -> Option<OwnedFd> {
        let is_next = self.filesystems.front().is_some_and(|(made, _)| *made == kind);
        if is_next { self.filesystems.pop_front().map(|(_, tree)| tree) } else { None }
    }

    /// The device node that the plan has at `path`.
    pub(super) fn take_node(&mut self, path: &str) -> io::Result<OwnedFd> {
        let position = self.nodes.iter().position(|(made, _)| made == path).ok_or(Errno::BADF)?;
        Ok(self.nodes.swap_remove(position).1)
    }
}

/// The file systems of a plan that are made outside.
fn made_outside(plan: &RootPlan) -> impl Iterator<Item = (Virtual, &[(String, String)], u32)> {
    filesystems(plan).filter(|(kind, ..)| plan.namespaces.outside.contains(kind))
}

/// Those and the ones that the kernel makes under a condition.
fn filesystems(plan: &RootPlan) -> impl Iterator<Item = (Virtual, &[(String, String)], u32)> {
    let early =
        |kind| plan.namespaces.outside.contains(kind) || matches!(kind, Virtual::Proc | Virtual::Sysfs);
    plan.mounts.iter().filter_map(move |mount| match &mount.what {
        MountKind::Virtual { kind, parameters, attributes, .. } if early(kind) => {
            Some((*kind, parameters.as_slice(), *attributes))
        }
        _ => None,
    })
}

/// The nodes of a plan that nobody makes in a user namespace.
fn device_nodes(plan: &RootPlan) -> impl Iterator<Item = &DeviceNodePlan> {
    let nodes = plan.devices.dev.iter().chain(&plan.devices.elsewhere);
    nodes.filter(|node| node.kind != NodeKind::Fifo)
}

/// Makes nodes in a file system of their own, of which only they are seen.
fn make_nodes(plan: &RootPlan) -> io::Result<Vec<(String, OwnedFd)>> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let place = new_instance(Virtual::Tmpfs, &[], attributes)?;
    let one = |(number, node): (usize, &DeviceNodePlan)| {
        let name = number.to_string();
        devices::make(&place, &name, node)?;
        // The agent's umask is not that of a new process.
        chmodat(&place, &name, Mode::from_raw_mode(node.mode.into()), AtFlags::empty())?;
        let made = detached_copy(open_child(&place, &name, OFlags::PATH)?, Extent::One)?;
        Ok((node.path.clone(), made))
    };
    device_nodes(plan).enumerate().map(one).collect()
}
