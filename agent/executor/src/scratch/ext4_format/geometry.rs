//! Where everything stands.

use super::BLOCK_SIZE;

/// Blocks in a group: as many as one block of bitmap describes.
pub(super) const BLOCKS_PER_GROUP: u64 = BLOCK_SIZE as u64 * 8;
/// Inodes in a group: one for each 32 KiB.
pub(super) const INODES_PER_GROUP: u64 = 4096;
/// Bytes of an inode.
pub(super) const INODE_SIZE: usize = 256;
/// Blocks of a group's inode table.
pub(super) const INODE_TABLE_BLOCKS: u64 = INODES_PER_GROUP * INODE_SIZE as u64 / BLOCK_SIZE as u64;
/// Bytes of a group descriptor.
pub(super) const DESCRIPTOR_SIZE: usize = 32;
/// Inodes in use: the ten reserved ones, of which the second is the root, and `lost+found`.
pub(super) const INODES_USED: u64 = 11;
/// Blocks of `lost+found`.
pub(super) const LOST_AND_FOUND_BLOCKS: u64 = 4;
/// Blocks of directories: one of the root, the others of `lost+found`.
pub(super) const DIRECTORY_BLOCKS: u64 = 1 + LOST_AND_FOUND_BLOCKS;

/// The least number of blocks: 8 MiB.
const BLOCKS_MIN: u64 = 2048;
/// A last group with fewer blocks of its own is left out.
const LAST_GROUP_BLOCKS_MIN: u64 = 64;

/// The layout of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    blocks: u64,
}

impl Geometry {
    /// The layout for a device; nothing when it is too small or too large.
    pub(super) fn new(size_bytes: u64) -> Option<Self> {
        let blocks = size_bytes / BLOCK_SIZE as u64;
        if !(BLOCKS_MIN..=u64::from(u32::MAX)).contains(&blocks) {
            return None;
        }
        let whole = Self { blocks };
        let last = whole.groups() - 1;
        if last > 0 && whole.blocks_in(last) < whole.used_blocks(last) + LAST_GROUP_BLOCKS_MIN {
            return Some(Self { blocks: last * BLOCKS_PER_GROUP });
        }
        Some(whole)
    }

    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    pub(super) fn groups(&self) -> u64 {
        self.blocks.div_ceil(BLOCKS_PER_GROUP)
    }

    pub(super) fn descriptor_blocks(&self) -> u64 {
        (self.groups() * DESCRIPTOR_SIZE as u64).div_ceil(BLOCK_SIZE as u64)
    }

    pub(super) fn first_block(&self, group: u64) -> u64 {
        group * BLOCKS_PER_GROUP
    }

    pub(super) fn blocks_in(&self, group: u64) -> u64 {
        (self.blocks - self.first_block(group)).min(BLOCKS_PER_GROUP)
    }

    /// Copies of the superblock stand in groups 0 and 1 and in the powers of 3, 5 and 7.
    pub(super) fn has_superblock(&self, group: u64) -> bool {
        let is_power_of = |base: u64| {
            let mut power = base;
            while power < group {
                power *= base;
            }
            power == group
        };
        group <= 1 || [3, 5, 7].into_iter().any(is_power_of)
    }

    pub(super) fn block_bitmap(&self, group: u64) -> u64 {
        let copies = if self.has_superblock(group) { 1 + self.descriptor_blocks() } else { 0 };
        self.first_block(group) + copies
    }

    pub(super) fn inode_bitmap(&self, group: u64) -> u64 {
        self.block_bitmap(group) + 1
    }

    pub(super) fn inode_table(&self, group: u64) -> u64 {
        self.block_bitmap(group) + 2
    }

    /// The block of the root directory; those of `lost+found` follow it.
    pub(super) fn root_directory(&self) -> u64 {
        self.inode_table(0) + INODE_TABLE_BLOCKS
    }

    /// Blocks in use, all of them at the start of the group.
    pub(super) fn used_blocks(&self, group: u64) -> u64 {
        let metadata = self.inode_table(group) + INODE_TABLE_BLOCKS - self.first_block(group);
        if group == 0 { metadata + DIRECTORY_BLOCKS } else { metadata }
    }

    pub(super) fn free_blocks(&self, group: u64) -> u64 {
        self.blocks_in(group) - self.used_blocks(group)
    }

    pub(super) fn free_inodes(&self, group: u64) -> u64 {
        if group == 0 { INODES_PER_GROUP - INODES_USED } else { INODES_PER_GROUP }
    }
}
