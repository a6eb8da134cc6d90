//! Extended attributes, which stand between an inode and its data.

use super::checksum::xxh32;
use super::tree::ErofsError;

/// Bytes before the first attribute: a filter of names, and the number of shared attributes, which is 0.
const HEADER_SIZE: usize = 12;
/// Bytes of an attribute before its name.
const ENTRY_SIZE: usize = 4;
/// The inode counts the size of its attributes in units of 4 bytes, in 16 bits.
const MAX_SIZE: usize = HEADER_SIZE + 4 * (u16::MAX as usize - 1) - ORIGIN_SIZE;
/// What a mark of whiteouts takes at most, which a directory gets later.
const ORIGIN_SIZE: usize = 32;
/// Seed of the hash of names; the number of the prefix is added.
const FILTER_SEED: u32 = 0x25bb_e08f;

/// Name prefixes that are stored as a number.
const PREFIXES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];

/// An attribute: full name, value.
pub(super) type Attribute = (Vec<u8>, Vec<u8>);

/// The number of the prefix of a name, and the rest of the name.
fn split(name: &[u8]) -> (u8, &[u8]) {
    let matching = PREFIXES.iter().find_map(|(number, prefix)| Some((*number, name.strip_prefix(*prefix)?)));
    matching.unwrap_or((0, name))
}

fn entry_size((name, value): &Attribute) -> usize {
    let (_, name) = split(name);
    ENTRY_SIZE.saturating_add(name.len()).saturating_add(value.len()).next_multiple_of(4)
}

/// Bytes of the attributes of one inode.
pub(super) fn size(attributes: &[Attribute]) -> usize {
    if attributes.is_empty() {
        return 0;
    }
    attributes.iter().fold(HEADER_SIZE, |sum, attribute| sum.saturating_add(entry_size(attribute)))
}

/// Size of the attributes as an inode counts it.
pub(super) fn count(size: usize) -> u16 {
    let units = size.checked_sub(HEADER_SIZE).map_or(0, |entries| (entries / 4).saturating_add(1));
    u16::try_from(units).unwrap_or(u16::MAX)
}

/// Checks that an inode can hold `added` besides `present`.
pub(super) fn check(present: &[Attribute], added: &[Attribute]) -> Result<(), ErofsError> {
    let too_large =
        |name: &[u8]| ErofsError::AttributesTooLarge { name: String::from_utf8_lossy(name).into_owned() };
    let mut total = size(present).max(HEADER_SIZE);
    for attribute in added {
        let (name, value) = attribute;
        total = total.saturating_add(entry_size(attribute));
        let name_size = split(name).1.len();
        if name.is_empty()
            || name_size > usize::from(u8::MAX)
            || value.len() > usize::from(u16::MAX)
            || total > MAX_SIZE
        {
            return Err(too_large(name));
        }
    }
    Ok(())
}

/// The names that are *not* there, by hash.
pub(super) fn filter(attributes: &[Attribute]) -> u32 {
    !attributes.iter().fold(0, |present, (name, _)| {
        let (prefix, name) = split(name);
        present | 1_u32.wrapping_shl(xxh32(name, FILTER_SEED.wrapping_add(u32::from(prefix))))
    })
}

/// Writes the attributes of one inode.
pub(super) fn write(attributes: &[Attribute], out: &mut Vec<u8>) {
    if attributes.is_empty() {
        return;
    }
    out.extend(filter(attributes).to_le_bytes());
    out.extend([0; HEADER_SIZE - 4]);
    for attribute in attributes {
        let (name, value) = attribute;
        let (prefix, name) = split(name);
        let end = out.len().saturating_add(entry_size(attribute));
        // `check` has seen to it that both sizes fit.
        out.extend([u8::try_from(name.len()).unwrap_or(u8::MAX), prefix]);
        out.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend(name);
        out.extend(value);
        out.resize(end, 0);
    }
}
