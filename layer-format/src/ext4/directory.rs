//! Directory blocks: linear lists of entries.

use super::inode::{FileType, InodeNumber};
use super::{BLOCK_SIZE, Block};
use crate::record::Record;

/// Bytes of an entry before the name.
const ENTRY_HEADER_SIZE: usize = 8;
/// Bytes kept free in each block for the empty entry that ends it.
const END_ENTRY_SIZE: usize = 12;

/// One name in a directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct DirectoryEntry<'a> {
    pub(super) inode: InodeNumber,
    pub(super) file_type: FileType,
    pub(super) name: &'a [u8],
}

/// Lays entries out and hands each finished block to `emit`.
pub(super) fn write_entries<'a, E>(
    entries: impl Iterator<Item = DirectoryEntry<'a>>,
    mut emit: impl FnMut(&Block) -> Result<(), E>,
) -> Result<(), E> {
    let mut block = Vec::with_capacity(BLOCK_SIZE);
    for entry in entries {
        let length = ENTRY_HEADER_SIZE.saturating_add(entry.name.len()).next_multiple_of(4);
        if room(&block) < length.saturating_add(END_ENTRY_SIZE) {
            emit(&end_block(&mut block))?;
        }
        let end = block.len().saturating_add(length);
        block.extend(entry_header(entry.inode.get(), length, entry.name.len(), entry.file_type.entry_code()));
        block.extend(entry.name);
        block.resize(end, 0);
    }
    emit(&end_block(&mut block))
}

const fn room(block: &[u8]) -> usize {
    BLOCK_SIZE.saturating_sub(block.len())
}

/// Ends a block with an empty entry, and empties the buffer.
fn end_block(block: &mut Vec<u8>) -> Block {
    let end = entry_header(0, room(block), 0, 0);
    block.extend(end);
    block.resize(BLOCK_SIZE, 0);
    let ended = block.first_chunk().copied().unwrap_or([0; BLOCK_SIZE]);
    block.clear();
    ended
}

fn entry_header(inode: u32, length: usize, name_length: usize, file_type: u8) -> [u8; ENTRY_HEADER_SIZE] {
    let mut header = Record::<ENTRY_HEADER_SIZE>::zeroed();
    header.put_u32::<0>(inode);
    // Lengths are at most 4096, name lengths at most 255: checked when the name came in.
    header.put_u16::<4>(u16::try_from(length).unwrap_or(u16::MAX));
    header.put::<6, 1>([u8::try_from(name_length).unwrap_or(u8::MAX)]);
    header.put::<7, 1>([file_type]);
    header.into_bytes()
}
