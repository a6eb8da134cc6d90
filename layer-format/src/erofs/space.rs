//! Where things go in an image: `mkfs.erofs` packs inodes into regions of blocks by best fit.
//!
//! A region gets its address when something needs to know it; until then it can grow. Addresses are given in the order
//! in which regions were made. What fills a region best is preferred: of the regions with an address first, then of the
//! others; among equals the one that changed least recently. All of it decides where an inode stands, hence the root
//! hash.

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;

use super::{BLOCK_BYTES, SLOT_SIZE};

/// A run of blocks that is filled from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RegionId(u32);

#[derive(Debug)]
struct Region {
    /// First block, once it is known.
    address: Option<u32>,
    used_bytes: u64,
    blocks: u32,
    /// When it changed; regions of file data, which nothing is added to, have none.
    changed: Option<u64>,
    /// Nothing can be added behind it any more.
    closed: bool,
}

/// Where an inode stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    region: RegionId,
    offset: u64,
}

/// The regions of an image. Block 0 is one with an address.
#[derive(Debug)]
pub(super) struct Space {
    regions: Vec<Region>,
    /// Regions with an address, in that order.
    mapped: Vec<RegionId>,
    /// Regions without, in the order in which they will get one.
    unmapped: VecDeque<RegionId>,
    /// Of regions with inodes: bytes used of the last block, when it changed, which.
    fill_mapped: BTreeSet<(u16, u64, u32)>,
    fill_unmapped: BTreeSet<(u16, u64, u32)>,
    /// First block that has no region.
    end_block: u32,
    changes: u64,
}

impl Space {
    /// A superblock that ends at byte `head_bytes`.
    pub(super) fn new(head_bytes: u64) -> Self {
        let mut space = Self {
            regions: Vec::new(),
            mapped: Vec::new(),
            unmapped: VecDeque::new(),
            fill_mapped: BTreeSet::new(),
            fill_unmapped: BTreeSet::new(),
            end_block: 0,
            changes: 0,
        };
        let head = space.new_region(head_bytes, true);
        space.unmapped.push_back(head);
        space.map(head);
        space
    }

    /// First block behind all regions that have an address.
    pub(super) const fn end_block(&self) -> u32 {
        self.end_block
    }

    /// Blocks of file data, right behind what has an address.
    pub(super) fn add_data(&mut self, blocks: u32) -> RegionId {
        let region = self.new_region(u64::from(blocks).saturating_mul(BLOCK_BYTES), false);
        self.unmapped.push_front(region);
        self.map(region);
        region
    }

    /// Blocks of a directory, behind all else.
    pub(super) fn add_directory(&mut self, blocks: u32) -> RegionId {
        let region = self.new_region(u64::from(blocks).saturating_mul(BLOCK_BYTES), false);
        self.unmapped.push_back(region);
        self.map(region);
        region
    }

    /// One block more at the end of the last region that has an address.
    pub(super) fn extend(&mut self, region: RegionId) {
        self.attach(region, 0, BLOCK_BYTES);
    }

    /// Nothing will be added to a region of data, nor is it in the way of what grows.
    pub(super) fn close(&mut self, region: RegionId) {
        self.get_mut(region).closed = true;
        while self.mapped.last().is_some_and(|last| self.get(*last).closed) {
            self.mapped.pop();
        }
    }

    /// Gives a region, and all before it, an address.
    pub(super) fn map(&mut self, region: RegionId) {
        while self.get(region).address.is_none()
            && let Some(first) = self.unmapped.pop_front()
        {
            let address = self.end_block;
            self.forget_fill(first);
            let mapped = self.get_mut(first);
            mapped.address = Some(address);
            let blocks = mapped.blocks;
            self.end_block = address.saturating_add(blocks);
            self.mapped.push(first);
            self.note_fill(first);
        }
    }

    /// Gives all regions an address.
    pub(super) fn map_all(&mut self) {
        if let Some(last) = self.unmapped.back() {
            self.map(*last);
        }
    }

    /// First block of a region that has an address.
    pub(super) fn address(&self, region: RegionId) -> Option<u32> {
        self.get(region).address
    }

    /// Byte of the image at which an inode stands, if its region has an address.
    pub(super) fn position(&self, place: Place) -> Option<u64> {
        let start = u64::from(self.address(place.region)?).saturating_mul(BLOCK_BYTES);
        Some(start.saturating_add(place.offset))
    }

    /// Gives the region of an inode an address.
    pub(super) fn map_place(&mut self, place: Place) {
        self.map(place.region);
    }

    /// Room for an inode of `size` bytes with `tail` bytes of data right behind it; the data and the end of the inode
    /// are in the same block. Nothing when they cannot be.
    pub(super) fn add_inode(&mut self, size: u64, tail: u64) -> Option<Place> {
        let region = match self.best_fit(size, tail) {
            Some(region) => region,
            None if used_of_last_block(size).saturating_add(tail) > BLOCK_BYTES => return None,
            None => {
                let region = self.new_region(0, true);
                self.unmapped.push_back(region);
                region
            }
        };
        let offset = self.attach(region, size, tail);
        Some(Place { region, offset })
    }

    fn best_fit(&self, size: u64, tail: u64) -> Option<RegionId> {
        let total = size.saturating_add(tail);
        let past_block = total % BLOCK_BYTES;
        // The most that a last block may hold for all to fit behind it.
        let limit = SLOT_SIZE.saturating_mul(BLOCK_BYTES.saturating_sub(past_block) / SLOT_SIZE);
        let mut best = Best::default();
        let within_block = total < BLOCK_BYTES;
        if within_block {
            self.search(&mut best, true, 1..=bucket(limit), size, tail);
            if let Some(last) = self.last_mapped().filter(|last| self.get(*last).changed.is_some()) {
                best.offer(last, self.fill_after(last, size, tail));
            }
            let _found = self.search(&mut best, false, 0..=bucket(limit), size, tail)
                || self.search(&mut best, false, bucket(limit.saturating_add(SLOT_SIZE))..=4095, size, tail);
        } else if past_block == 0 {
            let _found = self.search(&mut best, false, 0..=0, size, tail)
                || self.search(&mut best, false, 1..=4095, size, tail);
        } else {
            self.search(&mut best, false, 1..=bucket(limit), size, tail);
        }
        best.region
    }

    /// Offers the first region that has room, from the fullest of `fills` on; says whether there was one.
    fn search(
        &self,
        best: &mut Best,
        mapped: bool,
        fills: RangeInclusive<u16>,
        size: u64,
        tail: u64,
    ) -> bool {
        let regions = if mapped { &self.fill_mapped } else { &self.fill_unmapped };
        let (least, mut most) = fills.into_inner();
        while most >= least {
            let up_to = (most, u64::MAX, u32::MAX);
            let Some((fill, ..)) = regions.range((least, 0, 0)..=up_to).next_back() else { return false };
            let same = regions.range((*fill, 0, 0)..=(*fill, u64::MAX, u32::MAX));
            let mut same = same.map(|(.., region)| RegionId(*region));
            let last = mapped.then(|| self.last_mapped()).flatten();
            if let Some(region) = same.find(|region| Some(*region) != last)
                && let Some(fill_after) = self.fill_after(region, size, tail)
            {
                best.offer(region, Some(fill_after));
                return true;
            }
            let Some(next) = fill.checked_sub(1) else { return false };
            most = next;
        }
        false
    }

    /// How full the last block of a region would be with an inode more; nothing if there is no room.
    fn fill_after(&self, region: RegionId, size: u64, tail: u64) -> Option<u64> {
        let region_state = self.get(region);
        let end = region_state.used_bytes.next_multiple_of(SLOT_SIZE).saturating_add(size);
        let fill = used_of_last_block(end).saturating_add(tail);
        if fill > BLOCK_BYTES {
            return None;
        }
        let room = u64::from(region_state.blocks).saturating_mul(BLOCK_BYTES);
        if let Some(address) = region_state.address
            && end.saturating_add(tail) > room
        {
            let is_last = self.last_mapped() == Some(region)
                && address.saturating_add(region_state.blocks) == self.end_block;
            return is_last.then_some(fill);
        }
        Some(fill)
    }

    fn last_mapped(&self) -> Option<RegionId> {
        self.mapped.last().copied()
    }

    /// Adds to a region, from the next slot on; gives the offset.
    fn attach(&mut self, region: RegionId, size: u64, tail: u64) -> u64 {
        self.forget_fill(region);
        let state = self.get_mut(region);
        let offset = state.used_bytes.next_multiple_of(SLOT_SIZE);
        state.used_bytes = offset.saturating_add(size).saturating_add(tail);
        let blocks = u32::try_from(state.used_bytes.div_ceil(BLOCK_BYTES)).unwrap_or(u32::MAX);
        state.blocks = state.blocks.max(blocks);
        if let Some(address) = state.address {
            let end = address.saturating_add(state.blocks);
            self.end_block = self.end_block.max(end);
        }
        self.note_fill(region);
        offset
    }

    fn new_region(&mut self, used_bytes: u64, takes_inodes: bool) -> RegionId {
        let region = RegionId(u32::try_from(self.regions.len()).unwrap_or(u32::MAX));
        let blocks = u32::try_from(used_bytes.div_ceil(BLOCK_BYTES)).unwrap_or(u32::MAX);
        let changed = takes_inodes.then_some(0);
        self.regions.push(Region { address: None, used_bytes, blocks, changed, closed: false });
        region
    }

    fn forget_fill(&mut self, region: RegionId) {
        let state = self.get(region);
        if let Some(changed) = state.changed {
            let entry = (fill(state.used_bytes), changed, region.0);
            if state.address.is_some() {
                self.fill_mapped.remove(&entry);
            } else {
                self.fill_unmapped.remove(&entry);
            }
        }
    }

    fn note_fill(&mut self, region: RegionId) {
        self.changes = self.changes.saturating_add(1);
        let changes = self.changes;
        let state = self.get_mut(region);
        if state.changed.is_some() {
            state.changed = Some(changes);
            let entry = (fill(state.used_bytes), changes, region.0);
            if state.address.is_some() {
                self.fill_mapped.insert(entry);
            } else {
                self.fill_unmapped.insert(entry);
            }
        }
    }

    #[expect(clippy::indexing_slicing, reason = "only `new_region` makes numbers, and no region is removed")]
    fn get(&self, region: RegionId) -> &Region {
        &self.regions[region.0 as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "only `new_region` makes numbers, and no region is removed")]
    fn get_mut(&mut self, region: RegionId) -> &mut Region {
        &mut self.regions[region.0 as usize]
    }
}

/// The region that is filled best.
#[derive(Debug, Default)]
struct Best {
    region: Option<RegionId>,
    fill: u64,
}

impl Best {
    fn offer(&mut self, region: RegionId, fill: Option<u64>) {
        if let Some(fill) = fill
            && fill > self.fill
        {
            *self = Self { region: Some(region), fill };
        }
    }
}

/// Bytes of the last block, 1 to 4096, of something that ends there.
const fn used_of_last_block(end: u64) -> u64 {
    (end.saturating_add(const { BLOCK_BYTES - 1 }) % BLOCK_BYTES).saturating_add(1)
}

/// Bytes used of the last block; 0 when it is full.
const fn fill(used_bytes: u64) -> u16 {
    (used_bytes % BLOCK_BYTES) as u16
}

const fn bucket(bytes: u64) -> u16 {
    bytes as u16
}
