//! The files of a layer: what an archive says, entry by entry, with whiteouts in the form of overlayfs.

use std::collections::BTreeMap;
use std::io;

use thiserror::Error;

use super::space::{Place, RegionId};
use super::xattr::{self, Attribute};
use super::{TYPE_CHARACTER, TYPE_DIRECTORY, TYPE_MASK};
use crate::archive::Timestamp;
use crate::block_writer::WriteBlocksError;

/// The longest file name, in bytes.
const MAX_NAME_SIZE: usize = 255;
/// The longest path, in bytes: a short archive must not make any number of directories.
const MAX_PATH_SIZE: usize = 4095;
/// The most inodes: each is kept in memory until the image is complete.
const MAX_INODES: usize = 1 << 22;
/// Name prefix that says: this file is deleted.
const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// Name that says: all of this directory in the layers below is hidden.
const OPAQUE_WHITEOUT: &[u8] = b".wh..wh..opq";
/// Attribute of a directory that hides those below it in an overlay.
const OPAQUE_ATTRIBUTE: &[u8] = b"trusted.overlay.opaque";
/// Attribute of a directory with whiteouts, without which an overlay of one layer would show them.
const ORIGIN_ATTRIBUTE: &[u8] = b"trusted.overlay.origin";

/// Why a file cannot be added to an image.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ErofsError {
    /// A name of no byte or of more than 255.
    #[error("a file name has 1 to 255 bytes")]
    NameSize,
    /// A path of more than 4095 bytes.
    #[error("a path has at most 4095 bytes")]
    PathTooLong,
    /// A path that leads up.
    #[error("its path has a component `..`")]
    ParentComponent,
    /// Something on the way to the file is no directory.
    #[error("its parent is not a directory")]
    NotADirectory,
    /// The other name of a hard link does not exist.
    #[error("the file that it links to does not exist")]
    LinkTargetMissing,
    /// A hard link to a directory.
    #[error("it links to a directory")]
    LinkToDirectory,
    /// A root that is no directory, or that hides all layers below.
    #[error("the root is a directory, and not an opaque one")]
    Root,
    /// A whiteout that is more than an empty regular file.
    #[error("a whiteout is an empty regular file")]
    Whiteout,
    /// Extended attributes of more than 256 KiB, or one with a name or value that is too long.
    #[error("there is no room for the extended attribute {name}")]
    AttributesTooLarge {
        /// The attribute that did not fit.
        name: String,
    },
    /// More than 4,194,304 files.
    #[error("an image has at most 4194304 files")]
    TooManyFiles,
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

impl From<WriteBlocksError> for ErofsError {
    fn from(error: WriteBlocksError) -> Self {
        match error {
            WriteBlocksError::TooLarge => Self::ImageTooLarge,
            WriteBlocksError::ReadData(cause) => Self::ReadData(cause),
            WriteBlocksError::Write(cause) => Self::Write(cause),
        }
    }
}

/// Versions of erofs-utils that make different images of the same archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum MkfsVersion {
    /// 1.8.2 to 1.8.10: attributes in the order of the archive, the digits of a fraction of a second as nanoseconds.
    V1_8,
    /// 1.9.2: attributes in the order of the archive.
    V1_9_2,
    /// 1.9.3: attributes by name.
    #[default]
    V1_9_3,
}

/// Number of an inode in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InodeId(u32);

/// The root directory.
pub(super) const ROOT: InodeId = InodeId(0);

/// What a file holds.
#[derive(Debug)]
pub(super) enum Content {
    /// A FIFO, or an empty regular file.
    Nothing,
    /// Regular files.
    Data {
        region: RegionId,
        size_bytes: u64,
    },
    Target(Box<[u8]>),
    /// Character and block devices.
    Device(u32),
    Directory(Box<Directory>),
}

/// A directory.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) children: BTreeMap<Box<[u8]>, InodeId>,
    pub(super) parent: InodeId,
    has_whiteouts: bool,
}

impl Directory {
    fn in_parent(parent: InodeId) -> Content {
        Content::Directory(Box::new(Self { children: BTreeMap::new(), parent, has_whiteouts: false }))
    }
}

/// One file.
#[derive(Debug)]
pub(super) struct Inode {
    /// Type and permissions.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) modified: Timestamp,
    /// Names of a file. Of a directory two, less one for each subdirectory that was replaced: so the tool counts until it
    /// counts subdirectories, and what it has then decides between the forms of an inode.
    pub(super) links: u32,
    pub(super) attributes: Vec<Attribute>,
    pub(super) content: Content,
    pub(super) placement: Option<Placement>,
}

impl Inode {
    pub(super) const fn directory(&self) -> Option<&Directory> {
        match &self.content {
            Content::Directory(directory) => Some(directory),
            Content::Nothing | Content::Data { .. } | Content::Target(_) | Content::Device(_) => None,
        }
    }
}

/// Where an inode and what it holds went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placement {
    /// Serial number, from 1.
    pub(super) number: u32,
    pub(super) place: Place,
    /// Whole blocks of what it holds.
    pub(super) region: Option<RegionId>,
    /// Whether the last part of what it holds stands right behind it.
    pub(super) inline: bool,
    /// The form with 64 bytes.
    pub(super) extended: bool,
}

/// A file to be added.
#[derive(Debug)]
pub(crate) struct ErofsFile {
    /// Permission bits, without the type.
    pub(crate) permissions: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) modified: Timestamp,
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) content: FileContent,
}

/// What kind of file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileContent {
    Regular { size_bytes: u64 },
    Symlink(Vec<u8>),
    Character { major: u32, minor: u32 },
    Block { major: u32, minor: u32 },
    Fifo,
    Directory,
}

/// All files of a layer.
#[derive(Debug)]
pub(crate) struct Tree {
    inodes: Vec<Inode>,
    version: MkfsVersion,
}

/// A place in a directory.
struct Spot<'a> {
    directory: InodeId,
    name: &'a [u8],
}

impl Tree {
    /// A root directory that all may write to, until the archive says otherwise.
    pub(crate) fn new(version: MkfsVersion) -> Self {
        let root = Inode {
            mode: TYPE_DIRECTORY | 0o777,
            uid: 0,
            gid: 0,
            modified: Timestamp { seconds: 0, nanoseconds: 0 },
            links: 2,
            attributes: Vec::new(),
            content: Directory::in_parent(ROOT),
            placement: None,
        };
        Self { inodes: vec![root], version }
    }

    pub(super) const fn version(&self) -> MkfsVersion {
        self.version
    }

    #[expect(clippy::indexing_slicing, reason = "only `add` makes numbers, and no inode is removed")]
    pub(super) fn get(&self, id: InodeId) -> &Inode {
        &self.inodes[id.0 as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "only `add` makes numbers, and no inode is removed")]
    pub(super) fn get_mut(&mut self, id: InodeId) -> &mut Inode {
        &mut self.inodes[id.0 as usize]
    }

    fn add(&mut self, inode: Inode) -> Result<InodeId, ErofsError> {
        if self.inodes.len() >= MAX_INODES {
            return Err(ErofsError::TooManyFiles);
        }
        let id = InodeId(u32::try_from(self.inodes.len()).unwrap_or(u32::MAX));
        self.inodes.push(inode);
        Ok(id)
    }

    /// Adds a file, or puts it in the place of one. A directory in the place of a directory keeps what is in it, and
    /// its attributes too. Gives the inode.
    pub(super) fn create(&mut self, path: &[u8], file: ErofsFile) -> Result<Option<InodeId>, ErofsError> {
        let Some(mut spot) = self.spot(path)? else {
            return if file.content == FileContent::Directory {
                self.redefine(ROOT, file).map(|()| Some(ROOT))
            } else {
                Err(ErofsError::Root)
            };
        };
        let empty = file.content == FileContent::Regular { size_bytes: 0 };
        if spot.name == OPAQUE_WHITEOUT {
            return if empty {
                self.make_opaque(spot.directory).map(|()| None)
            } else {
                Err(ErofsError::Whiteout)
            };
        }
        if let Some(deleted) = spot.name.strip_prefix(WHITEOUT_PREFIX) {
            if !empty {
                return Err(ErofsError::Whiteout);
            }
            spot.name = deleted;
            return self.create_whiteout(&spot, file).map(Some);
        }
        let existing = self.child(&spot);
        if let Some(existing) = existing
            && file.content == FileContent::Directory
            && self.get(existing).directory().is_some()
        {
            return self.redefine(existing, file).map(|()| Some(existing));
        }
        check_name(spot.name)?;
        xattr::check(&[], &file.attributes)?;
        let inode = Inode {
            mode: file.content.type_bits() | file.permissions & !TYPE_MASK,
            uid: file.uid,
            gid: file.gid,
            modified: file.modified,
            links: if file.content == FileContent::Directory { 2 } else { 1 },
            attributes: file.attributes,
            content: match file.content {
                FileContent::Regular { .. } | FileContent::Fifo => Content::Nothing,
                FileContent::Symlink(target) => Content::Target(target.into()),
                FileContent::Character { major, minor } | FileContent::Block { major, minor } => {
                    Content::Device(device_number(major, minor))
                }
                FileContent::Directory => Directory::in_parent(spot.directory),
            },
            placement: None,
        };
        let id = self.add(inode)?;
        self.enter(&spot, id);
        Ok(Some(id))
    }

    /// Adds another name for a file.
    pub(super) fn link(&mut self, target: &[u8], path: &[u8]) -> Result<(), ErofsError> {
        let spot = self.spot(path)?.ok_or(ErofsError::Root)?;
        if spot.name.starts_with(WHITEOUT_PREFIX) {
            return Err(ErofsError::Whiteout);
        }
        check_name(spot.name)?;
        let target = self.spot(target)?.ok_or(ErofsError::LinkToDirectory)?;
        if target.name.starts_with(WHITEOUT_PREFIX) {
            return Err(ErofsError::Whiteout);
        }
        let file = self.child(&target).ok_or(ErofsError::LinkTargetMissing)?;
        if self.get(file).directory().is_some() {
            return Err(ErofsError::LinkToDirectory);
        }
        if spot.directory == target.directory && spot.name == target.name {
            return Ok(());
        }
        let inode = self.get_mut(file);
        inode.links = inode.links.saturating_add(1);
        self.enter(&spot, file);
        Ok(())
    }

    /// Adds what an overlay wants to know of a directory that is about to be placed.
    pub(super) fn mark_whiteouts(&mut self, id: InodeId) {
        let inode = self.get_mut(id);
        if inode.directory().is_some_and(|directory| directory.has_whiteouts) {
            inode.attributes.push((ORIGIN_ATTRIBUTE.to_vec(), Vec::new()));
        }
        if self.version >= MkfsVersion::V1_9_3 {
            self.get_mut(id).attributes.sort();
        }
    }

    /// A deleted file is a character device 0:0.
    fn create_whiteout(&mut self, spot: &Spot<'_>, file: ErofsFile) -> Result<InodeId, ErofsError> {
        check_name(spot.name)?;
        xattr::check(&[], &file.attributes)?;
        let id = self.add(Inode {
            mode: TYPE_CHARACTER,
            uid: file.uid,
            gid: file.gid,
            modified: file.modified,
            links: 1,
            attributes: file.attributes,
            content: Content::Device(0),
            placement: None,
        })?;
        self.enter(spot, id);
        let directory = self.get_mut(spot.directory);
        if let Content::Directory(directory) = &mut directory.content {
            directory.has_whiteouts = true;
        }
        Ok(id)
    }

    fn make_opaque(&mut self, directory: InodeId) -> Result<(), ErofsError> {
        // The tool fails here: a layer that hides all others is the only one.
        if directory == ROOT {
            return Err(ErofsError::Root);
        }
        let inode = self.get_mut(directory);
        let opaque = [(OPAQUE_ATTRIBUTE.to_vec(), b"y".to_vec())];
        xattr::check(&inode.attributes, &opaque)?;
        inode.attributes.extend(opaque);
        Ok(())
    }

    /// Gives a directory other metadata; attributes come on top.
    fn redefine(&mut self, id: InodeId, file: ErofsFile) -> Result<(), ErofsError> {
        let inode = self.get_mut(id);
        xattr::check(&inode.attributes, &file.attributes)?;
        if inode.links == 0 {
            inode.links = 2;
        }
        inode.mode = TYPE_DIRECTORY | file.permissions & !TYPE_MASK;
        inode.uid = file.uid;
        inode.gid = file.gid;
        inode.modified = file.modified;
        inode.attributes.extend(file.attributes);
        Ok(())
    }

    /// The directory that a path leads to, made if it is missing, and the last name; nothing for the root.
    fn spot<'a>(&mut self, path: &'a [u8]) -> Result<Option<Spot<'a>>, ErofsError> {
        if path.len() > MAX_PATH_SIZE {
            return Err(ErofsError::PathTooLong);
        }
        let mut components =
            path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).peekable();
        let mut directory = ROOT;
        while let Some(name) = components.next() {
            if name == b".." {
                return Err(ErofsError::ParentComponent);
            }
            if components.peek().is_none() {
                return Ok(Some(Spot { directory, name }));
            }
            directory = self.subdirectory(&Spot { directory, name })?;
        }
        Ok(None)
    }

    /// A directory on the way; one that is missing is like its parent, until the archive says otherwise.
    fn subdirectory(&mut self, spot: &Spot<'_>) -> Result<InodeId, ErofsError> {
        if let Some(child) = self.child(spot) {
            let is_directory = self.get(child).directory().is_some();
            return if is_directory { Ok(child) } else { Err(ErofsError::NotADirectory) };
        }
        check_name(spot.name)?;
        let parent = self.get(spot.directory);
        let id = self.add(Inode {
            mode: TYPE_DIRECTORY | 0o755 | parent.mode & 0o022,
            uid: parent.uid,
            gid: parent.gid,
            modified: parent.modified,
            links: 2,
            attributes: Vec::new(),
            content: Directory::in_parent(spot.directory),
            placement: None,
        })?;
        self.enter(spot, id);
        Ok(id)
    }

    fn child(&self, spot: &Spot<'_>) -> Option<InodeId> {
        self.get(spot.directory).directory()?.children.get(spot.name).copied()
    }

    /// Gives a name to a file, taking it from what has it.
    fn enter(&mut self, spot: &Spot<'_>, id: InodeId) {
        let Content::Directory(directory) = &mut self.get_mut(spot.directory).content else { return };
        let replaced = directory.children.insert(spot.name.into(), id);
        if let Some(replaced) = replaced
            && self.get(replaced).directory().is_some()
        {
            let directory = self.get_mut(spot.directory);
            directory.links = directory.links.wrapping_sub(1);
        }
        let mut removed: Vec<_> = replaced.into_iter().collect();
        while let Some(id) = removed.pop() {
            let inode = self.get_mut(id);
            inode.links = inode.links.wrapping_sub(1);
            if let Content::Directory(directory) = &mut inode.content {
                removed.extend(std::mem::take(&mut directory.children).into_values());
            }
        }
    }
}

impl FileContent {
    const fn type_bits(&self) -> u16 {
        match self {
            Self::Regular { .. } => super::TYPE_REGULAR,
            Self::Symlink(_) => super::TYPE_SYMLINK,
            Self::Character { .. } => TYPE_CHARACTER,
            Self::Block { .. } => super::TYPE_BLOCK,
            Self::Fifo => super::TYPE_FIFO,
            Self::Directory => TYPE_DIRECTORY,
        }
    }
}

fn check_name(name: &[u8]) -> Result<(), ErofsError> {
    if name.is_empty() || name.len() > MAX_NAME_SIZE { Err(ErofsError::NameSize) } else { Ok(()) }
}

/// The kernel's 32-bit form of a device number.
const fn device_number(major: u32, minor: u32) -> u32 {
    minor & 0xff | major << 8 | (minor & !0xff) << 12
}
