//! The filter of system calls: the last thing that comes before the program.
//!
//! What a process does on its way to its program is not the program's affair, and no profile has to allow it: after the
//! filter come `execve` and at most one `capset`.

use std::io;
use std::os::fd::AsFd as _;

use nix::libc::sock_filter;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::identity::capability_sets;
use crate::container::plan::ProcessPlan;
use crate::container::report::{AtStep as _, Failure, Report, Step};
use crate::container::seccomp::Filter;
use crate::launcher::channel::Channel;
use crate::sys::seccomp;

/// The capability that installing the filter takes, which the process holds back until then. One that can gain no new
/// privileges may filter itself without.
pub(super) fn right(process: &ProcessPlan) -> CapabilitySet {
    if process.seccomp.is_some() && !process.no_new_privileges {
        CapabilitySet::SYS_ADMIN
    } else {
        CapabilitySet::empty()
    }
}

/// Installs the filter of the process, if it has one whose calls go to nobody.
pub(super) fn install(process: &ProcessPlan) -> Result<(), Failure> {
    let quiet = process.seccomp.as_ref().filter(|filter| !filter.notifies);
    quiet.map_or(Ok(()), |filter| put_in_force(process, filter, seccomp::install))
}

/// Installs the filter of the process, if it has one whose calls go to somebody, and tells the agent. Whoever takes the
/// calls has to be there before the program: the rest of the way to it is subject to the filter.
pub(super) fn install_with_listener(process: &ProcessPlan, channel: &Channel) -> Result<(), Failure> {
    let Some(filter) = process.seccomp.as_ref().filter(|filter| filter.notifies) else { return Ok(()) };
    let listener = put_in_force(process, filter, seccomp::install_with_listener)?;
    Report::Filtered.send(channel, Some(listener.as_fd())).at(Step::Seccomp)
}

/// Installs a filter and gives up the capability that was held back for it.
fn put_in_force<T>(
    process: &ProcessPlan,
    filter: &Filter,
    install: fn(&mut [sock_filter], u32) -> io::Result<T>,
) -> Result<T, Failure> {
    let mut program: Vec<sock_filter> =
        filter.program.iter().map(|&instruction| instruction.into()).collect();
    let right = right(process);
    if right.is_empty() {
        return install(&mut program, filter.flags).at(Step::Seccomp);
    }
    let waiting = capabilities(None).at(Step::Capabilities)?;
    let sets = capability_sets(process, waiting.permitted);
    let effective = waiting.permitted & right;
    set_capabilities(None, CapabilitySets { effective, ..waiting }).at(Step::Capabilities)?;
    let installed = install(&mut program, filter.flags).at(Step::Seccomp)?;
    set_capabilities(None, sets).at(Step::Capabilities)?;
    Ok(installed)
}
