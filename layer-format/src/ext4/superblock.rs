//! The superblock: what differs between images, and the constants.

use super::inode::EXTRA_SIZE;
use super::{BLOCK_SIZE, BLOCKS_PER_GROUP, Block, FIRST_INODE, INODE_SIZE};
use crate::record::Record;

/// `sparse_super2`, `ext_attr`.
const FEATURES_COMPATIBLE: u32 = 0x208;
/// `filetype`, `extents`, `flex_bg`.
const FEATURES_INCOMPATIBLE: u32 = 0x242;
/// `large_file`, `huge_file`, `extra_isize`, `readonly`.
const FEATURES_READ_ONLY: u32 = 0x104a;
const MAGIC: u16 = 0xef53;
/// log2 of the block size, less 10.
const LOG_BLOCK_SIZE: u32 = 2;
/// Bytes before the superblock in block 0.
const OFFSET: usize = 1024;
const SIZE: usize = 1024;

/// Sizes and free counts of an image.
#[derive(Debug)]
pub(super) struct Superblock {
    pub(super) inodes: u32,
    pub(super) blocks: u32,
    pub(super) free_blocks: u32,
    pub(super) free_inodes: u32,
    pub(super) inodes_per_group: u32,
}

impl Superblock {
    /// Block 0 of the image. UUID, label and all times are zero.
    pub(super) fn block(&self) -> Block {
        let mut record = Record::<SIZE>::zeroed();
        record.put_u32::<0>(self.inodes);
        record.put_u32::<4>(self.blocks);
        record.put_u32::<12>(self.free_blocks);
        record.put_u32::<16>(self.free_inodes);
        record.put_u32::<24>(LOG_BLOCK_SIZE);
        record.put_u32::<28>(LOG_BLOCK_SIZE);
        record.put_u32::<32>(BLOCKS_PER_GROUP);
        record.put_u32::<36>(BLOCKS_PER_GROUP);
        record.put_u32::<40>(self.inodes_per_group);
        record.put_u16::<56>(MAGIC);
        record.put_u16::<58>(1); // State: clean.
        record.put_u16::<60>(1); // On errors: continue.
        record.put_u32::<76>(1); // Revision: dynamic inode sizes.
        record.put_u32::<84>(FIRST_INODE);
        record.put_u16::<88>(const { INODE_SIZE as u16 });
        record.put_u32::<92>(FEATURES_COMPATIBLE);
        record.put_u32::<96>(FEATURES_INCOMPATIBLE);
        record.put_u32::<100>(FEATURES_READ_ONLY);
        record.put_u16::<348>(EXTRA_SIZE);
        record.put_u16::<350>(EXTRA_SIZE);
        record.put::<372, 1>([31]); // log2 of the groups in a flexible group: all are one.
        record.put_u32::<616>(FIRST_INODE); // lost+found
        let mut block = Record::<BLOCK_SIZE>::zeroed();
        block.put::<OFFSET, SIZE>(record.into_bytes());
        block.into_bytes()
    }
}
