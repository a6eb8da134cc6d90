//! From an archive to a layer as containerd's erofs differ makes it.

use std::io::{self, Read, Seek, Write};

use super::{BuildLayerError, Footer, LayerDigest, LayerImage, append_tree, digest};
use crate::archive::{ArchiveReader, Entry, EntryKind, Rules, Timestamp};
use crate::block_writer::{Discard, ImageOutput, SeekableImage};
use crate::erofs::{ErofsError, ErofsFile, ErofsWriter, FileContent, MkfsVersion};
use crate::verity::TreeBuilder;

/// The root hash of an erofs layer, from its uncompressed tar archive. `uuid` is asked for that of the file system when
/// the archive has been read: it comes of the digest under which the layer is stored. Memory: 1/128 of the archive's
/// size, and for each file some 200 bytes, its attributes and the target of a link.
///
/// # Errors
/// When the archive is broken or cannot be a layer, or when the UUID cannot be told.
pub fn hash_erofs_layer(
    archive: impl Read,
    version: MkfsVersion,
    uuid: impl FnOnce() -> io::Result<[u8; 16]>,
) -> Result<LayerDigest, BuildLayerError> {
    let (leaves, Discard) = write_file_system(archive, Discard, version, uuid)?;
    let tree = leaves.finish().map_err(|_| BuildLayerError::Tree)?;
    Ok(digest(&tree))
}

/// Writes the disk image of an erofs layer: erofs, verity superblock, hash tree. See [`hash_erofs_layer`].
///
/// # Errors
/// When the archive is broken or cannot be a layer, when the UUID cannot be told, or when the image cannot be written.
pub fn write_erofs_layer(
    archive: impl Read,
    image: impl Write + Seek,
    footer: Footer,
    version: MkfsVersion,
    uuid: impl FnOnce() -> io::Result<[u8; 16]>,
) -> Result<LayerImage, BuildLayerError> {
    let output = SeekableImage::new(image).map_err(BuildLayerError::Write)?;
    let (leaves, output) = write_file_system(archive, output, version, uuid)?;
    append_tree(leaves, output, footer)
}

fn write_file_system<O: ImageOutput>(
    archive: impl Read,
    output: O,
    version: MkfsVersion,
    uuid: impl FnOnce() -> io::Result<[u8; 16]>,
) -> Result<(TreeBuilder, O), BuildLayerError> {
    let mut archive = ArchiveReader::new(archive, Rules::MkfsErofs);
    let mut writer = ErofsWriter::new(output, version).map_err(BuildLayerError::Erofs)?;
    while let Some(mut entry) = archive.next_entry().map_err(BuildLayerError::Archive)? {
        let path = std::mem::take(&mut entry.path);
        add_entry(&mut writer, &path, entry, &mut archive).map_err(|source| BuildLayerError::ErofsEntry {
            path: String::from_utf8_lossy(&path).into_owned(),
            source,
        })?;
    }
    let uuid = uuid().map_err(BuildLayerError::Uuid)?;
    writer.finish(uuid).map_err(BuildLayerError::Erofs)
}

fn add_entry<O: ImageOutput>(
    writer: &mut ErofsWriter<O>,
    path: &[u8],
    entry: Entry,
    data: &mut impl Read,
) -> Result<(), ErofsError> {
    let (major, minor) = (entry.device_major, entry.device_minor);
    let content = match entry.kind {
        EntryKind::HardLink => return writer.link(&entry.target, path),
        EntryKind::Regular => FileContent::Regular { size_bytes: entry.size_bytes },
        EntryKind::Symlink => FileContent::Symlink(entry.target),
        EntryKind::Character => FileContent::Character { major, minor },
        EntryKind::Block => FileContent::Block { major, minor },
        EntryKind::Directory => FileContent::Directory,
        EntryKind::Fifo => FileContent::Fifo,
    };
    let file = ErofsFile {
        permissions: entry.permissions,
        uid: entry.uid,
        gid: entry.gid,
        modified: entry.modified.unwrap_or(Timestamp { seconds: 0, nanoseconds: 0 }),
        attributes: entry.attributes,
        content,
    };
    writer.create(path, file, data)
}
