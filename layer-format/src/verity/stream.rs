//! The root hash of a stream, in memory that does not grow with it.

use std::io::{self, Read, Write};

use thiserror::Error;

use super::tree::SaltedHash;
use super::{BLOCK_SIZE, Block, DIGESTS_PER_BLOCK, RootHash, Salt};

/// Blocks read at a time.
const BLOCKS_PER_READ: usize = 32;

/// Takes data blocks in order and computes the root hash of their tree, one hash block a level in memory.
#[derive(Debug)]
pub struct RootHasher {
    hash: SaltedHash,
    /// The unfinished hash block of each level, leaves first.
    levels: Vec<PartialBlock>,
}

#[derive(Debug)]
struct PartialBlock {
    block: Box<Block>,
    digests: usize,
}

impl PartialBlock {
    fn new() -> Self {
        Self { block: Box::new([0; BLOCK_SIZE]), digests: 0 }
    }

    fn push(&mut self, digest: [u8; 32]) {
        if let Some(slot) = self.block.as_chunks_mut().0.get_mut(self.digests) {
            *slot = digest;
            self.digests = self.digests.saturating_add(1);
        }
    }
}

impl RootHasher {
    /// Starts with no data.
    #[must_use]
    pub fn new(salt: &Salt) -> Self {
        Self { hash: SaltedHash::new(salt), levels: Vec::new() }
    }

    /// Takes the next data block.
    pub fn push(&mut self, block: &Block) {
        let digest = self.hash.digest(block);
        self.push_digest(digest);
    }

    fn push_digest(&mut self, mut digest: [u8; 32]) {
        for level in &mut self.levels {
            level.push(digest);
            if level.digests < DIGESTS_PER_BLOCK {
                return;
            }
            digest = self.hash.digest(&level.block);
            *level = PartialBlock::new();
        }
        let mut top = PartialBlock::new();
        top.push(digest);
        self.levels.push(top);
    }

    /// The root hash, or nothing when there was no data.
    #[must_use]
    pub fn finish(self) -> Option<RootHash> {
        let mut carried: Option<[u8; 32]> = None;
        let mut levels = self.levels.into_iter().peekable();
        while let Some(mut level) = levels.next() {
            if let Some(digest) = carried.take() {
                level.push(digest);
            }
            // A lone digest at the top is the root; below the top it fills a padded block.
            carried = match (level.digests, levels.peek()) {
                (0, _) => None,
                (1, None) => level.block.first_chunk().copied(),
                _ => Some(self.hash.digest(&level.block)),
            };
        }
        carried.map(RootHash::from_bytes)
    }
}

/// Why a device could not be hashed or copied.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HashDeviceError {
    /// There is nothing to hash.
    #[error("a device without data blocks has no root hash")]
    Empty,
    /// The data could not be read, or ended early.
    #[error("cannot read data block {block}")]
    Read {
        /// First block of the read that failed.
        block: u64,
        /// What the source said.
        #[source]
        source: io::Error,
    },
    /// The copy could not be written.
    #[error("cannot write data block {block}")]
    Write {
        /// First block of the write that failed.
        block: u64,
        /// What the destination said.
        #[source]
        source: io::Error,
    },
    /// The data is not what the root hash names.
    #[error("the data has the root hash {actual}, not {expected}")]
    Mismatch {
        /// Root hash asked for.
        expected: RootHash,
        /// Root hash of the data read.
        actual: RootHash,
    },
}

/// The root hash of the next `data_blocks` blocks of `source`.
///
/// # Errors
/// When the source fails or ends early, or when there are no blocks.
pub fn root_of(source: &mut impl Read, data_blocks: u64, salt: &Salt) -> Result<RootHash, HashDeviceError> {
    copy_hashing(source, &mut io::sink(), data_blocks, salt)
}

/// Copies `data_blocks` blocks in one pass and checks that what was written has the root hash `expected`.
///
/// Each byte is read once: a source that changes under the reader cannot show the hash one thing and the
/// copy another.
///
/// # Errors
/// When either side fails, or when the root hash is another. The copy must then be thrown away unused.
pub fn copy_verified(
    source: &mut impl Read,
    copy: &mut impl Write,
    data_blocks: u64,
    salt: &Salt,
    expected: RootHash,
) -> Result<(), HashDeviceError> {
    let actual = copy_hashing(source, copy, data_blocks, salt)?;
    if actual != expected {
        return Err(HashDeviceError::Mismatch { expected, actual });
    }
    Ok(())
}

fn copy_hashing(
    source: &mut impl Read,
    copy: &mut impl Write,
    data_blocks: u64,
    salt: &Salt,
) -> Result<RootHash, HashDeviceError> {
    let mut hasher = RootHasher::new(salt);
    let mut buffer = vec![[0; BLOCK_SIZE]; BLOCKS_PER_READ];
    let mut block = 0_u64;
    while block < data_blocks {
        let left = usize::try_from(data_blocks.saturating_sub(block)).unwrap_or(usize::MAX);
        let chunk = buffer.get_mut(..left.min(BLOCKS_PER_READ)).unwrap_or_default();
        source
            .read_exact(chunk.as_flattened_mut())
            .map_err(|source| HashDeviceError::Read { block, source })?;
        chunk.iter().for_each(|data| hasher.push(data));
        copy.write_all(chunk.as_flattened()).map_err(|source| HashDeviceError::Write { block, source })?;
        block = block.saturating_add(chunk.len() as u64);
    }
    hasher.finish().ok_or(HashDeviceError::Empty)
}

#[cfg(test)]
mod tests;
