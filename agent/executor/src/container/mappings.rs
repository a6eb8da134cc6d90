//! Who is who in a user namespace of a container.

use policy_engine::request::ProcessSpec;
use policy_engine::request::linux::{IdMapping, IdMappings};

/// The most bytes of a written mapping: below a page, which the kernel takes at once (`user_namespaces(7)`).
const TEXT_LENGTH_MAX: usize = 4095;
/// The most ranges of a mapping, `UID_GID_MAP_MAX_EXTENTS` of `linux/user_namespace.h`.
const RANGES_MAX: usize = 340;

/// Why a mapping is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// Nobody would be anybody in the namespace.
    #[error("a new user namespace needs mappings of user and group ids")]
    Missing,
    /// There is no namespace to map ids of.
    #[error("ids are mapped in a user namespace of the container's own alone")]
    NoNamespace,
    /// More than the kernel takes.
    #[error("a mapping has at most {RANGES_MAX} ranges in {TEXT_LENGTH_MAX} bytes")]
    TooLong,
    /// Nobody is in it.
    #[error("a range of ids is empty")]
    Empty,
    /// The last id, which stands for none, is in it, or ids that do not exist.
    #[error("a range of ids ends above the largest id")]
    Overflow,
    /// Two names for one id, or two ids of one name.
    #[error("two ranges of ids overlap")]
    Overlap,
    /// The set-up of a container is its root's.
    #[error("id 0 of the container is not mapped")]
    Root,
    /// A user or group that nobody in the namespace can be.
    #[error("id {id} of the process is not mapped")]
    Process {
        /// The id, in the container.
        id: u32,
    },
}

/// Checks the mappings of a namespace, as the kernel would.
pub(crate) fn check(mappings: &IdMappings) -> Result<(), MappingError> {
    check_ranges(mappings)?;
    for ranges in [&mappings.uids, &mappings.gids] {
        to_guest(ranges, 0).ok_or(MappingError::Root)?;
    }
    Ok(())
}

/// Checks the mappings of a namespace that nobody lives in.
pub(crate) fn check_ranges(mappings: &IdMappings) -> Result<(), MappingError> {
    for ranges in [&mappings.uids, &mappings.gids] {
        if ranges.is_empty() {
            return Err(MappingError::Missing);
        }
        if ranges.len() > RANGES_MAX || text(ranges).len() > TEXT_LENGTH_MAX {
            return Err(MappingError::TooLong);
        }
        check_apart(ranges.iter().map(|range| (range.container_id, range.size)).collect())?;
        check_apart(ranges.iter().map(|range| (range.host_id, range.size)).collect())?;
    }
    Ok(())
}

/// Checks that a process can be whom it is to be.
pub(crate) fn check_process(mappings: &IdMappings, process: &ProcessSpec) -> Result<(), MappingError> {
    let user = &process.user;
    let groups = [user.gid].into_iter().chain(user.additional_gids.iter().copied());
    let ids = groups.map(|gid| (&mappings.gids, gid)).chain([(&mappings.uids, user.uid)]);
    for (ranges, id) in ids {
        to_guest(ranges, id).ok_or(MappingError::Process { id })?;
    }
    Ok(())
}

/// Checks that ranges, each of a first id and a size, are not empty and have no id in common.
fn check_apart(mut ranges: Vec<(u32, u32)>) -> Result<(), MappingError> {
    ranges.sort_unstable();
    let mut end = 0;
    for (first, size) in ranges {
        if size == 0 {
            return Err(MappingError::Empty);
        }
        if first < end {
            return Err(MappingError::Overlap);
        }
        // One past the last id: `u32::MAX` itself stands for no id.
        end = first.checked_add(size).ok_or(MappingError::Overflow)?;
    }
    Ok(())
}

/// The guest's id of an id in the container.
pub(crate) fn to_guest(ranges: &[IdMapping], id: u32) -> Option<u32> {
    ranges.iter().find_map(|range| {
        let offset = id.checked_sub(range.container_id).filter(|offset| *offset < range.size)?;
        range.host_id.checked_add(offset)
    })
}

/// The mapping as it is written to `/proc/<pid>/uid_map` and `/proc/<pid>/gid_map`.
pub(crate) fn text(ranges: &[IdMapping]) -> String {
    let line = |range: &IdMapping| format!("{} {} {}\n", range.container_id, range.host_id, range.size);
    ranges.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(container_id: u32, host_id: u32, size: u32) -> IdMapping {
        IdMapping { container_id, host_id, size }
    }

    fn checked(uids: Vec<IdMapping>) -> Result<(), MappingError> {
        check(&IdMappings { uids, gids: vec![range(0, 100_000, 65_536)] })
    }

    #[test]
    fn ranges_that_stay_apart_are_mapped() {
        assert_eq!(checked(vec![range(0, 100_000, 65_536)]), Ok(()));
        assert_eq!(checked(vec![range(10, 0, 5), range(0, 100_000, 10), range(15, 5, 1)]), Ok(()));
        assert_eq!(checked(vec![range(0, 0, u32::MAX)]), Ok(()));
        assert_eq!(text(&[range(0, 100_000, 10), range(10, 7, 1)]), "0 100000 10\n10 7 1\n");
    }

    #[test]
    fn malformed_mappings_are_refused() {
        for (ranges, error) in [
            (vec![], MappingError::Missing),
            (vec![range(0, 1, 0)], MappingError::Empty),
            (vec![range(0, 1, 10), range(20, 30, 0)], MappingError::Empty),
            (vec![range(0, 100, 10), range(9, 200, 10)], MappingError::Overlap),
            (vec![range(0, 100, 10), range(10, 109, 10)], MappingError::Overlap),
            (vec![range(0, 100, 10), range(0, 200, 10)], MappingError::Overlap),
            (vec![range(0, u32::MAX, 1)], MappingError::Overflow),
            (vec![range(0, 1, u32::MAX)], MappingError::Overflow),
            (vec![range(0, 1, 1), range(u32::MAX, 5, 1)], MappingError::Overflow),
            (vec![range(1, 100_000, 10)], MappingError::Root),
            ((0..341).map(|id| range(id, id, 1)).collect(), MappingError::TooLong),
            ((0..335).map(|id| range(id, 100_000 + id, 1)).collect(), MappingError::TooLong),
        ] {
            assert_eq!(checked(ranges.clone()), Err(error), "{:?}", ranges.first());
            let other = IdMappings { uids: vec![range(0, 1, 1)], gids: ranges };
            assert_eq!(check(&other), Err(error));
        }
    }

    #[test]
    fn ids_are_found_in_their_range() {
        let ranges = [range(0, 100_000, 10), range(20, 7, 2)];
        assert_eq!(to_guest(&ranges, 0), Some(100_000));
        assert_eq!(to_guest(&ranges, 9), Some(100_009));
        assert_eq!(to_guest(&ranges, 10), None);
        assert_eq!(to_guest(&ranges, 21), Some(8));
        assert_eq!(to_guest(&ranges, 22), None);
    }
}
