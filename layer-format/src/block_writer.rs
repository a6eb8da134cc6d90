//! Writes blocks in order and keeps the leaves of their hash tree.

use std::io::{self, Read, Seek, SeekFrom, Write};

use thiserror::Error;

use crate::verity::{BLOCK_SIZE, Block, Salt, TreeBuilder};

/// The most blocks of an image: 128 GiB.
pub(crate) const MAX_BLOCKS: u32 = 1 << 25;

/// Blocks of file data read at a time.
const BLOCKS_PER_READ: usize = 64;

/// Why blocks cannot be written.
#[derive(Debug, Error)]
pub(crate) enum WriteBlocksError {
    /// More than 128 GiB in all.
    #[error("an image has at most 128 GiB")]
    TooLarge,
    /// The data of a file could not be read.
    #[error("cannot read the data")]
    ReadData(#[source] io::Error),
    /// The image could not be written.
    #[error("cannot write the image")]
    Write(#[source] io::Error),
}

/// Where an image goes.
pub(crate) trait ImageOutput {
    /// Writes at the end.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Overwrites at byte `offset`; the end stays where it is.
    fn replace(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
}

/// For an image of which only the hash is wanted.
#[derive(Debug)]
pub(crate) struct Discard;

impl ImageOutput for Discard {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn replace(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// An image in a file or in memory, written from byte 0.
#[derive(Debug)]
pub(crate) struct SeekableImage<W> {
    image: W,
    size_bytes: u64,
}

impl<W: Write + Seek> SeekableImage<W> {
    pub(crate) fn new(mut image: W) -> io::Result<Self> {
        image.seek(SeekFrom::Start(0))?;
        Ok(Self { image, size_bytes: 0 })
    }

    pub(crate) const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Flushes the image and says how many bytes it has.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        self.image.flush()?;
        Ok(self.size_bytes)
    }
}

impl<W: Write + Seek> ImageOutput for SeekableImage<W> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.image.write_all(bytes)?;
        self.size_bytes = self.size_bytes.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn replace(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.image.seek(SeekFrom::Start(offset))?;
        self.image.write_all(bytes)?;
        self.image.seek(SeekFrom::Start(self.size_bytes)).map(drop)
    }
}

/// The blocks of a file system in the making.
#[derive(Debug)]
pub(crate) struct BlockWriter<O> {
    output: O,
    leaves: TreeBuilder,
    next: u32,
    buffer: Vec<Block>,
}

impl<O: ImageOutput> BlockWriter<O> {
    /// Leaves room for a head of that many blocks, which is written last.
    pub(crate) fn new(output: O, head_blocks: u32) -> Result<Self, WriteBlocksError> {
        let mut writer = Self {
            output,
            leaves: TreeBuilder::new(&Salt::of_layers()),
            next: 0,
            buffer: vec![[0; BLOCK_SIZE]; BLOCKS_PER_READ],
        };
        writer.append_zeros(head_blocks)?;
        Ok(writer)
    }

    /// Number of the block that is written next.
    pub(crate) const fn next_block(&self) -> u32 {
        self.next
    }

    pub(crate) fn append(&mut self, block: &Block) -> Result<(), WriteBlocksError> {
        if self.next >= MAX_BLOCKS {
            return Err(WriteBlocksError::TooLarge);
        }
        self.leaves.push(block);
        self.next = self.next.saturating_add(1);
        self.output.append(block).map_err(WriteBlocksError::Write)
    }

    pub(crate) fn append_zeros(&mut self, count: u32) -> Result<(), WriteBlocksError> {
        (0..count).try_for_each(|_| self.append(&[0; BLOCK_SIZE]))
    }

    /// Overwrites a block that was written before.
    pub(crate) fn replace(&mut self, number: u32, block: &Block) -> Result<(), WriteBlocksError> {
        let offset = u64::from(number).saturating_mul(BLOCK_SIZE as u64);
        if !self.leaves.replace(number as usize, block) {
            return Err(WriteBlocksError::Write(io::ErrorKind::InvalidInput.into()));
        }
        self.output.replace(offset, block).map_err(WriteBlocksError::Write)
    }

    /// Writes `size_bytes` bytes of `data`, the last block padded with zeros.
    pub(crate) fn append_data(
        &mut self,
        data: &mut impl Read,
        size_bytes: u64,
    ) -> Result<(), WriteBlocksError> {
        let blocks_left = u64::from(MAX_BLOCKS.saturating_sub(self.next));
        if size_bytes.div_ceil(BLOCK_SIZE as u64) > blocks_left {
            return Err(WriteBlocksError::TooLarge);
        }
        let mut left = size_bytes;
        while left > 0 {
            let buffer = self.buffer.as_flattened_mut();
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let (filled, unused) = buffer.split_at_mut(count);
            data.read_exact(filled).map_err(WriteBlocksError::ReadData)?;
            left = left.saturating_sub(count as u64);
            for byte in unused.iter_mut().take(count.next_multiple_of(BLOCK_SIZE).saturating_sub(count)) {
                *byte = 0;
            }
            let blocks = self.buffer.get(..count.div_ceil(BLOCK_SIZE)).unwrap_or_default();
            for block in blocks {
                self.leaves.push(block);
                self.next = self.next.saturating_add(1);
            }
            self.output.append(blocks.as_flattened()).map_err(WriteBlocksError::Write)?;
        }
        Ok(())
    }

    /// The leaves of the hash tree and the output, behind the last block.
    pub(crate) fn finish(self) -> (TreeBuilder, O) {
        (self.leaves, self.output)
    }
}
