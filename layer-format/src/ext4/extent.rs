//! Where the data of a file is: extents in the inode, or in one leaf block when there are more than four.

use super::{BLOCK_SIZE, Block};
use crate::record::Record;

const MAGIC: u16 = 0xf30a;
/// Bytes of the header and of an entry.
const ENTRY_SIZE: usize = 12;
/// The most blocks in one extent.
const MAX_EXTENT_BLOCKS: u32 = 0x8000;
/// Extents that fit in an inode.
const INLINE_EXTENTS: u32 = 4;
/// Extents that fit in a leaf block. A file that fills one has no defined layout: the reference tool's
/// arithmetic for further leaf blocks is wrong.
const LEAF_EXTENTS: u32 = 340;
/// Bytes of the block map in an inode.
pub(super) const BLOCK_MAP_SIZE: usize = 60;

/// One run of data blocks; all data of a file is contiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extents {
    pub(super) start: u32,
    pub(super) blocks: u32,
    /// Block of the extent entries when they do not fit in the inode.
    pub(super) leaf: Option<u32>,
}

impl Extents {
    const fn count(&self) -> u32 {
        self.blocks.div_ceil(MAX_EXTENT_BLOCKS)
    }

    /// Whether the entries need a block of their own.
    pub(super) const fn need_leaf(&self) -> bool {
        self.count() > INLINE_EXTENTS
    }

    /// Whether the file has more extents than can be written.
    pub(super) const fn are_too_many(&self) -> bool {
        self.count() >= LEAF_EXTENTS
    }

    /// Data blocks and the leaf block.
    pub(super) const fn used_blocks(&self) -> u32 {
        self.blocks.saturating_add(if self.leaf.is_some() { 1 } else { 0 })
    }

    fn entries(&self) -> impl Iterator<Item = [u8; ENTRY_SIZE]> {
        (0..self.count()).map(|index| {
            let first = index.saturating_mul(MAX_EXTENT_BLOCKS);
            let length = self.blocks.saturating_sub(first).min(MAX_EXTENT_BLOCKS);
            let mut entry = Record::<ENTRY_SIZE>::zeroed();
            entry.put_u32::<0>(first);
            // At most 0x8000; the next field, the high half of the start, is 0.
            entry.put_u32::<4>(length);
            entry.put_u32::<8>(self.start.saturating_add(first));
            entry.into_bytes()
        })
    }

    /// The block map of the inode.
    pub(super) fn block_map(&self) -> [u8; BLOCK_MAP_SIZE] {
        let mut map = [0; BLOCK_MAP_SIZE];
        match self.leaf {
            None => {
                fill(&mut map, header(self.count(), INLINE_EXTENTS, 0), self.entries());
            }
            Some(leaf) => {
                let mut index = Record::<ENTRY_SIZE>::zeroed();
                index.put_u32::<4>(leaf);
                fill(&mut map, header(1, INLINE_EXTENTS, 1), [index.into_bytes()].into_iter());
            }
        }
        map
    }

    /// The leaf block.
    pub(super) fn leaf_block(&self) -> Block {
        let mut block = [0; BLOCK_SIZE];
        fill(&mut block, header(self.count(), LEAF_EXTENTS, 0), self.entries());
        block
    }
}

fn header(entries: u32, max: u32, depth: u16) -> [u8; ENTRY_SIZE] {
    let small = |number| u16::try_from(number).unwrap_or(u16::MAX);
    let mut header = Record::<ENTRY_SIZE>::zeroed();
    header.put_u16::<0>(MAGIC);
    header.put_u16::<2>(small(entries));
    header.put_u16::<4>(small(max));
    header.put_u16::<6>(depth);
    header.into_bytes()
}

fn fill(area: &mut [u8], header: [u8; ENTRY_SIZE], entries: impl Iterator<Item = [u8; ENTRY_SIZE]>) {
    let slots = area.as_chunks_mut::<ENTRY_SIZE>().0.iter_mut();
    for (slot, entry) in slots.zip(std::iter::once(header).chain(entries)) {
        *slot = entry;
    }
}
