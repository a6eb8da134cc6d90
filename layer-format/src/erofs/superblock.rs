//! The superblock: what differs between images, and the constants.

use super::checksum::crc32c;
use crate::record::Record;
use crate::verity::{BLOCK_SIZE, Block};

const MAGIC: u32 = 0xe0f5_e1e2;
/// Bytes before the superblock in block 0.
const OFFSET: usize = 1024;
const SIZE: usize = 128;
/// First byte behind the superblock, where inodes may stand.
pub(super) const END: u64 = (OFFSET + SIZE) as u64;
/// log2 of the block size.
const LOG_BLOCK_SIZE: u8 = 12;
/// `sb_chksum`, `mtime`.
const FEATURES: u32 = 0b011;
/// `xattr_filter`.
const FEATURE_FILTER: u32 = 0b100;

/// What differs between images.
#[derive(Debug)]
pub(super) struct Superblock {
    pub(super) root: u16,
    pub(super) inodes: u64,
    pub(super) blocks: u32,
    /// Block from which inodes are numbered.
    pub(super) first_inode_block: u32,
    /// Whether any inode has a filter of attribute names.
    pub(super) has_filter: bool,
    pub(super) uuid: [u8; 16],
}

impl Superblock {
    /// Completes block 0, which holds inodes already. All times are zero.
    pub(super) fn complete(&self, block: &mut Block) {
        self.write(block, 0);
        let checksum = crc32c(block.get(OFFSET..).unwrap_or_default());
        self.write(block, checksum);
    }

    fn write(&self, block: &mut Block, checksum: u32) {
        let mut record = Record::<SIZE>::zeroed();
        record.put_u32::<0>(MAGIC);
        record.put_u32::<4>(checksum);
        record.put_u32::<8>(if self.has_filter { FEATURES | FEATURE_FILTER } else { FEATURES });
        record.put::<12, 1>([LOG_BLOCK_SIZE]);
        record.put_u16::<14>(self.root);
        record.put::<16, 8>(self.inodes.to_le_bytes());
        record.put_u32::<36>(self.blocks);
        record.put_u32::<40>(self.first_inode_block);
        record.put::<48, 16>(self.uuid);
        let room = block.iter_mut().skip(OFFSET).take(const { BLOCK_SIZE - OFFSET });
        room.zip(record.into_bytes()).for_each(|(to, from)| *to = from);
    }
}
