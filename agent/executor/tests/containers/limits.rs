//! Limits, devices and places of cgroups.

use policy_engine::request::{Maximum, MemoryResources, Resources};

pub(crate) const TESTS: &[crate::Test] = &[];

/// A limit of memory alone.
pub(crate) fn memory(limit_bytes: u64) -> Resources {
    let limit_bytes = Some(Maximum::Limited(limit_bytes));
    Resources {
        memory: MemoryResources { limit_bytes, ..MemoryResources::default() },
        ..Resources::default()
    }
}
