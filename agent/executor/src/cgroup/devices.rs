//! Which devices the processes of a container may use: a filter in the kernel, attached to the container's cgroup.
//!
//! A container's root may hold `CAP_MKNOD`. Without the filter it would make itself a node for a disk of the guest and
//! write there (CVE-2020-2023, CVE-2026-24834).
//!
//! The filter is version 2's, also where the controllers are version 1's. It stays as it was made: changing limits,
//! which no policy judges, does not change it.

mod filter;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use policy_engine::request::linux::{DeviceAccess, DeviceKind, DeviceNode, DeviceRule, LinuxSettings};

use crate::sys::bpf::{attach_device_filter, load_device_filter};

/// The character devices that every container has: name, major and minor number.
pub(crate) const DEFAULT_NODES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// What is there besides the nodes: the multiplexer and the terminals of the container's devpts; major and minor number.
const TERMINALS: [(u32, Option<u32>); 2] = [(5, Some(2)), (136, None)];

/// The most rules that a container may have.
const RULES_MAX: usize = 512;

/// The filter of containers that ask for no rules of their own: the same for all of them.
static DEFAULT_FILTER: OnceLock<OwnedFd> = OnceLock::new();

/// Attaches the filter to a cgroup that no process is in yet.
pub(super) fn restrict(cgroup: BorrowedFd<'_>, settings: &LinuxSettings) -> io::Result<()> {
    let LinuxSettings { device_rules: rules, devices: nodes, .. } = settings;
    if !rules.is_empty() || !nodes.is_empty() {
        return attach_device_filter(cgroup, load(rules, nodes)?.as_fd());
    }
    let filter = match DEFAULT_FILTER.get() {
        Some(filter) => filter,
        None => {
            let filter = load(&[], &[])?;
            DEFAULT_FILTER.get_or_init(|| filter)
        }
    };
    attach_device_filter(cgroup, filter.as_fd())
}

fn load(rules: &[DeviceRule], nodes: &[DeviceNode]) -> io::Result<OwnedFd> {
    if rules.len() > RULES_MAX {
        return Err(io::ErrorKind::QuotaExceeded.into());
    }
    // What every container has comes last: no rule takes it away.
    let own = node_rules(nodes).chain(default_rules());
    let all: Vec<DeviceRule> = rules.iter().cloned().chain(own).collect();
    load_device_filter(&filter::compile(&all).ok_or(io::ErrorKind::InvalidInput)?)
}

/// Rules that allow to make the nodes of a container, which its own process does. To use them is not allowed by that.
fn node_rules(nodes: &[DeviceNode]) -> impl Iterator<Item = DeviceRule> {
    nodes.iter().filter(|node| node.kind != DeviceKind::Fifo).map(|node| DeviceRule {
        allow: true,
        kind: Some(node.kind),
        major: Some(node.major),
        minor: Some(node.minor),
        access: DeviceAccess { read: false, write: false, mknod: true },
    })
}

/// Rules that allow what every container has.
fn default_rules() -> impl Iterator<Item = DeviceRule> {
    let nodes = DEFAULT_NODES.iter().map(|(_, major, minor)| (*major, Some(*minor)));
    nodes.chain(TERMINALS).map(|(major, minor)| DeviceRule {
        allow: true,
        kind: Some(DeviceKind::Character),
        major: Some(major),
        minor,
        access: DeviceAccess { read: true, write: true, mknod: true },
    })
}
