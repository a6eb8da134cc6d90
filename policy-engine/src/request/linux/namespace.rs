//! Namespaces.

use serde::Serialize;

use crate::path::GuestPath;

/// Where a container has a namespace from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespace {
    /// A new one of its own.
    New,
    /// That of the guest.
    Guest,
    /// The one that this file stands for.
    Join(GuestPath),
}

/// The namespaces of a container, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the kernel's names, namespaces(7)")]
pub struct Namespaces {
    pub pid: Namespace,
    pub ipc: Namespace,
    pub uts: Namespace,
    pub mount: Namespace,
    pub cgroup: Namespace,
    pub network: Namespace,
    pub user: Namespace,
    pub time: Namespace,
    /// Who is who in a new user namespace.
    pub id_mappings: IdMappings,
    /// Clocks of a new time namespace.
    pub time_offsets: TimeOffsets,
}

impl Default for Namespaces {
    /// New ones of each kind but three: containers share the network, the users and the clocks of the guest.
    fn default() -> Self {
        Self {
            pid: Namespace::New,
            ipc: Namespace::New,
            uts: Namespace::New,
            mount: Namespace::New,
            cgroup: Namespace::New,
            network: Namespace::Guest,
            user: Namespace::Guest,
            time: Namespace::Guest,
            id_mappings: IdMappings::default(),
            time_offsets: TimeOffsets::default(),
        }
    }
}

/// A range of ids in a user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct IdMapping {
    /// The first id in the container.
    #[serde(rename = "containerID")]
    pub container_id: u32,
    /// The first id in the guest.
    #[serde(rename = "hostID")]
    pub host_id: u32,
    /// How many.
    pub size: u32,
}

/// Ranges of user and of group ids.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct IdMappings {
    /// User ids.
    pub uids: Vec<IdMapping>,
    /// Group ids.
    pub gids: Vec<IdMapping>,
}

impl IdMappings {
    /// Whether nobody is mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.uids.is_empty() && self.gids.is_empty()
    }
}

/// How far a clock of a time namespace is ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TimeOffset {
    /// Whole seconds; negative ones are behind.
    pub secs: i64,
    /// Further nanoseconds, below 1,000,000,000.
    pub nanosecs: u32,
}

/// The clocks of a new time namespace; `None` shows what the guest's shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TimeOffsets {
    /// `CLOCK_MONOTONIC`.
    pub monotonic: Option<TimeOffset>,
    /// `CLOCK_BOOTTIME`.
    pub boottime: Option<TimeOffset>,
}
