//! What a new process does itself about its namespaces, and the names and parameters of those that are its own.

use std::os::fd::{AsFd as _, OwnedFd};

use nix::sched::{CloneFlags, unshare};
use rustix::io::Errno;
use rustix::thread::{ThreadNameSpaceType as NamespaceKinds, move_into_thread_name_spaces};

use super::procfs::PrivateProcfs;
use crate::container::namespaces::NamespacePlan;
use crate::container::plan::RootPlan;
use crate::container::report::{AtStep as _, Failure, Step};

/// Enters and makes the namespaces that the process was not born in. Those to enter are taken from `descriptors`.
pub(super) fn enter(
    plan: NamespacePlan,
    descriptors: &mut impl Iterator<Item = OwnedFd>,
) -> Result<(), Failure> {
    for kind in plan.entered() {
        let namespace = descriptors.next().ok_or(Errno::BADF).at(Step::Plan)?;
        move_into_thread_name_spaces(namespace.as_fd(), kind).at(Step::Namespaces)?;
    }
    // Only now, in its own cgroup: a cgroup namespace shows what its maker was in.
    if plan.makes(NamespaceKinds::CONTROL_GROUP) {
        unshare(CloneFlags::CLONE_NEWCGROUP).at(Step::Namespaces)?;
    }
    if plan.has_new(NamespaceKinds::NETWORK) {
        crate::loopback::bring_up().on(Step::Network, "lo")?;
    }
    Ok(())
}

/// Sets the names and the kernel parameters of the container.
pub(super) fn configure(plan: &RootPlan) -> Result<(), Failure> {
    if let Some(hostname) = &plan.hostname {
        rustix::system::sethostname(hostname.as_bytes()).on(Step::Hostname, hostname)?;
    }
    if let Some(domainname) = &plan.domainname {
        rustix::system::setdomainname(domainname.as_bytes()).on(Step::Domainname, domainname)?;
    }
    if plan.sysctls.is_empty() {
        return Ok(());
    }
    let procfs = PrivateProcfs::with_sysctls().at(Step::Sysctl)?;
    for sysctl in &plan.sysctls {
        procfs.write(&sysctl.path, sysctl.value.as_bytes()).on(Step::Sysctl, &sysctl.path)?;
    }
    Ok(())
}
