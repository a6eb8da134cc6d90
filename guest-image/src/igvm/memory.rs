//! The machine's memory as the measured map describes it. A host may give more; what is not in the map stays unused.

use super::{IgvmError, pages::Addresses};

const MIB: u64 = 1 << 20;
/// Memory below the addresses that a PC keeps for its firmware and display.
const CONVENTIONAL: Addresses = 0..0xa_0000;
/// Where memory goes on behind them.
pub(super) const EXTENDED_START: u64 = MIB;
/// Cloud Hypervisor and Hyper-V keep the addresses from here to [`HIGH_START`] for devices.
const LOW_LIMIT: u64 = 3 << 30;
const HIGH_START: u64 = 4 << 30;
/// More does not fit below the addresses of devices.
const LIMIT_MIB: u32 = 1 << 20;

/// Types of entries of the map (`E820_TYPE_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Memory that the kernel manages.
    Ram = 1,
    /// What the kernel leaves alone.
    Reserved = 2,
    /// ACPI's tables. The kernel maps this type encrypted, unlike reserved memory.
    Acpi = 3,
}

/// Size of the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    bytes: u64,
}

impl Memory {
    /// So many MiB.
    pub(super) fn new(mib: u32) -> Result<Self, IgvmError> {
        let bytes = u64::from(mib).checked_mul(MIB).filter(|_| mib <= LIMIT_MIB);
        Ok(Self { bytes: bytes.ok_or(IgvmError::DoesNotFit { what: "the memory" })? })
    }

    /// First address behind the memory below 4 GiB.
    fn low_end(self) -> u64 {
        self.bytes.min(LOW_LIMIT)
    }

    /// What does not fit below; empty where all does.
    pub(super) fn above_4_gib(self) -> Addresses {
        HIGH_START..HIGH_START.saturating_add(self.bytes.saturating_sub(LOW_LIMIT))
    }

    /// First address behind everything that must be mapped when the kernel starts.
    pub(super) fn mapped_end(self) -> u64 {
        self.above_4_gib().end
    }

    /// Memory that has to be there.
    pub(super) fn present(self) -> Vec<Addresses> {
        let ranges = [CONVENTIONAL, EXTENDED_START..self.low_end(), self.above_4_gib()];
        ranges.into_iter().filter(|range| !range.is_empty()).collect()
    }

    /// The map for the kernel: as [`Self::present`], with these ranges behind [`EXTENDED_START`] marked, the first at
    /// that address and each at the end of the one before.
    pub(super) fn map(self, marked: &[(Addresses, Use)]) -> Vec<(Addresses, Use)> {
        let rest = marked.last().map_or(EXTENDED_START, |(range, _)| range.end);
        let mut map = vec![(CONVENTIONAL, Use::Ram)];
        map.extend_from_slice(marked);
        map.extend([(rest..self.low_end(), Use::Ram), (self.above_4_gib(), Use::Ram)]);
        map.retain(|(range, _)| !range.is_empty());
        map
    }
}
