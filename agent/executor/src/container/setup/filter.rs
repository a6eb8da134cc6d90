//! The filter of system calls: the last thing that comes before the program.
//!
//! What a process does on its way to its program is not the program's affair, and no profile has to allow it: after the
//! filter come `execve` and at most one `capset`.

use nix::libc::sock_filter;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::identity::capability_sets;
use crate::container::plan::ProcessPlan;
use crate::container::report::{AtStep as _, Failure, Step};
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

/// Installs the filter of the process, if it has one, and gives up the capability that was held back for it.
pub(super) fn install(process: &ProcessPlan) -> Result<(), Failure> {
    let Some(filter) = &process.seccomp else { return Ok(()) };
    let mut program: Vec<sock_filter> =
        filter.program.iter().map(|&instruction| instruction.into()).collect();
    let right = right(process);
    if right.is_empty() {
        return seccomp::install(&mut program, filter.flags).at(Step::Seccomp);
    }
    let waiting = capabilities(None).at(Step::Capabilities)?;
    let sets = capability_sets(process, waiting.permitted);
    let effective = waiting.permitted & right;
    set_capabilities(None, CapabilitySets { effective, ..waiting }).at(Step::Capabilities)?;
    seccomp::install(&mut program, filter.flags).at(Step::Seccomp)?;
    set_capabilities(None, sets).at(Step::Capabilities)
}
