//! Extended attributes: as many as fit in the inode, the rest in one block.

use std::collections::BTreeMap;

use super::inode::RECORD_SIZE;
use super::{BLOCK_SIZE, Block, INODE_SIZE};

const MAGIC: u32 = 0xea02_0000;
/// Bytes of an entry before its name.
const ENTRY_HEADER_SIZE: usize = 16;
/// Bytes behind the fields of an inode.
pub(super) const INLINE_SIZE: usize = INODE_SIZE - RECORD_SIZE;
/// Magic number and the zero that ends the entries.
const INLINE_OVERHEAD: usize = 4 + 4;
const BLOCK_HEADER_SIZE: usize = 32;
/// Header and the zero that ends the entries.
const BLOCK_OVERHEAD: usize = BLOCK_HEADER_SIZE + 4;
/// The entry has one byte for the length of a name.
const MAX_NAME_SIZE: usize = 255;

/// Name prefixes that are stored as a number; the first that matches is taken.
const PREFIXES: [(u8, &[u8]); 7] = [
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (8, b"system.richacl"),
    (7, b"system."),
    (1, b"user."),
    (4, b"trusted."),
    (6, b"security."),
];

/// Attributes by full name.
pub(crate) type AttributeMap = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug)]
struct Attribute {
    prefix: u8,
    name: Box<[u8]>,
    value: Box<[u8]>,
}

impl Attribute {
    fn new(full_name: &[u8], value: &[u8]) -> Self {
        let (prefix, name) = PREFIXES
            .iter()
            .find_map(|(index, prefix)| Some((*index, full_name.strip_prefix(*prefix)?)))
            .unwrap_or((0, full_name));
        Self { prefix, name: name.into(), value: value.into() }
    }

    fn full_name(&self) -> Vec<u8> {
        let prefix =
            PREFIXES.iter().find(|(index, _)| *index == self.prefix).map_or(&[][..], |(_, text)| text);
        [prefix, &self.name].concat()
    }

    const fn entry_size(&self) -> usize {
        ENTRY_HEADER_SIZE.saturating_add(self.name.len().next_multiple_of(4))
    }

    const fn value_size(&self) -> usize {
        self.value.len().next_multiple_of(4)
    }

    /// ext4's hash of an attribute.
    fn hash(&self) -> u32 {
        let name = self.name.iter().fold(0_u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte));
        self.value.chunks(4).fold(name, |hash, word| {
            let mut padded = [0; 4];
            padded.iter_mut().zip(word).for_each(|(to, from)| *to = *from);
            hash.rotate_left(16) ^ u32::from_le_bytes(padded)
        })
    }

    /// The order of attributes in a block. It is no order at all, which is why the sort below is spelled out.
    fn comes_before(&self, other: &Self) -> bool {
        self.prefix < other.prefix || self.name.len() < other.name.len() || self.name < other.name
    }
}

/// Where the attributes of one inode stand.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    inline: Vec<Attribute>,
    block: Vec<Attribute>,
}

impl Attributes {
    /// Places attributes in the order of their names. The error is the name that has no room.
    pub(super) fn place(map: &AttributeMap) -> Result<Self, Vec<u8>> {
        let mut placed = Self::default();
        let mut inline_left = INLINE_SIZE.saturating_sub(INLINE_OVERHEAD);
        let mut block_left = BLOCK_SIZE.saturating_sub(BLOCK_OVERHEAD);
        for (name, value) in map {
            let attribute = Attribute::new(name, value);
            let size = attribute.entry_size().saturating_add(attribute.value_size());
            if attribute.name.len() > MAX_NAME_SIZE {
                return Err(name.clone());
            }
            if let Some(left) = inline_left.checked_sub(size) {
                inline_left = left;
                placed.inline.push(attribute);
            } else if let Some(left) = block_left.checked_sub(size) {
                block_left = left;
                placed.block.push(attribute);
            } else {
                return Err(name.clone());
            }
        }
        insertion_sort(&mut placed.block);
        Ok(placed)
    }

    pub(super) const fn need_block(&self) -> bool {
        !self.block.is_empty()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.inline.is_empty() && self.block.is_empty()
    }

    /// What a reader of the inode finds in it.
    pub(super) fn read_inline(&self) -> AttributeMap {
        read_back(&self.inline)
    }

    /// What a reader of the block finds in it.
    pub(super) fn read_block(&self) -> AttributeMap {
        read_back(&self.block)
    }

    /// The bytes behind the fields of the inode.
    pub(super) fn inline_area(&self) -> [u8; INLINE_SIZE] {
        let mut area = [0; INLINE_SIZE];
        if !self.inline.is_empty()
            && let Some((magic, entries)) = area.split_first_chunk_mut()
        {
            *magic = MAGIC.to_le_bytes();
            put_entries(&self.inline, entries, 0);
        }
        area
    }

    /// The attribute block.
    pub(super) fn block(&self) -> Block {
        let mut block = [0; BLOCK_SIZE];
        if let Some((header, entries)) = block.split_first_chunk_mut::<BLOCK_HEADER_SIZE>() {
            // One reference, one block.
            for (field, value) in header.as_chunks_mut().0.iter_mut().zip([MAGIC, 1, 1]) {
                *field = value.to_le_bytes();
            }
            put_entries(&self.block, entries, BLOCK_HEADER_SIZE);
        }
        block
    }
}

/// Entries from the front, values from the end; offsets count from `base` bytes before the area.
fn put_entries(attributes: &[Attribute], area: &mut [u8], base: usize) {
    let mut entry_at = 0_usize;
    let mut value_at = area.len();
    for attribute in attributes {
        value_at = value_at.saturating_sub(attribute.value_size());
        let small = |number| u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes();
        let [offset_low, offset_high] = small(value_at.saturating_add(base));
        // At most 255: `place` refuses longer names.
        let [name_size, _] = small(attribute.name.len());
        let value_size = u32::try_from(attribute.value.len()).unwrap_or(u32::MAX);
        let header = [name_size, attribute.prefix, offset_low, offset_high, 0, 0, 0, 0].into_iter();
        let header = header.chain(value_size.to_le_bytes()).chain(attribute.hash().to_le_bytes());
        put(area, entry_at, header.chain(attribute.name.iter().copied()));
        put(area, value_at, attribute.value.iter().copied());
        entry_at = entry_at.saturating_add(attribute.entry_size());
    }
}

fn put(area: &mut [u8], at: usize, bytes: impl Iterator<Item = u8>) {
    area.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = from);
}

/// A reader stops at an entry without a name, since that is also what the end looks like: attributes whose
/// whole name is a prefix (`system.posix_acl_access`) and those behind them are not seen.
fn read_back(attributes: &[Attribute]) -> AttributeMap {
    let visible = attributes.iter().take_while(|attribute| !attribute.name.is_empty());
    visible.map(|attribute| (attribute.full_name(), attribute.value.to_vec())).collect()
}

fn insertion_sort(attributes: &mut [Attribute]) {
    for end in 1..attributes.len() {
        for at in (1..=end).rev() {
            let Some([before, here]) = attributes.get_mut(at.saturating_sub(1)..=at) else { break };
            if !here.comes_before(before) {
                break;
            }
            std::mem::swap(before, here);
        }
    }
}
