//! Limits, users and rights.

use std::io;

use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
    set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::filter;
use crate::container::plan::{ProcessPlan, RlimitKind};
use crate::container::report::{AtStep as _, Failure, Step};
use crate::procfs::PrivateProcfs;

/// Sets the adjustment of the OOM killer's score.
pub(super) fn set_oom_score(process: &ProcessPlan) -> io::Result<()> {
    let Some(score) = process.oom_score_adj else { return Ok(()) };
    PrivateProcfs::of_processes()?.write("self/oom_score_adj", score.to_string().as_bytes())
}

/// Sets the resource limits.
pub(super) fn set_rlimits(process: &ProcessPlan) -> Result<(), Failure> {
    for limit in &process.rlimits {
        let value = Rlimit { current: limit.soft, maximum: limit.hard };
        setrlimit(resource(limit.kind), value).on(Step::Rlimit, &format!("{:?}", limit.kind))?;
    }
    Ok(())
}

pub(in crate::container) fn resource(kind: RlimitKind) -> Resource {
    match kind {
        RlimitKind::As => Resource::As,
        RlimitKind::Core => Resource::Core,
        RlimitKind::Cpu => Resource::Cpu,
        RlimitKind::Data => Resource::Data,
        RlimitKind::Fsize => Resource::Fsize,
        RlimitKind::Locks => Resource::Locks,
        RlimitKind::Memlock => Resource::Memlock,
        RlimitKind::Msgqueue => Resource::Msgqueue,
        RlimitKind::Nice => Resource::Nice,
        RlimitKind::Nofile => Resource::Nofile,
        RlimitKind::Nproc => Resource::Nproc,
        RlimitKind::Rss => Resource::Rss,
        RlimitKind::Rtprio => Resource::Rtprio,
        RlimitKind::Rttime => Resource::Rttime,
        RlimitKind::Sigpending => Resource::Sigpending,
        RlimitKind::Stack => Resource::Stack,
    }
}

/// Takes user, groups and capabilities of the process, and with them every way back.
pub(super) fn take(process: &ProcessPlan) -> Result<(), Failure> {
    let bits = process.capabilities;
    drop_bounding(CapabilitySet::from_bits_retain(bits.bounding)).at(Step::Capabilities)?;
    set_keep_capabilities(true).at(Step::Capabilities)?;
    // Also when there are none: the agent's own groups must not stay (CVE-2022-36109).
    let groups: Vec<Gid> = process.groups.iter().copied().map(Gid::from_raw).collect();
    set_thread_groups(&groups).at(Step::Identity)?;
    let (gid, uid) = (Gid::from_raw(process.gid), Uid::from_raw(process.uid));
    set_thread_res_gid(gid, gid, gid).at(Step::Identity)?;
    set_thread_res_uid(uid, uid, uid).at(Step::Identity)?;
    set_keep_capabilities(false).at(Step::Capabilities)?;
    let held = capabilities(None).at(Step::Capabilities)?.permitted;
    let sets = capability_sets(process, held);
    clear_ambient_capability_set().at(Step::Capabilities)?;
    let waiting = CapabilitySets { permitted: sets.permitted | (filter::right(process) & held), ..sets };
    set_capabilities(None, waiting).at(Step::Capabilities)?;
    for capability in each(CapabilitySet::from_bits_retain(bits.ambient) & sets.permitted & sets.inheritable)
    {
        configure_capability_in_ambient_set(capability, true).at(Step::Capabilities)?;
    }
    if process.no_new_privileges {
        set_no_new_privs(true).at(Step::NoNewPrivileges)?;
    }
    Ok(())
}

/// The sets that the process asks for, as far as it has them: what the agent itself does not have it cannot give, and
/// less is never more.
pub(super) fn capability_sets(process: &ProcessPlan, held: CapabilitySet) -> CapabilitySets {
    let bits = process.capabilities;
    CapabilitySets {
        effective: CapabilitySet::from_bits_retain(bits.effective) & held,
        permitted: CapabilitySet::from_bits_retain(bits.permitted) & held,
        inheritable: CapabilitySet::from_bits_retain(bits.inheritable) & held,
    }
}

fn drop_bounding(kept: CapabilitySet) -> io::Result<()> {
    for capability in each(CapabilitySet::from_bits_retain(!kept.bits())) {
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The kernel knows no further ones.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// The capabilities in a set, one by one, in the kernel's order.
fn each(set: CapabilitySet) -> impl Iterator<Item = CapabilitySet> {
    (0..64)
        .map(|bit| CapabilitySet::from_bits_retain(1 << bit))
        .filter(move |capability| set.contains(*capability))
}
