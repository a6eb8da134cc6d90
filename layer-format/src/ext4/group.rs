//! Block groups: how many, their bitmaps and descriptors.

use std::ops::Range;

use super::inode::InodeTable;
use super::{
    BLOCK_SIZE, BLOCKS_PER_GROUP, Block, DESCRIPTOR_BLOCKS, FIRST_INODE, HEAD_BLOCKS, INODES_PER_BLOCK,
};
use crate::record::Record;

/// The most inodes in a group: the bits of one bitmap block.
const MAX_INODES_PER_GROUP: u32 = 32_768;
/// Bytes of a group descriptor.
pub(super) const DESCRIPTOR_SIZE: usize = 32;
/// Group descriptors in a block.
const DESCRIPTORS_PER_BLOCK: u32 = 128;

/// Where everything behind the data goes, in blocks.
#[derive(Debug)]
pub(super) struct GroupLayout {
    pub(super) groups: u32,
    pub(super) inodes_per_group: u32,
    /// Start of the inode table.
    table: u32,
    /// Start of the bitmaps: for each group, that of its blocks and that of its inodes.
    bitmaps: u32,
    /// End of the bitmaps, and so of everything in use.
    pub(super) used: u32,
    /// Size of the disk: the last group has one block at least.
    pub(super) disk: u32,
}

impl GroupLayout {
    /// The layout for data that ends at block `table`, and inodes up to number `inodes`.
    ///
    /// The largest disk and the most inodes need 1,600 groups or so, far from where the sums would overflow.
    pub(super) fn new(table: u32, inodes: u32) -> Self {
        let candidates = (INODES_PER_BLOCK..=MAX_INODES_PER_GROUP).step_by(INODES_PER_BLOCK as usize);
        let (groups, inodes_per_group) = candidates
            .map(|inodes_per_group| (group_count(table, inodes, inodes_per_group), inodes_per_group))
            .min()
            .unwrap_or((u32::MAX, MAX_INODES_PER_GROUP));
        let bitmaps = table.saturating_add(groups.saturating_mul(inodes_per_group / INODES_PER_BLOCK));
        let used = bitmaps.saturating_add(groups.saturating_mul(2));
        let last_group = groups.saturating_sub(1).saturating_mul(BLOCKS_PER_GROUP);
        Self { groups, inodes_per_group, table, bitmaps, used, disk: used.max(last_group.saturating_add(1)) }
    }

    /// Blocks of the whole inode table.
    pub(super) const fn table_blocks(&self) -> u32 {
        self.bitmaps.saturating_sub(self.table)
    }

    /// Whether the descriptors of all groups have room.
    pub(super) const fn fits(&self) -> bool {
        self.descriptor_blocks() <= DESCRIPTOR_BLOCKS
    }

    const fn descriptor_blocks(&self) -> u32 {
        self.groups.div_ceil(DESCRIPTORS_PER_BLOCK)
    }

    /// Bitmaps and descriptor of one group.
    pub(super) fn group(&self, group: u32, inodes: &InodeTable) -> Group {
        let blocks = self.block_bitmap(group);
        let mut inode_bitmap = Bitmap::new();
        let mut directories = 0_u16;
        let first = group.saturating_mul(self.inodes_per_group).saturating_add(1);
        for bit in 0..self.inodes_per_group {
            let number = first.saturating_add(bit);
            let inode = inodes.slot(number);
            if number < FIRST_INODE || inode.is_some() {
                inode_bitmap.set(bit..bit.saturating_add(1));
            }
            directories =
                directories.wrapping_add(u16::from(inode.is_some_and(|inode| inode.is_directory())));
        }
        let bitmap = self.bitmaps.saturating_add(group.saturating_mul(2));
        let table = group.saturating_mul(self.inodes_per_group / INODES_PER_BLOCK);
        let mut descriptor = Record::<DESCRIPTOR_SIZE>::zeroed();
        descriptor.put_u32::<0>(bitmap);
        descriptor.put_u32::<4>(bitmap.saturating_add(1));
        descriptor.put_u32::<8>(self.table.saturating_add(table));
        descriptor.put_u16::<12>(free(BLOCKS_PER_GROUP, blocks.used));
        descriptor.put_u16::<14>(free(self.inodes_per_group, inode_bitmap.used));
        descriptor.put_u16::<16>(directories);
        Group {
            used_blocks: blocks.used,
            used_inodes: inode_bitmap.used,
            block_bitmap: blocks.bits,
            inode_bitmap: inode_bitmap.bits,
            descriptor: descriptor.into_bytes(),
        }
    }

    fn block_bitmap(&self, group: u32) -> Bitmap {
        let mut bitmap = Bitmap::new();
        let start = group.saturating_mul(BLOCKS_PER_GROUP);
        bitmap.set(0..self.used.saturating_sub(start).min(BLOCKS_PER_GROUP));
        if group == 0 {
            bitmap.clear(self.descriptor_blocks().saturating_add(1)..HEAD_BLOCKS);
        }
        let end = self.disk % BLOCKS_PER_GROUP;
        if group == self.groups.saturating_sub(1) && end != 0 {
            // Blocks behind the end of the disk count as used.
            bitmap.set(end..BLOCKS_PER_GROUP);
        }
        bitmap
    }
}

fn group_count(blocks: u32, inodes: u32, inodes_per_group: u32) -> u32 {
    // Each group gives room to its share of the inode table and to two bitmaps.
    let data_blocks_per_group =
        BLOCKS_PER_GROUP.saturating_sub(inodes_per_group / INODES_PER_BLOCK).saturating_sub(2);
    let full_groups = inodes.saturating_sub(1).checked_div(inodes_per_group).unwrap_or(u32::MAX);
    let least_blocks = full_groups.saturating_mul(data_blocks_per_group).saturating_add(1);
    blocks.max(least_blocks).div_ceil(data_blocks_per_group)
}

/// 16 bits, as the descriptor has them: 32,768 free is no overflow, and no count is larger.
fn free(all: u32, used: u32) -> u16 {
    u16::try_from(all.saturating_sub(used)).unwrap_or(u16::MAX)
}

/// What is written for one group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) block_bitmap: Block,
    pub(super) inode_bitmap: Block,
    pub(super) descriptor: [u8; DESCRIPTOR_SIZE],
    pub(super) used_blocks: u32,
    pub(super) used_inodes: u32,
}

struct Bitmap {
    bits: Block,
    used: u32,
}

impl Bitmap {
    const fn new() -> Self {
        Self { bits: [0; BLOCK_SIZE], used: 0 }
    }

    /// Sets bits that were clear.
    fn set(&mut self, range: Range<u32>) {
        for bit in range {
            if let Some(byte) = self.bits.get_mut(bit as usize / 8) {
                *byte |= 1 << (bit % 8);
                self.used = self.used.saturating_add(1);
            }
        }
    }

    /// Clears bits that were set.
    fn clear(&mut self, range: Range<u32>) {
        for bit in range {
            if let Some(byte) = self.bits.get_mut(bit as usize / 8) {
                *byte &= !(1 << (bit % 8));
                self.used = self.used.saturating_sub(1);
            }
        }
    }
}
