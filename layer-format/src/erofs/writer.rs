//! Adding files to an image, in order, and completing it.

use std::io::Read;

use super::inode::{self, directory_blocks};
use super::placement::Placed;
use super::space::Space;
use super::superblock::{self, Superblock};
use super::tree::{Content, ErofsError, ErofsFile, FileContent, InodeId, MkfsVersion, ROOT, Tree};
use super::{BLOCK_BYTES, xattr};
use crate::block_writer::{BlockWriter, ImageOutput};
use crate::verity::{BLOCK_SIZE, Block, TreeBuilder};

/// An image in the making.
#[derive(Debug)]
pub(crate) struct ErofsWriter<O> {
    blocks: BlockWriter<O>,
    tree: Tree,
    space: Space,
}

impl<O: ImageOutput> ErofsWriter<O> {
    /// Starts an image with an empty root directory.
    pub(crate) fn new(output: O, version: MkfsVersion) -> Result<Self, ErofsError> {
        Ok(Self {
            blocks: BlockWriter::new(output, 1)?,
            tree: Tree::new(version),
            space: Space::new(superblock::END),
        })
    }

    /// Adds a file, or puts it in the place of one. Data is written here.
    pub(crate) fn create(
        &mut self,
        path: &[u8],
        file: ErofsFile,
        data: &mut impl Read,
    ) -> Result<(), ErofsError> {
        let size_bytes = match file.content {
            FileContent::Regular { size_bytes } => size_bytes,
            _ => 0,
        };
        let inode = self.tree.create(path, file)?;
        let (Some(inode), Ok(blocks)) = (inode, u32::try_from(size_bytes.div_ceil(BLOCK_BYTES))) else {
            return if size_bytes == 0 { Ok(()) } else { Err(ErofsError::ImageTooLarge) };
        };
        if blocks > 0 {
            self.blocks.append_data(data, size_bytes)?;
            let region = self.space.add_data(blocks);
            self.tree.get_mut(inode).content = Content::Data { region, size_bytes };
        }
        Ok(())
    }

    /// Adds another name for a file.
    pub(crate) fn link(&mut self, target: &[u8], path: &[u8]) -> Result<(), ErofsError> {
        self.tree.link(target, path)
    }

    /// Writes everything else; gives the leaves of the hash tree and the output, which ends with the image.
    pub(crate) fn finish(mut self, uuid: [u8; 16]) -> Result<(TreeBuilder, O), ErofsError> {
        let placed = Placed::walk(&mut self.tree, self.space);
        let mut metadata = Metadata { blocks: self.blocks, head: None, number: 0, block: [0; BLOCK_SIZE] };
        for (position, piece) in pieces(&self.tree, &placed) {
            metadata.write(position, &self.tree, &placed, piece)?;
        }
        let superblock = Superblock {
            root: placed.number(&self.tree, ROOT) as u16,
            inodes: placed.order.len() as u64,
            blocks: placed.space.end_block(),
            first_inode_block: placed.first_inode_block,
            has_filter: placed.order.iter().any(|id| {
                let attributes = &self.tree.get(*id).attributes;
                !attributes.is_empty() && xattr::filter(attributes) != 0
            }),
            uuid,
        };
        metadata.finish(&superblock)
    }
}

/// Something that stands on its own.
#[derive(Debug, Clone, Copy)]
enum Piece {
    /// An inode, its attributes, and the part of its data that is right behind.
    Inode(InodeId),
    /// Whole blocks of a directory, or of the target of a symbolic link.
    Blocks(InodeId),
}

/// All that is not data of files, by the byte at which it starts.
fn pieces(tree: &Tree, placed: &Placed) -> Vec<(u64, Piece)> {
    let mut pieces = Vec::with_capacity(placed.order.len());
    for id in &placed.order {
        let inode = tree.get(*id);
        pieces.push((placed.position(tree, *id), Piece::Inode(*id)));
        if let Content::Target(_) | Content::Directory(_) = inode.content
            && let Some(region) = inode.placement.and_then(|placement| placement.region)
            && let Some(block) = placed.block(region)
        {
            pieces.push((u64::from(block).saturating_mul(BLOCK_BYTES), Piece::Blocks(*id)));
        }
    }
    pieces.sort_unstable_by_key(|(position, _)| *position);
    pieces
}

/// Puts pieces into blocks.
struct Metadata<O> {
    blocks: BlockWriter<O>,
    /// Block 0, when it is complete but for the superblock.
    head: Option<Box<Block>>,
    /// The block that is being filled.
    number: u32,
    block: Block,
}

impl<O: ImageOutput> Metadata<O> {
    fn write(&mut self, position: u64, tree: &Tree, placed: &Placed, piece: Piece) -> Result<(), ErofsError> {
        let (Piece::Inode(id) | Piece::Blocks(id)) = piece;
        let inode = tree.get(id);
        let Some(placement) = inode.placement else { return Ok(()) };
        let mut bytes = Vec::new();
        match (piece, &inode.content) {
            (Piece::Inode(_), content) => {
                inode::write(tree, placed, id, &placement, &mut bytes);
                match content {
                    Content::Target(target) if placement.inline => {
                        let (_, tail) = target.as_chunks::<BLOCK_SIZE>();
                        bytes.extend(tail);
                    }
                    Content::Directory(_) if placement.inline => {
                        let mut tail = Vec::new();
                        directory_blocks(tree, placed, id, |block| tail = block.to_vec());
                        bytes.extend(tail);
                    }
                    _ => {}
                }
                self.put(position, &bytes)
            }
            (Piece::Blocks(_), Content::Target(target)) => {
                let (whole, tail) = target.as_chunks::<BLOCK_SIZE>();
                self.put(position, whole.as_flattened())?;
                let behind = position.saturating_add(whole.as_flattened().len() as u64);
                if placement.inline { Ok(()) } else { self.put(behind, tail) }
            }
            (Piece::Blocks(_), _) => {
                let mut position = position;
                let mut result = Ok(());
                directory_blocks(tree, placed, id, |block| {
                    let here = block.len() == BLOCK_SIZE || !placement.inline;
                    if result.is_ok() && here {
                        result = self.put(position, block);
                        position = position.saturating_add(block.len() as u64);
                    }
                });
                result
            }
        }
    }

    /// Writes at a byte that is not before any written so far.
    fn put(&mut self, position: u64, mut bytes: &[u8]) -> Result<(), ErofsError> {
        let mut number = u32::try_from(position / BLOCK_BYTES).map_err(|_| ErofsError::ImageTooLarge)?;
        let mut offset = (position % BLOCK_BYTES) as usize;
        while !bytes.is_empty() {
            self.go_to(number)?;
            let room = BLOCK_SIZE.saturating_sub(offset);
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.block.iter_mut().skip(offset).zip(now).for_each(|(to, from)| *to = *from);
            (bytes, offset, number) = (later, 0, number.saturating_add(1));
        }
        Ok(())
    }

    fn go_to(&mut self, number: u32) -> Result<(), ErofsError> {
        if number == self.number {
            return Ok(());
        }
        self.flush()?;
        let skipped = number.saturating_sub(self.blocks.next_block());
        self.blocks.append_zeros(skipped)?;
        self.number = number;
        Ok(())
    }

    /// Writes the block that is being filled; block 0 is kept.
    fn flush(&mut self) -> Result<(), ErofsError> {
        let block = std::mem::replace(&mut self.block, [0; BLOCK_SIZE]);
        if self.number == 0 {
            self.head = Some(Box::new(block));
            return Ok(());
        }
        Ok(self.blocks.append(&block)?)
    }

    fn finish(mut self, superblock: &Superblock) -> Result<(TreeBuilder, O), ErofsError> {
        self.flush()?;
        let missing = superblock.blocks.saturating_sub(self.blocks.next_block());
        self.blocks.append_zeros(missing)?;
        let mut head = self.head.unwrap_or_else(|| Box::new([0; BLOCK_SIZE]));
        superblock.complete(&mut head);
        self.blocks.replace(0, &head)?;
        Ok(self.blocks.finish())
    }
}
