//! The form of inodes and directories on disk.

use std::iter::once;
use std::ops::Bound::{Excluded, Unbounded};

use super::placement::Placed;
use super::tree::{Content, Directory, Inode, InodeId, MkfsVersion, Placement, Tree};
use super::{BLOCK_BYTES, DIRECTORY_ENTRY_SIZE, TYPE_MASK, xattr};
use crate::archive::Timestamp;
use crate::record::Record;
use crate::verity::BLOCK_SIZE;

const COMPACT_SIZE: usize = 32;
const EXTENDED_SIZE: usize = 64;
/// In the format field: the form with 64 bytes.
const FORMAT_EXTENDED: u16 = 1;
/// In the format field: the last part of the data stands right behind the inode.
const FORMAT_INLINE: u16 = 2 << 1;
/// First block of a file that has none.
const NO_BLOCK: u32 = u32::MAX;

/// Bytes of an inode without attributes.
pub(super) const fn size(extended: bool) -> u64 {
    if extended { EXTENDED_SIZE as u64 } else { COMPACT_SIZE as u64 }
}

/// Whether something of the inode has no room in the form with 32 bytes, which has no time at all. From 1.9 on, the
/// tool is content to lose a fraction of the first second of 1970.
pub(super) fn needs_extended(inode: &Inode, version: MkfsVersion) -> bool {
    let time = written_time(inode.modified, version);
    let size_bytes = match &inode.content {
        Content::Data { size_bytes, .. } => *size_bytes,
        _ => 0,
    };
    size_bytes > u64::from(u32::MAX)
        || inode.uid > u32::from(u16::MAX)
        || inode.gid > u32::from(u16::MAX)
        || inode.links > u32::from(u16::MAX)
        || time.seconds != 0
        || time.nanoseconds != 0 && version == MkfsVersion::V1_8
}

/// Bytes that an inode may have right behind it. Data of regular files is never there.
pub(super) fn tail_size(inode: &Inode) -> u64 {
    match &inode.content {
        Content::Target(target) => target.len() as u64 % BLOCK_BYTES,
        Content::Directory(directory) => directory_size(directory) % BLOCK_BYTES,
        Content::Nothing | Content::Data { .. } | Content::Device(_) => 0,
    }
}

/// The names in a directory as its blocks hold them, sorted by bytes. Nothing stands for the directory itself.
fn names(directory: &Directory) -> impl Iterator<Item = (&[u8], Option<InodeId>)> {
    let children = |range| {
        let range = directory.children.range::<[u8], _>(range);
        range.map(|(name, id)| (&**name, Some(*id)))
    };
    let (dot, dot_dot): (&[u8], &[u8]) = (b".", b"..");
    children((Unbounded, Excluded(dot)))
        .chain(once((dot, None)))
        .chain(children((Excluded(dot), Excluded(dot_dot))))
        .chain(once((dot_dot, Some(directory.parent))))
        .chain(children((Excluded(dot_dot), Unbounded)))
}

/// Bytes of a directory: entries never cross the end of a block.
pub(super) fn directory_size(directory: &Directory) -> u64 {
    names(directory).fold(0_u64, |end, (name, _)| {
        let size = entry_size(name) as u64;
        let start = if (end % BLOCK_BYTES).saturating_add(size) > BLOCK_BYTES {
            end.next_multiple_of(BLOCK_BYTES)
        } else {
            end
        };
        start.saturating_add(size)
    })
}

const fn entry_size(name: &[u8]) -> usize {
    name.len().saturating_add(DIRECTORY_ENTRY_SIZE)
}

/// Hands out the blocks of a directory, all but the last filled up with zeros.
pub(super) fn directory_blocks(tree: &Tree, placed: &Placed, id: InodeId, mut take: impl FnMut(&[u8])) {
    let Some(directory) = tree.get(id).directory() else { return };
    let mut names = names(directory).peekable();
    let mut entries = Vec::new();
    while names.peek().is_some() {
        let mut size = 0_usize;
        entries.clear();
        while let Some((name, named)) =
            names.next_if(|(name, _)| size.saturating_add(entry_size(name)) <= BLOCK_SIZE)
        {
            size = size.saturating_add(entry_size(name));
            entries.push((name, named.unwrap_or(id)));
        }
        let mut block = Vec::with_capacity(BLOCK_SIZE);
        let mut name_offset = entries.len().saturating_mul(DIRECTORY_ENTRY_SIZE);
        for (name, named) in &entries {
            block.extend(placed.number(tree, *named).to_le_bytes());
            block.extend(u16::try_from(name_offset).unwrap_or(u16::MAX).to_le_bytes());
            block.extend([file_type(tree.get(*named).mode), 0]);
            name_offset = name_offset.saturating_add(name.len());
        }
        entries.iter().for_each(|(name, _)| block.extend(*name));
        if names.peek().is_some() {
            block.resize(BLOCK_SIZE, 0);
        }
        take(&block);
    }
}

const fn file_type(mode: u16) -> u8 {
    match mode & TYPE_MASK {
        super::TYPE_REGULAR => 1,
        super::TYPE_DIRECTORY => 2,
        super::TYPE_CHARACTER => 3,
        super::TYPE_BLOCK => 4,
        super::TYPE_FIFO => 5,
        super::TYPE_SYMLINK => 7,
        _ => 0,
    }
}

/// Appends an inode with its attributes.
pub(super) fn write(tree: &Tree, placed: &Placed, id: InodeId, placement: &Placement, out: &mut Vec<u8>) {
    let inode = tree.get(id);
    let form = Form::of(tree, inode, placed, placement);
    if placement.extended {
        let time = written_time(inode.modified, tree.version());
        out.extend(extended(inode, &form, placement, time));
    } else {
        out.extend(compact(inode, &form, placement));
    }
    xattr::write(&inode.attributes, out);
}

/// What is said in both forms of an inode.
struct Form {
    format: u16,
    size_bytes: u64,
    /// First block, or the number of a device.
    block_or_device: u32,
    links: u32,
}

impl Form {
    fn of(tree: &Tree, inode: &Inode, placed: &Placed, placement: &Placement) -> Self {
        let block = placement.region.and_then(|region| placed.block(region));
        let (size_bytes, block_or_device) = match &inode.content {
            Content::Nothing => (0, 0),
            Content::Device(number) => (0, *number),
            Content::Data { size_bytes, .. } => (*size_bytes, block.unwrap_or(NO_BLOCK)),
            Content::Target(target) => (target.len() as u64, block.unwrap_or(NO_BLOCK)),
            Content::Directory(directory) => (directory_size(directory), block.unwrap_or(NO_BLOCK)),
        };
        let mut format = 0;
        if placement.extended {
            format |= FORMAT_EXTENDED;
        }
        if placement.inline {
            format |= FORMAT_INLINE;
        }
        Self { format, size_bytes, block_or_device, links: links(tree, inode, placement) }
    }
}

fn links(tree: &Tree, inode: &Inode, placement: &Placement) -> u32 {
    let Some(directory) = inode.directory() else { return inode.links };
    let subdirectories = Placed::subdirectories(tree, directory);
    let links = subdirectories.saturating_add(2);
    // One link says: not counted.
    if links > u32::from(u16::MAX) && !placement.extended { 1 } else { links }
}

fn compact(inode: &Inode, form: &Form, placement: &Placement) -> [u8; COMPACT_SIZE] {
    let mut record = Record::<COMPACT_SIZE>::zeroed();
    record.put_u16::<0>(form.format);
    record.put_u16::<2>(xattr::count(xattr::size(&inode.attributes)));
    record.put_u16::<4>(inode.mode);
    record.put_u16::<6>(form.links as u16);
    record.put_u32::<8>(form.size_bytes as u32);
    record.put_u32::<16>(form.block_or_device);
    record.put_u32::<20>(placement.number);
    record.put_u16::<24>(inode.uid as u16);
    record.put_u16::<26>(inode.gid as u16);
    record.into_bytes()
}

fn extended(inode: &Inode, form: &Form, placement: &Placement, time: Timestamp) -> [u8; EXTENDED_SIZE] {
    let mut record = Record::<EXTENDED_SIZE>::zeroed();
    record.put_u16::<0>(form.format);
    record.put_u16::<2>(xattr::count(xattr::size(&inode.attributes)));
    record.put_u16::<4>(inode.mode);
    record.put::<8, 8>(form.size_bytes.to_le_bytes());
    record.put_u32::<16>(form.block_or_device);
    record.put_u32::<20>(placement.number);
    record.put_u32::<24>(inode.uid);
    record.put_u32::<28>(inode.gid);
    record.put::<32, 8>(time.seconds.to_le_bytes());
    record.put_u32::<40>(time.nanoseconds);
    record.put_u32::<44>(form.links);
    record.into_bytes()
}

/// A time as the version of the tool writes it. Old ones took the digits of a fraction for a number of nanoseconds:
/// writers of archives leave out zeros at the end.
const fn written_time(time: Timestamp, version: MkfsVersion) -> Timestamp {
    let Timestamp { mut seconds, mut nanoseconds } = time;
    if !matches!(version, MkfsVersion::V1_8) || nanoseconds == 0 {
        return time;
    }
    if seconds < 0 {
        seconds = seconds.saturating_add(1);
        nanoseconds = 1_000_000_000_u32.saturating_sub(nanoseconds);
    }
    while nanoseconds > 0 && nanoseconds.is_multiple_of(10) {
        nanoseconds /= 10;
    }
    Timestamp { seconds, nanoseconds }
}
