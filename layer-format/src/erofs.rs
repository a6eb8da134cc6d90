//! A deterministic erofs writer: the image that `mkfs.erofs` makes of a layer archive for containerd.
//!
//! containerd's erofs differ runs `mkfs.erofs --tar=f --aufs -Enoinline_data -b4096 -T0 --mkfs-time --sort=none`,
//! so the data of files stands in the order of the archive, each file from the start of a block. Inodes, directories and
//! the targets of symbolic links follow, packed by the tool's own best-fit rule; the block of the superblock takes some
//! of them too. Inodes are numbered and placed in the order in which a walk from the root meets them: all of a
//! directory, then each of its subdirectories.

mod checksum;
mod inode;
mod placement;
mod space;
mod superblock;
mod tree;
mod writer;
mod xattr;

pub use tree::{ErofsError, MkfsVersion};
pub(crate) use tree::{ErofsFile, FileContent};

pub(crate) use writer::ErofsWriter;

use crate::verity::BLOCK_SIZE;

/// Bytes of a slot for inodes; an inode's number is that of its first slot.
const SLOT_SIZE: u64 = 32;
/// Bytes of a block.
const BLOCK_BYTES: u64 = BLOCK_SIZE as u64;
/// Bytes of an entry of a directory before its name.
const DIRECTORY_ENTRY_SIZE: usize = 12;

const TYPE_MASK: u16 = 0o170_000;
const TYPE_FIFO: u16 = 0o010_000;
const TYPE_CHARACTER: u16 = 0o020_000;
const TYPE_DIRECTORY: u16 = 0o040_000;
const TYPE_BLOCK: u16 = 0o060_000;
const TYPE_REGULAR: u16 = 0o100_000;
const TYPE_SYMLINK: u16 = 0o120_000;
