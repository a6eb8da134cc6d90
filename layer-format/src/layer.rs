//! From an archive to a layer: its root hash, or the whole disk image.

mod erofs;

use std::io::{self, Read, Seek, Write};

use thiserror::Error;

use crate::archive::{ArchiveReader, Entry, EntryKind, Rules};
use crate::block_writer::{Discard, ImageOutput, SeekableImage};
use crate::ext4::{Ext4Writer, FileType, FsTime, Metadata, NewFile};
use crate::verity::{BLOCK_SIZE, RootHash, Salt, Tree, TreeBuilder, VeritySuperblock};
use crate::vhd;

pub use crate::archive::ArchiveError;
pub use crate::erofs::{ErofsError, MkfsVersion};
pub use crate::ext4::Ext4Error;
pub use erofs::{hash_erofs_layer, write_erofs_layer};

/// Name prefix that says: this file is deleted.
const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// Name that says: all of this directory in the layers below is hidden.
const OPAQUE_WHITEOUT: &[u8] = b".wh..wh..opq";

/// What a policy and a host need to know of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerDigest {
    /// dm-verity root hash: the name of the layer in policies.
    pub root_hash: RootHash,
    /// Bytes of the file system, and so the offset of the verity superblock in an image.
    pub data_size_bytes: u64,
}

/// An image that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerImage {
    /// The layer on it.
    pub digest: LayerDigest,
    /// Number of 4096-byte data blocks.
    pub data_blocks: u64,
    /// Bytes of the whole image.
    pub image_size_bytes: u64,
}

/// Whether an image ends with the footer of a fixed VHD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Footer {
    /// Nothing behind the hash tree.
    None,
    /// 512 bytes of footer.
    Vhd,
}

/// Why a layer could not be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildLayerError {
    /// The archive is broken.
    #[error(transparent)]
    Archive(ArchiveError),
    /// An entry makes no sense in a file system.
    #[error("cannot add {path}")]
    Entry {
        /// Path of the entry.
        path: String,
        /// What is wrong with it.
        #[source]
        source: Ext4Error,
    },
    /// The structures around the files could not be written.
    #[error("cannot complete the file system")]
    FileSystem(#[source] Ext4Error),
    /// An entry makes no sense in an erofs.
    #[error("cannot add {path}")]
    ErofsEntry {
        /// Path of the entry.
        path: String,
        /// What is wrong with it.
        #[source]
        source: ErofsError,
    },
    /// The structures around the files of an erofs could not be written.
    #[error("cannot complete the file system")]
    Erofs(#[source] ErofsError),
    /// The UUID of an erofs could not be told.
    #[error("cannot tell the digest of the stored layer")]
    Uuid(#[source] io::Error),
    /// The hash tree could not be built or described.
    #[error("cannot build the hash tree")]
    Tree,
    /// The image could not be written.
    #[error("cannot write the image")]
    Write(#[source] io::Error),
}

/// The root hash of the layer in an uncompressed tar archive. Memory: 1/128 of the archive's size, and what
/// the names and attributes of its files take.
///
/// # Errors
/// When the archive is broken or cannot be a layer.
pub fn hash_layer(archive: impl Read) -> Result<LayerDigest, BuildLayerError> {
    let (leaves, Discard) = write_ext4(archive, Discard, u32::MAX)?;
    let tree = leaves.finish().map_err(|_| BuildLayerError::Tree)?;
    Ok(digest(&tree))
}

/// Writes the disk image of the layer in an uncompressed tar archive: ext4, verity superblock, hash tree.
/// The same archive always gives the same bytes.
///
/// # Errors
/// When the archive is broken or cannot be a layer, or when the image cannot be written.
pub fn write_layer(
    archive: impl Read,
    image: impl Write + Seek,
    footer: Footer,
) -> Result<LayerImage, BuildLayerError> {
    let output = SeekableImage::new(image).map_err(BuildLayerError::Write)?;
    let (leaves, output) = write_ext4(archive, output, u32::MAX)?;
    append_tree(leaves, output, footer)
}

/// Writes what follows a file system: verity superblock, hash tree, perhaps a footer.
fn append_tree<W: Write + Seek>(
    leaves: TreeBuilder,
    mut output: SeekableImage<W>,
    footer: Footer,
) -> Result<LayerImage, BuildLayerError> {
    let tree = leaves.finish().map_err(|_| BuildLayerError::Tree)?;
    let data_blocks = tree.data_blocks() as u64;
    let uuid = derived_uuid(&tree.root_hash());
    let superblock =
        VeritySuperblock::new(uuid, data_blocks, Salt::of_layers()).map_err(|_| BuildLayerError::Tree)?;
    output.append(&superblock.format()).map_err(BuildLayerError::Write)?;
    tree.write_to(&mut Appending(&mut output)).map_err(BuildLayerError::Write)?;
    if footer == Footer::Vhd {
        let footer = vhd::footer(output.size_bytes(), uuid);
        output.append(&footer).map_err(BuildLayerError::Write)?;
    }
    let image_size_bytes = output.finish().map_err(BuildLayerError::Write)?;
    Ok(LayerImage { digest: digest(&tree), data_blocks, image_size_bytes })
}

/// Writes the file system alone, without what dm-verity needs: for a guest that holds it in its own memory. The
/// root hash is that of the bytes written. For archives of strangers: `files_max` bounds how many files are kept in
/// mind, and `file_system` may refuse to grow.
///
/// # Errors
/// As [`write_layer`]; also when there are more than `files_max` files.
pub fn write_file_system(
    archive: impl Read,
    file_system: impl Write + Seek,
    files_max: u32,
) -> Result<LayerDigest, BuildLayerError> {
    let output = SeekableImage::new(file_system).map_err(BuildLayerError::Write)?;
    let (leaves, output) = write_ext4(archive, output, files_max)?;
    let tree = leaves.finish().map_err(|_| BuildLayerError::Tree)?;
    output.finish().map_err(BuildLayerError::Write)?;
    Ok(digest(&tree))
}

/// Lets a tree write to the end of an image.
struct Appending<'a, O>(&'a mut O);

impl<O: ImageOutput> Write for Appending<'_, O> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const fn digest(tree: &Tree) -> LayerDigest {
    let data_size_bytes = (tree.data_blocks() as u64).saturating_mul(BLOCK_SIZE as u64);
    LayerDigest { root_hash: tree.root_hash(), data_size_bytes }
}

/// A UUID of version 8 made of the root hash, so that an image holds nothing random.
fn derived_uuid(root_hash: &RootHash) -> [u8; 16] {
    let mut uuid = [0; 16];
    uuid.iter_mut().zip(root_hash.as_bytes()).for_each(|(to, from)| *to = *from);
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut uuid;
    *version = *version & 0x0f | 0x80;
    *variant = *variant & 0x3f | 0x80;
    uuid
}

fn write_ext4<O: ImageOutput>(
    archive: impl Read,
    output: O,
    files_max: u32,
) -> Result<(TreeBuilder, O), BuildLayerError> {
    let mut archive = ArchiveReader::new(archive, Rules::Go);
    let mut writer = Ext4Writer::new(output, files_max).map_err(BuildLayerError::FileSystem)?;
    while let Some(mut entry) = archive.next_entry().map_err(BuildLayerError::Archive)? {
        let path = std::mem::take(&mut entry.path);
        add_entry(&mut writer, &path, entry, &mut archive).map_err(|source| BuildLayerError::Entry {
            path: String::from_utf8_lossy(&path).into_owned(),
            source,
        })?;
    }
    writer.finish().map_err(BuildLayerError::FileSystem)
}

fn add_entry<O: ImageOutput>(
    writer: &mut Ext4Writer<O>,
    path: &[u8],
    entry: Entry,
    data: &mut impl Read,
) -> Result<(), Ext4Error> {
    writer.create_parents(path)?;
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let directory = path.strip_suffix(name).unwrap_or_default();
    if name == OPAQUE_WHITEOUT {
        return writer.make_opaque(directory);
    }
    if let Some(deleted) = name.strip_prefix(WHITEOUT_PREFIX) {
        // In an overlay, a character device 0:0 is a deleted file.
        let deletion = NewFile::without_data(Metadata::of_root(FileType::Character));
        return writer.create(&[directory, deleted].concat(), deletion, &mut io::empty());
    }
    let file_type = match entry.kind {
        EntryKind::HardLink => return writer.link(&entry.target, path),
        EntryKind::Regular => FileType::Regular,
        EntryKind::Symlink => FileType::Symlink,
        EntryKind::Character => FileType::Character,
        EntryKind::Block => FileType::Block,
        EntryKind::Directory => FileType::Directory,
        EntryKind::Fifo => FileType::Fifo,
    };
    let metadata = Metadata {
        file_type,
        permissions: entry.permissions,
        uid: entry.uid,
        gid: entry.gid,
        accessed: FsTime::new(entry.accessed),
        changed: FsTime::new(entry.changed),
        modified: FsTime::new(entry.modified),
        created: FsTime::new(entry.modified),
        device_major: entry.device_major,
        device_minor: entry.device_minor,
    };
    let new = NewFile {
        metadata,
        target: entry.target,
        attributes: entry.attributes.into_iter().collect(),
        size_bytes: entry.size_bytes,
    };
    writer.create(path, new, data)
}
