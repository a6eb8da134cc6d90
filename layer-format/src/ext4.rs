//! A deterministic, compact ext4 writer.
//!
//! The image is a function of the sequence of files alone: its root hash is what tenants write into
//! policies, so each byte follows the tool that made those policies, oddities included. File data is written
//! as it arrives; directories, the inode table and the bitmaps follow; the superblock and the group
//! descriptors, whose room is at the front, come last.

mod directory;
mod extent;
mod group;
mod inode;
mod superblock;
mod tail;
mod timestamp;
mod writer;
mod xattr;

pub(crate) use inode::{FileType, Metadata};
pub(crate) use timestamp::FsTime;
pub use writer::Ext4Error;
pub(crate) use writer::{Ext4Writer, NewFile};

use crate::verity::{BLOCK_SIZE, Block};

/// Blocks in a group: the bits of one bitmap block.
const BLOCKS_PER_GROUP: u32 = 32_768;
/// Room for the group descriptors of the largest image.
const DESCRIPTOR_BLOCKS: u32 = 8;
/// Superblock and group descriptors, at the front.
const HEAD_BLOCKS: u32 = 1 + DESCRIPTOR_BLOCKS;
/// Bytes of an inode record.
const INODE_SIZE: usize = 256;
/// First inode that is not reserved: `lost+found`.
const FIRST_INODE: u32 = 11;
/// Inode records in a block.
const INODES_PER_BLOCK: u32 = 16;
