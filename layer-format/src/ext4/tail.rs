//! What is written once all files are known: directories, inode table, bitmaps and, at the front, the head.

use super::directory::{DirectoryEntry, write_entries};
use super::group::GroupLayout;
use super::inode::{InodeNumber, InodeTable, ROOT};
use super::superblock::Superblock;
use super::writer::{Ext4Error, record_data};
use super::{BLOCK_SIZE, Block, DESCRIPTOR_BLOCKS, INODES_PER_BLOCK};
use crate::block_writer::{BlockWriter, ImageOutput};

/// Writes the data of all directories, parents first, children in the order of their entries.
pub(super) fn write_directories<O: ImageOutput>(
    blocks: &mut BlockWriter<O>,
    inodes: &mut InodeTable,
) -> Result<(), Ext4Error> {
    // A stack of our own: a hostile archive can nest deeper than the thread's stack is.
    let mut pending = vec![(ROOT, ROOT)];
    while let Some((directory, parent)) = pending.pop() {
        let start = blocks.next_block();
        let children = sorted_children(inodes, directory);
        let dots = [(directory, b".".as_slice()), (parent, b"..")];
        let entries = dots.into_iter().chain(children.iter().map(|(inode, name)| (*inode, &name[..])));
        let entries = entries.map(|(inode, name)| DirectoryEntry {
            inode,
            file_type: inodes.get(inode).metadata.file_type,
            name,
        });
        write_entries(entries, |block| blocks.append(block))?;
        let subdirectories = children.iter().rev().filter(|(child, _)| inodes.get(*child).is_directory());
        pending.extend(subdirectories.map(|(child, _)| (*child, directory)));

        let written = u64::from(blocks.next_block().saturating_sub(start));
        record_data(blocks, inodes.get_mut(directory), start)?;
        inodes.get_mut(directory).size_bytes = written.saturating_mul(BLOCK_SIZE as u64);
    }
    Ok(())
}

/// Children by inode number, then by name. The names are needed no more after this and move out.
fn sorted_children(inodes: &mut InodeTable, directory: InodeNumber) -> Vec<(InodeNumber, Box<[u8]>)> {
    let children = inodes.get_mut(directory).children.take().unwrap_or_default();
    let mut sorted: Vec<_> = children.into_iter().map(|(name, inode)| (inode, name)).collect();
    sorted.sort_unstable();
    sorted
}

/// Writes inode table and bitmaps, then the head. The image is complete after this.
pub(super) fn write_metadata<O: ImageOutput>(
    blocks: &mut BlockWriter<O>,
    inodes: &InodeTable,
) -> Result<(), Ext4Error> {
    let layout = GroupLayout::new(blocks.next_block(), inodes.last());
    if !layout.fits() {
        return Err(Ext4Error::ImageTooLarge);
    }
    for index in 0..layout.table_blocks() {
        blocks.append(&table_block(inodes, index))?;
    }
    let mut descriptors = Vec::new();
    let (mut used_blocks, mut used_inodes) = (0_u32, 0_u32);
    for group in 0..layout.groups {
        let group = layout.group(group, inodes);
        blocks.append(&group.block_bitmap)?;
        blocks.append(&group.inode_bitmap)?;
        descriptors.extend(group.descriptor);
        used_blocks = used_blocks.saturating_add(group.used_blocks);
        used_inodes = used_inodes.saturating_add(group.used_inodes);
    }
    blocks.append_zeros(layout.disk.saturating_sub(layout.used))?;

    descriptors.resize(BLOCK_SIZE.saturating_mul(DESCRIPTOR_BLOCKS as usize), 0);
    for (number, block) in (1..).zip(descriptors.as_chunks().0) {
        blocks.replace(number, block)?;
    }
    let all_inodes = layout.groups.saturating_mul(layout.inodes_per_group);
    let all_blocks = layout.groups.saturating_mul(super::BLOCKS_PER_GROUP);
    let superblock = Superblock {
        inodes: all_inodes,
        blocks: layout.disk,
        free_blocks: all_blocks.saturating_sub(used_blocks),
        free_inodes: all_inodes.saturating_sub(used_inodes),
        inodes_per_group: layout.inodes_per_group,
    };
    Ok(blocks.replace(0, &superblock.block())?)
}

fn table_block(inodes: &InodeTable, index: u32) -> Block {
    let mut block = [0; BLOCK_SIZE];
    let first = index.saturating_mul(INODES_PER_BLOCK).saturating_add(1);
    for (number, record) in (first..).zip(block.as_chunks_mut().0) {
        if let Some(inode) = inodes.slot(number) {
            *record = inode.record();
        }
    }
    block
}
