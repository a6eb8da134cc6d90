//! The structures on disk, as bytes. Offsets are those of `Documentation/filesystems/ext4`.

use super::BLOCK_SIZE;
use super::geometry::{
    BLOCKS_PER_GROUP, DESCRIPTOR_SIZE, DIRECTORY_BLOCKS, Geometry, INODE_SIZE, INODES_PER_GROUP, INODES_USED,
    LOST_AND_FOUND_BLOCKS,
};

/// One block.
pub(super) type Block = Box<[u8; BLOCK_SIZE]>;

const ROOT_INODE: u64 = 2;
const LOST_AND_FOUND_INODE: u64 = 11;
const LOST_AND_FOUND: &[u8] = b"lost+found";
/// `S_IFDIR | 0700`: only the agent looks here.
const DIRECTORY_MODE: u16 = 0o040_700;

/// Extended attributes, directory indices.
const COMPATIBLE_FEATURES: u32 = 0x8 | 0x20;
/// File types in directories, extents.
const INCOMPATIBLE_FEATURES: u32 = 0x2 | 0x40;
/// Few superblocks, large and huge files, many subdirectories, large inodes.
const READ_ONLY_FEATURES: u32 = 0x1 | 0x2 | 0x8 | 0x20 | 0x40;

fn zeroed() -> Block {
    Box::new([0; BLOCK_SIZE])
}

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(offset).zip(value) {
        *to = *from;
    }
}

/// Numbers are bounded by [`Geometry`]; one that did not fit would be saturated and refused by the kernel.
fn put_u16(bytes: &mut [u8], offset: usize, value: u64) {
    put(bytes, offset, &u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes());
}

fn put_u32(bytes: &mut [u8], offset: usize, value: u64) {
    put(bytes, offset, &u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
}

/// The superblock, or the copy of it in `group`. `seed` gives the UUID and the seed of directory hashes.
pub(super) fn superblock(geometry: &Geometry, group: u64, seed: &[u8; 32]) -> Block {
    let mut block = zeroed();
    // The first 1024 bytes of the device are a boot sector's; copies start with their block.
    let start = if group == 0 { 1024 } else { 0 };
    let bytes = block.get_mut(start..).unwrap_or_default();
    let groups = 0..geometry.groups();
    put_u32(bytes, 0, geometry.groups() * INODES_PER_GROUP);
    put_u32(bytes, 4, geometry.blocks());
    put_u32(bytes, 12, groups.clone().map(|group| geometry.free_blocks(group)).sum());
    put_u32(bytes, 16, groups.map(|group| geometry.free_inodes(group)).sum());
    // Blocks and clusters of 2^(10 + 2) bytes.
    put_u32(bytes, 24, 2);
    put_u32(bytes, 28, 2);
    put_u32(bytes, 32, BLOCKS_PER_GROUP);
    put_u32(bytes, 36, BLOCKS_PER_GROUP);
    put_u32(bytes, 40, INODES_PER_GROUP);
    // No check after so many mounts; the magic number; clean; read-only after an error.
    put_u16(bytes, 54, 0xffff);
    put_u16(bytes, 56, 0xef53);
    put_u16(bytes, 58, 1);
    put_u16(bytes, 60, 2);
    // Revision 1: the first free inode and the size of inodes are stated.
    put_u32(bytes, 76, 1);
    put_u32(bytes, 84, LOST_AND_FOUND_INODE);
    put_u16(bytes, 88, INODE_SIZE as u64);
    put_u16(bytes, 90, group);
    put(bytes, 92, &COMPATIBLE_FEATURES.to_le_bytes());
    put(bytes, 96, &INCOMPATIBLE_FEATURES.to_le_bytes());
    put(bytes, 100, &READ_ONLY_FEATURES.to_le_bytes());
    let (uuid, hash_seed) = seed.split_at(16);
    put(bytes, 104, uuid);
    put(bytes, 236, hash_seed);
    // Half MD4, on signed characters.
    put(bytes, 252, &[1]);
    put_u32(bytes, 352, 1);
    // Bytes that inodes have, and should have, behind the first 128.
    put_u16(bytes, 348, 32);
    put_u16(bytes, 350, 32);
    block
}

/// The descriptors of all groups, padded to whole blocks.
pub(super) fn group_descriptors(geometry: &Geometry) -> Vec<u8> {
    let mut table = vec![0; geometry.descriptor_blocks() as usize * BLOCK_SIZE];
    for (group, bytes) in (0..geometry.groups()).zip(table.chunks_exact_mut(DESCRIPTOR_SIZE)) {
        put_u32(bytes, 0, geometry.block_bitmap(group));
        put_u32(bytes, 4, geometry.inode_bitmap(group));
        put_u32(bytes, 8, geometry.inode_table(group));
        put_u16(bytes, 12, geometry.free_blocks(group));
        put_u16(bytes, 14, geometry.free_inodes(group));
        put_u16(bytes, 16, if group == 0 { 2 } else { 0 });
    }
    table
}

/// Sets the first `used` bits and those from `end` on: what lies behind the end counts as used.
fn bitmap(used: u64, end: u64) -> Block {
    let mut block = zeroed();
    for (first_bit, byte) in (0u64..).step_by(8).zip(block.iter_mut()) {
        for bit in 0..8 {
            let number = first_bit + bit;
            if number < used || number >= end {
                *byte |= 1 << bit;
            }
        }
    }
    block
}

/// Which blocks of a group are in use.
pub(super) fn block_bitmap(geometry: &Geometry, group: u64) -> Block {
    bitmap(geometry.used_blocks(group), geometry.blocks_in(group))
}

/// Which inodes of a group are in use.
pub(super) fn inode_bitmap(group: u64) -> Block {
    bitmap(if group == 0 { INODES_USED } else { 0 }, INODES_PER_GROUP)
}

/// The first block of the inode table of group 0.
pub(super) fn first_inodes(geometry: &Geometry) -> Block {
    let mut block = zeroed();
    let root = geometry.root_directory();
    // Links: its name, its own `.`, and the `..` of `lost+found`.
    for (number, links, first_block, blocks) in
        [(ROOT_INODE, 3, root, 1), (LOST_AND_FOUND_INODE, 2, root + 1, LOST_AND_FOUND_BLOCKS)]
    {
        let offset = (number as usize - 1) * INODE_SIZE;
        put(block.as_mut_slice(), offset, &directory_inode(links, first_block, blocks));
    }
    block
}

fn directory_inode(links: u64, first_block: u64, blocks: u64) -> [u8; INODE_SIZE] {
    let mut inode = [0; INODE_SIZE];
    put(&mut inode, 0, &DIRECTORY_MODE.to_le_bytes());
    put_u32(&mut inode, 4, blocks * BLOCK_SIZE as u64);
    put_u16(&mut inode, 26, links);
    // Sectors of 512 bytes; then the flag that says extents follow.
    put_u32(&mut inode, 28, blocks * (BLOCK_SIZE as u64 / 512));
    put_u32(&mut inode, 32, 0x0008_0000);
    // An extent tree of one leaf: magic number, one entry of four.
    put_u16(&mut inode, 40, 0xf30a);
    put_u16(&mut inode, 42, 1);
    put_u16(&mut inode, 44, 4);
    // The extent: from block 0 of the file, so many blocks, and where.
    put_u16(&mut inode, 56, blocks);
    put_u32(&mut inode, 60, first_block);
    put_u16(&mut inode, 128, 32);
    inode
}

/// The blocks of the root directory and of `lost+found`.
pub(super) fn directories() -> Vec<Block> {
    let mut root = zeroed();
    let end = write_dots(&mut root, ROOT_INODE, 12);
    write_entry(&mut root, end, LOST_AND_FOUND_INODE, BLOCK_SIZE - end, LOST_AND_FOUND);
    let mut lost_and_found = zeroed();
    write_dots(&mut lost_and_found, LOST_AND_FOUND_INODE, BLOCK_SIZE - 12);
    let mut blocks = vec![root, lost_and_found];
    while (blocks.len() as u64) < DIRECTORY_BLOCKS {
        let mut empty = zeroed();
        write_entry(&mut empty, 0, 0, BLOCK_SIZE, b"");
        blocks.push(empty);
    }
    blocks
}

/// Writes `.` and, with a length of `parent_length`, `..`, which is the root for both directories.
fn write_dots(block: &mut Block, inode: u64, parent_length: usize) -> usize {
    write_entry(block, 0, inode, 12, b".");
    write_entry(block, 12, ROOT_INODE, parent_length, b"..");
    24
}

fn write_entry(block: &mut Block, offset: usize, inode: u64, length: usize, name: &[u8]) {
    let bytes = block.get_mut(offset..).unwrap_or_default();
    put_u32(bytes, 0, inode);
    put_u16(bytes, 4, length as u64);
    // Length of the name, and the type: 2 is a directory.
    let kind = if name.is_empty() { 0 } else { 2 };
    put(bytes, 6, &[u8::try_from(name.len()).unwrap_or(u8::MAX), kind]);
    put(bytes, 8, name);
}
