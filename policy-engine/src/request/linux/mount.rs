//! Mounts.

use serde::Serialize;

use super::IdMapping;
use crate::request::ContainerMount;

/// Which mounts a container gets, and how freely it chooses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MountSet {
    /// The guest's own, and the requested ones among a few kinds, places and options; the guest's own masked and
    /// read-only paths beside the requested ones.
    #[default]
    Confined,
    /// Exactly the requested ones in their order, of any file system, at any place, with any option; exactly the
    /// requested masked and read-only paths.
    AsAsked,
}

/// Who is who in a mount, as a policy is shown it.
#[derive(Debug, Serialize)]
pub(super) struct MountIdMappings<'a> {
    destination: &'a str,
    uids: &'a [IdMapping],
    gids: &'a [IdMapping],
}

/// The mappings of those mounts that have any.
pub(super) fn id_mappings<'a>(mounts: &'a [ContainerMount]) -> Vec<MountIdMappings<'a>> {
    let mapped = |mount: &&ContainerMount| !mount.id_mappings.is_empty();
    let shown = |mount: &'a ContainerMount| MountIdMappings {
        destination: mount.destination.as_str(),
        uids: &mount.id_mappings.uids,
        gids: &mount.id_mappings.gids,
    };
    mounts.iter().filter(mapped).map(shown).collect()
}
