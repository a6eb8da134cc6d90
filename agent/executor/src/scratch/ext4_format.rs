//! Makes an empty ext4 file system: the guest has no programs, so no `mkfs`.
//!
//! Format: the kernel's `Documentation/filesystems/ext4`. No journal, no checksums: the file system is made
//! for one life of the guest, on a device that checks its blocks itself. All metadata is written out, since
//! blocks that were never written do not read on such a device.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "all numbers are u64 and bounded by a block count below 2^32, which `Geometry::new` checks"
)]

mod geometry;
mod structures;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use geometry::{Geometry, INODE_TABLE_BLOCKS};

/// Bytes in a block.
pub(super) const BLOCK_SIZE: usize = 4096;

/// Why there is no file system.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Smaller than the least or larger than 32-bit block numbers reach.
    #[error("a device of {size_bytes} bytes has no place for a file system, or too much")]
    Size {
        /// The size of the device.
        size_bytes: u64,
    },
    /// No randomness for the seed of directory hashes.
    #[error("cannot draw a hash seed")]
    Seed(#[source] getrandom::Error),
    /// The device fails.
    #[error("cannot write to the device")]
    Write(#[source] io::Error),
}

/// Makes an empty file system over the first `size_bytes` of `device`; the root belongs to the superuser.
pub(super) fn format(device: &File, size_bytes: u64) -> Result<(), FormatError> {
    let geometry = Geometry::new(size_bytes).ok_or(FormatError::Size { size_bytes })?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(FormatError::Seed)?;
    write_groups(device, &geometry, &seed).and_then(|()| device.sync_all()).map_err(FormatError::Write)
}

fn write_groups(device: &File, geometry: &Geometry, seed: &[u8; 32]) -> io::Result<()> {
    let descriptors = structures::group_descriptors(geometry);
    let empty_table = vec![0; INODE_TABLE_BLOCKS as usize * BLOCK_SIZE];
    for group in 0..geometry.groups() {
        let mut writer = Writer { device, next_block: geometry.first_block(group) };
        if geometry.has_superblock(group) {
            writer.write(structures::superblock(geometry, group, seed).as_slice())?;
            writer.write(&descriptors)?;
        }
        writer.write(structures::block_bitmap(geometry, group).as_slice())?;
        writer.write(structures::inode_bitmap(group).as_slice())?;
        if group == 0 {
            let inodes = structures::first_inodes(geometry);
            writer.write(inodes.as_slice())?;
            writer.write(empty_table.get(BLOCK_SIZE..).unwrap_or_default())?;
            structures::directories().iter().try_for_each(|block| writer.write(block.as_slice()))?;
        } else {
            writer.write(&empty_table)?;
        }
    }
    Ok(())
}

/// Writes blocks one after the other.
struct Writer<'a> {
    device: &'a File,
    next_block: u64,
}

impl Writer<'_> {
    fn write(&mut self, blocks: &[u8]) -> io::Result<()> {
        self.device.write_all_at(blocks, self.next_block * BLOCK_SIZE as u64)?;
        self.next_block += (blocks.len() / BLOCK_SIZE) as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
