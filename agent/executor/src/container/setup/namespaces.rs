//! What a new process does itself about its namespaces, and the names and parameters of those that are its own.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::thread::{
    ThreadNameSpaceType as NamespaceKinds, move_into_thread_name_spaces, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use super::outside::MadeOutside;
use crate::container::namespaces::Users;
use crate::container::plan::RootPlan;
use crate::container::report::{AtStep as _, Failure, Step};
use crate::procfs::PrivateProcfs;

/// Enters and makes the namespaces that the process was not born in, and becomes the root of its user namespace, whose
/// ids are mapped by now. The namespaces to enter, and what was made outside, are taken from `descriptors`.
pub(super) fn enter(
    plan: &RootPlan,
    descriptors: &mut impl Iterator<Item = OwnedFd>,
) -> Result<Option<MadeOutside>, Failure> {
    let namespaces = &plan.namespaces;
    let mut outside = None;
    for kind in namespaces.entered() {
        if kind == NamespaceKinds::USER {
            outside = Some(MadeOutside::make(plan).at(Step::Outside)?);
        }
        let namespace = descriptors.next().ok_or(Errno::BADF).at(Step::Plan)?;
        move_into_thread_name_spaces(namespace.as_fd(), kind).at(Step::Namespaces)?;
    }
    if namespaces.users == Users::New {
        outside = Some(MadeOutside::receive(plan, descriptors).at(Step::Plan)?);
    }
    // Only now, in its own cgroup: a cgroup namespace shows what its maker was in.
    let made = namespaces.made();
    unshare(clone_flags(made.difference(NamespaceKinds::TIME))).at(Step::Namespaces)?;
    if made.contains(NamespaceKinds::TIME) {
        enter_new_time(&namespaces.time_offsets, outside.as_ref()).at(Step::Clocks)?;
    }
    if namespaces.has_new(NamespaceKinds::NETWORK) {
        crate::loopback::bring_up().on(Step::Network, "lo")?;
    }
    if namespaces.users != Users::Guest {
        become_root().at(Step::Identity)?;
    }
    Ok(outside)
}

/// Makes a time namespace, which sets its clocks before anybody is in it.
fn enter_new_time(offsets: &str, outside: Option<&MadeOutside>) -> io::Result<()> {
    unshare(clone_flags(NamespaceKinds::TIME))?;
    let own;
    let procfs = match outside {
        Some(outside) => &outside.procfs,
        None => {
            own = PrivateProcfs::of_processes()?;
            &own
        }
    };
    if !offsets.is_empty() {
        procfs.write("self/timens_offsets", offsets.as_bytes())?;
    }
    let namespace = procfs.open_namespace("time_for_children")?;
    move_into_thread_name_spaces(namespace.as_fd(), NamespaceKinds::TIME).map_err(io::Error::from)
}

/// The same bits by another name.
fn clone_flags(kinds: NamespaceKinds) -> CloneFlags {
    CloneFlags::from_bits_retain(kinds.bits().cast_signed())
}

/// Becomes the root of the user namespace: what the process makes from here on belongs to that.
pub(super) fn become_root() -> io::Result<()> {
    set_thread_groups(&[])?;
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).map_err(io::Error::from)
}

/// Sets the names and the kernel parameters of the container.
pub(super) fn configure(plan: &RootPlan, outside: Option<&MadeOutside>) -> Result<(), Failure> {
    if let Some(hostname) = &plan.hostname {
        rustix::system::sethostname(hostname.as_bytes()).on(Step::Hostname, hostname)?;
    }
    if let Some(domainname) = &plan.domainname {
        rustix::system::setdomainname(domainname.as_bytes()).on(Step::Domainname, domainname)?;
    }
    if plan.sysctls.is_empty() {
        return Ok(());
    }
    let own;
    let procfs = match outside {
        Some(outside) => &outside.procfs,
        None => {
            own = PrivateProcfs::with_sysctls().at(Step::Sysctl)?;
            &own
        }
    };
    for sysctl in &plan.sysctls {
        procfs.write(&sysctl.path, sysctl.value.as_bytes()).on(Step::Sysctl, &sysctl.path)?;
    }
    Ok(())
}
