//! Adding files to an image, in order.

use std::io::{self, Read};

use thiserror::Error;

use super::HEAD_BLOCKS;
use super::extent::Extents;
use super::inode::{Content, FileType, Inode, InodeNumber, InodeTable, Metadata, ROOT};
use super::tail;
use super::timestamp::FsTime;
use super::xattr::{AttributeMap, Attributes};
use crate::block_writer::{BlockWriter, ImageOutput, WriteBlocksError};
use crate::verity::TreeBuilder;

/// The longest file name, in bytes.
const MAX_NAME_SIZE: usize = 255;
/// The most links to a file, and subdirectories of a directory.
const MAX_LINKS: u32 = 65_000;
/// The longest target of a symbolic link that the inode itself holds, in bytes.
const MAX_INLINE_TARGET_SIZE: usize = 59;
/// Attribute of a directory that hides those below it in an overlay.
const OPAQUE_ATTRIBUTE: &[u8] = b"trusted.overlay.opaque";

/// Why a file cannot be added to an image.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Ext4Error {
    /// A name of more than 255 bytes.
    #[error("a file name has at most 255 bytes")]
    NameTooLong,
    /// Something on the way to the file is no directory.
    #[error("its parent is not a directory")]
    NotADirectory,
    /// The other name of a hard link does not exist.
    #[error("the file that it links to does not exist")]
    LinkTargetMissing,
    /// A hard link to a directory.
    #[error("it links to a directory")]
    LinkToDirectory,
    /// A hard link in the place of a file that has no other name.
    #[error("the link would replace the only name of a file")]
    LinkReplacesFile,
    /// More than 65,000 links.
    #[error("a file has at most 65000 links")]
    TooManyLinks,
    /// A file in the place of a directory.
    #[error("a file cannot replace a directory")]
    ReplacesDirectory,
    /// A directory in the place of a file.
    #[error("a directory cannot replace a file")]
    ReplacesFile,
    /// A file appears twice; the data of the first has been written.
    #[error("a file with data cannot be replaced")]
    ReplacesData,
    /// Extended attributes take more than one block.
    #[error("there is no room for the extended attribute {name}")]
    AttributesTooLarge {
        /// The attribute that did not fit.
        name: String,
    },
    /// A file of 42.5 GiB or more.
    #[error("a file has less than 42.5 GiB")]
    FileTooLarge,
    /// More files than the caller has room for.
    #[error("an image of this caller has at most {files_max} files")]
    TooManyFiles {
        /// The most that it has.
        files_max: u32,
    },
    /// More than 128 GiB in all.
    #[error("an image has at most 128 GiB")]
    ImageTooLarge,
    /// The data of a file could not be read.
    #[error("cannot read its data")]
    ReadData(#[source] io::Error),
    /// The image could not be written.
    #[error("cannot write the image")]
    Write(#[source] io::Error),
}

impl From<WriteBlocksError> for Ext4Error {
    fn from(error: WriteBlocksError) -> Self {
        match error {
            WriteBlocksError::TooLarge => Self::ImageTooLarge,
            WriteBlocksError::ReadData(cause) => Self::ReadData(cause),
            WriteBlocksError::Write(cause) => Self::Write(cause),
        }
    }
}

/// A file to be added.
#[derive(Debug)]
pub(crate) struct NewFile {
    pub(crate) metadata: Metadata,
    /// Target of a symbolic link.
    pub(crate) target: Vec<u8>,
    pub(crate) attributes: AttributeMap,
    /// Bytes of data, of a regular file.
    pub(crate) size_bytes: u64,
}

/// An image in the making. Paths are split at slashes and cleaned without looking at symbolic links.
#[derive(Debug)]
pub(crate) struct Ext4Writer<O> {
    blocks: BlockWriter<O>,
    inodes: InodeTable,
    files_max: u32,
}

/// A place in a directory and what is there now.
struct Place<'a> {
    directory: InodeNumber,
    /// Empty for the root itself.
    name: &'a [u8],
    existing: Option<InodeNumber>,
}

impl<O: ImageOutput> Ext4Writer<O> {
    /// Starts an image with an empty root directory and `lost+found`, for at most `files_max` files: each takes
    /// memory until the image is finished.
    pub(crate) fn new(output: O, files_max: u32) -> Result<Self, Ext4Error> {
        let mut root = Inode::new(Metadata::directory(0o755));
        // The root directory is its own parent.
        root.links = 2;
        let mut writer =
            Self { blocks: BlockWriter::new(output, HEAD_BLOCKS)?, inodes: InodeTable::new(root), files_max };
        let lost_and_found = NewFile::without_data(Metadata::directory(0o700));
        writer.create(b"lost+found", lost_and_found, &mut io::empty())?;
        Ok(writer)
    }

    /// Creates the directories that lead to `path`, each like its own parent but without attributes.
    pub(crate) fn create_parents(&mut self, path: &[u8]) -> Result<(), Ext4Error> {
        let components = clean(path);
        let Some((_, parents)) = components.split_last() else { return Ok(()) };
        let mut parent = ROOT;
        for name in parents {
            let inode = self.inodes.get(parent);
            let Some(children) = &inode.children else { return Err(Ext4Error::NotADirectory) };
            parent = match children.get(*name) {
                Some(child) => *child,
                None => {
                    let place = Place { directory: parent, name, existing: None };
                    let new = NewFile::without_data(inode.metadata.reread());
                    self.create_at(&place, new, &mut io::empty())?
                }
            };
        }
        Ok(())
    }

    /// Adds a file, or puts it in the place of one; directories keep what is in them.
    pub(crate) fn create(
        &mut self,
        path: &[u8],
        new: NewFile,
        data: &mut impl Read,
    ) -> Result<(), Ext4Error> {
        let components = clean(path);
        let place = self.find(&components)?;
        self.create_at(&place, new, data).map(drop)
    }

    /// Adds another name for a file.
    pub(crate) fn link(&mut self, target: &[u8], path: &[u8]) -> Result<(), Ext4Error> {
        let (components, target) = (clean(path), clean(target));
        let place = self.find(&components)?;
        if let Some(existing) = place.existing.map(|number| self.inodes.get(number))
            && (existing.is_directory() || existing.links < 2)
        {
            return Err(Ext4Error::LinkReplacesFile);
        }
        let file = self.find(&target)?.existing.ok_or(Ext4Error::LinkTargetMissing)?;
        if self.inodes.get(file).is_directory() {
            return Err(Ext4Error::LinkToDirectory);
        }
        if place.existing != Some(file) && self.inodes.get(file).links >= MAX_LINKS {
            return Err(Ext4Error::TooManyLinks);
        }
        self.enter(&place, file);
        Ok(())
    }

    /// Marks the directory `path` as hiding all of the same name in the layers below.
    pub(crate) fn make_opaque(&mut self, path: &[u8]) -> Result<(), Ext4Error> {
        let components = clean(path);
        let place = self.find(&components)?;
        let inode = self.inodes.get(place.existing.ok_or(Ext4Error::NotADirectory)?);
        let mut attributes = AttributeMap::new();
        if let Some(present) = &inode.attributes {
            attributes.extend(present.read_block());
            attributes.extend(present.read_inline());
        }
        attributes.insert(OPAQUE_ATTRIBUTE.to_vec(), b"y".to_vec());
        let target = match &inode.content {
            Content::Target(target) => target.to_vec(),
            Content::Nothing | Content::Extents(_) => Vec::new(),
        };
        let new = NewFile { target, attributes, ..NewFile::without_data(inode.metadata.reread()) };
        self.create_at(&place, new, &mut io::empty()).map(drop)
    }

    /// Writes everything else; gives the leaves of the hash tree and the output, which ends with the image.
    pub(crate) fn finish(mut self) -> Result<(TreeBuilder, O), Ext4Error> {
        tail::write_directories(&mut self.blocks, &mut self.inodes)?;
        tail::write_metadata(&mut self.blocks, &self.inodes)?;
        Ok(self.blocks.finish())
    }

    fn find<'a>(&self, components: &[&'a [u8]]) -> Result<Place<'a>, Ext4Error> {
        let Some((name, parents)) = components.split_last() else {
            return Ok(Place { directory: ROOT, name: b"", existing: Some(ROOT) });
        };
        if name.len() > MAX_NAME_SIZE {
            return Err(Ext4Error::NameTooLong);
        }
        let mut directory = ROOT;
        for parent in parents {
            let children = self.inodes.get(directory).children.as_ref();
            directory =
                *children.and_then(|children| children.get(*parent)).ok_or(Ext4Error::NotADirectory)?;
        }
        let children = self.inodes.get(directory).children.as_ref().ok_or(Ext4Error::NotADirectory)?;
        Ok(Place { directory, name, existing: children.get(*name).copied() })
    }

    fn create_at(
        &mut self,
        place: &Place<'_>,
        new: NewFile,
        data: &mut impl Read,
    ) -> Result<InodeNumber, Ext4Error> {
        if place.name.len() > MAX_NAME_SIZE {
            return Err(Ext4Error::NameTooLong);
        }
        let directory = new.metadata.file_type == FileType::Directory;
        let reused = match place.existing.map(|number| (number, self.inodes.get(number))) {
            Some((_, existing)) if existing.is_directory() && !directory => {
                return Err(Ext4Error::ReplacesDirectory);
            }
            Some((_, existing)) if !existing.is_directory() && directory => {
                return Err(Ext4Error::ReplacesFile);
            }
            // A file that has other names stays as it is under those.
            Some((_, existing)) if !directory && existing.links >= 2 => None,
            Some((number, _)) => Some(number),
            None if directory && self.inodes.get(place.directory).links >= MAX_LINKS => {
                return Err(Ext4Error::TooManyLinks);
            }
            None => None,
        };
        let number = match reused {
            Some(number) => number,
            None if self.inodes.last() >= self.files_max => {
                return Err(Ext4Error::TooManyFiles { files_max: self.files_max });
            }
            None => self.inodes.add(Inode::new(new.metadata.clone())),
        };
        self.fill(number, new, data)?;
        if reused.is_none() {
            self.enter(place, number);
        }
        Ok(number)
    }

    /// Gives a name to a file, taking it from the one that has it.
    fn enter(&mut self, place: &Place<'_>, number: InodeNumber) {
        if let Some(existing) = place.existing {
            let existing = self.inodes.get_mut(existing);
            existing.links = existing.links.saturating_sub(1);
        }
        let inode = self.inodes.get_mut(number);
        inode.links = inode.links.saturating_add(1);
        let subdirectories = u32::from(inode.is_directory());
        let directory = self.inodes.get_mut(place.directory);
        directory.links = directory.links.saturating_add(subdirectories);
        directory.children.get_or_insert_default().insert(place.name.into(), number);
    }

    /// Sets everything of an inode but its names. Data is written here, attribute blocks before it.
    fn fill(&mut self, number: InodeNumber, new: NewFile, data: &mut impl Read) -> Result<(), Ext4Error> {
        let inode = self.inodes.get_mut(number);
        if matches!(inode.content, Content::Extents(_)) {
            return Err(Ext4Error::ReplacesData);
        }
        let mut attributes =
            inode.attributes.as_ref().map(|present| present.read_inline()).unwrap_or_default();
        attributes.extend(new.attributes);
        let attributes = Attributes::place(&attributes).map_err(|name| Ext4Error::AttributesTooLarge {
            name: String::from_utf8_lossy(&name).into_owned(),
        })?;
        match inode.attribute_block {
            // An attribute block is not given up, only written again.
            Some(block) => self.blocks.replace(block, &attributes.block())?,
            None if attributes.need_block() => {
                inode.attribute_block = Some(self.blocks.next_block());
                inode.used_blocks = inode.used_blocks.saturating_add(1);
                self.blocks.append(&attributes.block())?;
            }
            None => {}
        }
        inode.attributes = (!attributes.is_empty()).then(|| Box::new(attributes));
        inode.metadata = new.metadata;
        inode.size_bytes = 0;
        inode.content = Content::Nothing;
        let start = self.blocks.next_block();
        match inode.metadata.file_type {
            FileType::Regular if new.size_bytes > 0 => {
                inode.size_bytes = new.size_bytes;
                self.blocks.append_data(data, new.size_bytes)?;
                record_data(&mut self.blocks, inode, start)?;
            }
            FileType::Symlink => {
                inode.metadata.permissions |= 0o777;
                inode.size_bytes = new.target.len() as u64;
                if new.target.len() <= MAX_INLINE_TARGET_SIZE {
                    inode.content = Content::Target(new.target.into());
                } else {
                    self.blocks.append_data(&mut new.target.as_slice(), inode.size_bytes)?;
                    record_data(&mut self.blocks, inode, start)?;
                }
            }
            FileType::Regular
            | FileType::Directory
            | FileType::Character
            | FileType::Block
            | FileType::Fifo => {}
        }
        Ok(())
    }
}

/// Notes that the blocks from `start` to the last one written are the data of `inode`.
pub(super) fn record_data<O: ImageOutput>(
    blocks: &mut BlockWriter<O>,
    inode: &mut Inode,
    start: u32,
) -> Result<(), Ext4Error> {
    let mut extents = Extents { start, blocks: blocks.next_block().saturating_sub(start), leaf: None };
    if extents.are_too_many() {
        return Err(Ext4Error::FileTooLarge);
    }
    if extents.need_leaf() {
        extents.leaf = Some(blocks.next_block());
        blocks.append(&extents.leaf_block())?;
    }
    inode.used_blocks = inode.used_blocks.saturating_add(extents.used_blocks());
    inode.content = Content::Extents(extents);
    Ok(())
}

/// The names of an absolute path, with `.` and empty names dropped and `..` taken back by one.
fn clean(path: &[u8]) -> Vec<&[u8]> {
    let mut components = Vec::new();
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => drop(components.pop()),
            name => components.push(name),
        }
    }
    components
}

impl NewFile {
    /// A file of metadata alone.
    pub(crate) const fn without_data(metadata: Metadata) -> Self {
        Self { metadata, target: Vec::new(), attributes: AttributeMap::new(), size_bytes: 0 }
    }
}

impl Metadata {
    /// A directory of the superuser's without times.
    const fn directory(permissions: u16) -> Self {
        Self { permissions, ..Self::of_root(FileType::Directory) }
    }

    /// A file of the superuser's without times and without permissions.
    pub(crate) const fn of_root(file_type: FileType) -> Self {
        Self {
            file_type,
            permissions: 0,
            uid: 0,
            gid: 0,
            accessed: FsTime::NONE,
            changed: FsTime::NONE,
            modified: FsTime::NONE,
            created: FsTime::NONE,
            device_major: 0,
            device_minor: 0,
        }
    }

    /// This metadata as read back from an inode.
    fn reread(&self) -> Self {
        Self {
            accessed: self.accessed.reread(),
            changed: self.changed.reread(),
            modified: self.modified.reread(),
            created: self.created.reread(),
            ..self.clone()
        }
    }
}
