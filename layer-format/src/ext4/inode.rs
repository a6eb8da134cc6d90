//! Inodes: in memory while the tree is built, and as records on disk.

use std::collections::BTreeMap;

use super::extent::{BLOCK_MAP_SIZE, Extents};
use super::timestamp::FsTime;
use super::xattr::Attributes;
use super::{FIRST_INODE, INODE_SIZE};
use crate::record::Record;

/// Bytes of an inode record through its last field.
pub(super) const RECORD_SIZE: usize = 152;
/// Bytes of those beyond the original 128.
pub(super) const EXTRA_SIZE: u16 = 24;
/// Number of the root directory.
pub(super) const ROOT: InodeNumber = InodeNumber(2);

const FLAG_EXTENTS: u32 = 0x8_0000;
/// Block counts are in blocks of the file system; on every inode.
const FLAG_HUGE_FILE: u32 = 0x4_0000;

/// Number of an inode that is in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InodeNumber(u32);

impl InodeNumber {
    pub(super) const fn get(self) -> u32 {
        self.0
    }
}

/// Type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileType {
    Fifo,
    Character,
    Directory,
    Block,
    Regular,
    Symlink,
}

impl FileType {
    /// Type bits of a mode.
    const fn mode_bits(self) -> u16 {
        match self {
            Self::Fifo => 0o010_000,
            Self::Character => 0o020_000,
            Self::Directory => 0o040_000,
            Self::Block => 0o060_000,
            Self::Regular => 0o100_000,
            Self::Symlink => 0o120_000,
        }
    }

    /// Code in directory entries.
    pub(super) const fn entry_code(self) -> u8 {
        match self {
            Self::Regular => 1,
            Self::Directory => 2,
            Self::Character => 3,
            Self::Block => 4,
            Self::Fifo => 5,
            Self::Symlink => 7,
        }
    }
}

/// What an inode's block map holds.
#[derive(Debug)]
pub(super) enum Content {
    Nothing,
    /// Target of a short symbolic link.
    Target(Box<[u8]>),
    Extents(Extents),
}

/// What has to be known of every file, so that a new one, a replaced one and one that inherits are filled alike.
#[derive(Debug, Clone)]
pub(crate) struct Metadata {
    pub(crate) file_type: FileType,
    /// Permission bits, without the type.
    pub(crate) permissions: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) accessed: FsTime,
    pub(crate) changed: FsTime,
    pub(crate) modified: FsTime,
    pub(crate) created: FsTime,
    pub(crate) device_major: u32,
    pub(crate) device_minor: u32,
}

/// Names in a directory.
pub(super) type Children = BTreeMap<Box<[u8]>, InodeNumber>;

/// One file.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) metadata: Metadata,
    pub(super) size_bytes: u64,
    pub(super) links: u32,
    pub(super) used_blocks: u32,
    pub(super) content: Content,
    pub(super) children: Option<Box<Children>>,
    pub(super) attributes: Option<Box<Attributes>>,
    pub(super) attribute_block: Option<u32>,
}

impl Inode {
    /// A file with no name yet; a directory counts its own `.`.
    pub(super) fn new(metadata: Metadata) -> Self {
        let directory = metadata.file_type == FileType::Directory;
        Self {
            metadata,
            size_bytes: 0,
            links: u32::from(directory),
            used_blocks: 0,
            content: Content::Nothing,
            children: directory.then(Box::default),
            attributes: None,
            attribute_block: None,
        }
    }

    pub(super) const fn is_directory(&self) -> bool {
        matches!(self.metadata.file_type, FileType::Directory)
    }

    /// The record on disk.
    pub(super) fn record(&self) -> [u8; INODE_SIZE] {
        let metadata = &self.metadata;
        let [uid, uid_high] = halves(metadata.uid);
        let [gid, gid_high] = halves(metadata.gid);
        let flags = if matches!(self.content, Content::Extents(_)) { FLAG_EXTENTS } else { 0 };
        let mut record = Record::<INODE_SIZE>::zeroed();
        record.put_u16::<0>(metadata.file_type.mode_bits() | metadata.permissions);
        record.put_u16::<2>(uid);
        record.put_u32::<4>(low_half(self.size_bytes));
        record.put_u32::<8>(metadata.accessed.low());
        record.put_u32::<12>(metadata.changed.low());
        record.put_u32::<16>(metadata.modified.low());
        record.put_u16::<24>(gid);
        record.put_u16::<26>(halves(self.links)[0]);
        record.put_u32::<28>(self.used_blocks);
        record.put_u32::<32>(FLAG_HUGE_FILE | flags);
        record.put::<40, BLOCK_MAP_SIZE>(self.block_map());
        record.put_u32::<104>(self.attribute_block.unwrap_or(0));
        record.put_u32::<108>(low_half(self.size_bytes >> 32));
        record.put_u16::<120>(uid_high);
        record.put_u16::<122>(gid_high);
        record.put_u16::<128>(EXTRA_SIZE);
        record.put_u32::<132>(metadata.changed.high());
        record.put_u32::<136>(metadata.modified.high());
        record.put_u32::<140>(metadata.accessed.high());
        record.put_u32::<144>(metadata.created.low());
        record.put_u32::<148>(metadata.created.high());
        if let Some(attributes) = &self.attributes {
            record.put::<RECORD_SIZE, { super::xattr::INLINE_SIZE }>(attributes.inline_area());
        }
        record.into_bytes()
    }

    fn block_map(&self) -> [u8; BLOCK_MAP_SIZE] {
        let mut map = Record::<BLOCK_MAP_SIZE>::zeroed();
        match (&self.content, self.metadata.file_type) {
            (Content::Extents(extents), _) => return extents.block_map(),
            (Content::Target(target), _) => {
                let mut padded = [0; BLOCK_MAP_SIZE];
                padded.iter_mut().zip(target).for_each(|(to, from)| *to = *from);
                return padded;
            }
            (Content::Nothing, FileType::Character | FileType::Block) => {
                let minor = self.metadata.device_minor;
                map.put_u32::<4>(minor & 0xff | self.metadata.device_major << 8 | (minor & !0xff) << 12);
            }
            (Content::Nothing, _) => {}
        }
        map.into_bytes()
    }
}

const fn low_half(number: u64) -> u32 {
    number as u32
}

/// Low and high half.
const fn halves(number: u32) -> [u16; 2] {
    [number as u16, (number >> 16) as u16]
}

/// All inodes, by number. Nothing is ever removed.
#[derive(Debug)]
pub(super) struct InodeTable {
    root: Inode,
    /// From [`FIRST_INODE`] on; the numbers between the root and those are reserved and empty.
    others: Vec<Inode>,
}

impl InodeTable {
    pub(super) const fn new(root: Inode) -> Self {
        Self { root, others: Vec::new() }
    }

    /// Adds an inode under the next number.
    pub(super) fn add(&mut self, inode: Inode) -> InodeNumber {
        let number = self.last().saturating_add(1);
        self.others.push(inode);
        InodeNumber(number)
    }

    /// The highest number given out.
    pub(super) fn last(&self) -> u32 {
        let others = u32::try_from(self.others.len()).unwrap_or(u32::MAX);
        FIRST_INODE.saturating_sub(1).saturating_add(others)
    }

    #[expect(clippy::indexing_slicing, reason = "only `add` makes numbers, and no inode is removed")]
    pub(super) fn get(&self, number: InodeNumber) -> &Inode {
        if number == ROOT { &self.root } else { &self.others[number.0.saturating_sub(FIRST_INODE) as usize] }
    }

    #[expect(clippy::indexing_slicing, reason = "only `add` makes numbers, and no inode is removed")]
    pub(super) fn get_mut(&mut self, number: InodeNumber) -> &mut Inode {
        if number == ROOT {
            &mut self.root
        } else {
            &mut self.others[number.0.saturating_sub(FIRST_INODE) as usize]
        }
    }

    /// The inode in a slot of the table, empty for reserved numbers and beyond the last.
    pub(super) fn slot(&self, number: u32) -> Option<&Inode> {
        if number == ROOT.0 {
            return Some(&self.root);
        }
        self.others.get(number.checked_sub(FIRST_INODE)? as usize)
    }
}
