//! A hash tree that is kept, to be written behind the data.

use std::io::{self, Write};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::{BLOCK_SIZE, Block, DIGESTS_PER_BLOCK, RootHash, Salt};

/// SHA-256 that has taken in the salt.
#[derive(Debug, Clone)]
pub(super) struct SaltedHash(Sha256);

impl SaltedHash {
    pub(super) fn new(salt: &Salt) -> Self {
        Self(Sha256::new_with_prefix(salt.as_bytes()))
    }

    pub(super) fn digest(&self, block: &Block) -> [u8; 32] {
        let mut hasher = self.0.clone();
        hasher.update(block);
        hasher.finalize().into()
    }
}

/// One level of the tree: digests of the blocks below, 128 to a hash block, the last block padded with zeros.
#[derive(Debug, Default)]
struct Level {
    blocks: Vec<Box<Block>>,
    digests: usize,
}

impl Level {
    fn push(&mut self, digest: [u8; 32]) {
        if self.digests.is_multiple_of(DIGESTS_PER_BLOCK) {
            self.blocks.push(Box::new([0; BLOCK_SIZE]));
        }
        let index = self.digests;
        self.digests = index.saturating_add(1);
        self.set(index, digest);
    }

    fn slot(&mut self, index: usize) -> Option<&mut [u8; 32]> {
        let block = self.blocks.get_mut(index / DIGESTS_PER_BLOCK)?;
        block.as_chunks_mut().0.get_mut(index % DIGESTS_PER_BLOCK)
    }

    fn set(&mut self, index: usize, digest: [u8; 32]) {
        if let Some(slot) = self.slot(index) {
            *slot = digest;
        }
    }
}

/// Takes the data blocks of a device in order and builds its hash tree. Memory: 1/128 of the data.
#[derive(Debug)]
pub struct TreeBuilder {
    hash: SaltedHash,
    leaves: Level,
}

/// A device without data has no tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a device without data blocks has no hash tree")]
pub struct EmptyDevice;

impl TreeBuilder {
    /// Starts with no data.
    #[must_use]
    pub fn new(salt: &Salt) -> Self {
        Self { hash: SaltedHash::new(salt), leaves: Level::default() }
    }

    /// Takes the next data block.
    pub fn push(&mut self, block: &Block) {
        let digest = self.hash.digest(block);
        self.leaves.push(digest);
    }

    /// Takes other bytes for data block `index` (from 0), one that was pushed before; false when it was not.
    #[must_use]
    pub fn replace(&mut self, index: usize, block: &Block) -> bool {
        if index >= self.leaves.digests {
            return false;
        }
        let digest = self.hash.digest(block);
        self.leaves.set(index, digest);
        true
    }

    /// Number of data blocks so far.
    #[must_use]
    pub const fn data_blocks(&self) -> usize {
        self.leaves.digests
    }

    /// Builds the levels above the leaves.
    ///
    /// # Errors
    /// When there were no data blocks.
    pub fn finish(mut self) -> Result<Tree, EmptyDevice> {
        let data_blocks = self.leaves.digests;
        let only = *self.leaves.slot(0).ok_or(EmptyDevice)?;
        if data_blocks == 1 {
            // A single data block needs no hash block: its own digest is the root.
            return Ok(Tree { root_hash: RootHash::from_bytes(only), data_blocks, levels: Vec::new() });
        }
        let mut levels = Vec::new();
        let mut level = self.leaves;
        loop {
            let mut next = Level::default();
            for block in &level.blocks {
                next.push(self.hash.digest(block));
            }
            levels.push(level);
            if next.digests == 1 {
                let root = *next.slot(0).ok_or(EmptyDevice)?;
                return Ok(Tree { root_hash: RootHash::from_bytes(root), data_blocks, levels });
            }
            level = next;
        }
    }
}

/// A finished hash tree.
#[derive(Debug)]
pub struct Tree {
    root_hash: RootHash,
    data_blocks: usize,
    /// Leaves first.
    levels: Vec<Level>,
}

impl Tree {
    /// Root hash of the tree.
    #[must_use]
    pub const fn root_hash(&self) -> RootHash {
        self.root_hash
    }

    /// Number of data blocks below the tree.
    #[must_use]
    pub const fn data_blocks(&self) -> usize {
        self.data_blocks
    }

    /// Number of hash blocks that [`Tree::write_to`] writes.
    #[must_use]
    pub fn hash_blocks(&self) -> usize {
        self.levels.iter().fold(0, |sum, level| sum.saturating_add(level.blocks.len()))
    }

    /// Writes the hash blocks, top level first: what stands on disk after the superblock.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let blocks = self.levels.iter().rev().flat_map(|level| &level.blocks);
        blocks.into_iter().try_for_each(|block| out.write_all(block.as_slice()))
    }
}
