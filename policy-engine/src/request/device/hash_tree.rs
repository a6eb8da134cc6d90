//! How a disk describes its dm-verity tree: SHA-256, blocks of 4,096 bytes and hash type 1 are a given.

use std::fmt;
use std::str::FromStr;

use crate::digest::byte_of_hex;

/// The size of a block, in bytes: offsets are multiples of it.
const BLOCK_BYTES: u64 = 4096;
/// One more than the largest offset: data and tree stay far below what a disk's size can be.
const OFFSET_END_BYTES: u64 = 1 << 62;
/// The longest salt that a dm-verity superblock has room for, in bytes.
const SALT_BYTES_MAX: usize = 256;

/// Where the hash tree of a layer is, and its salt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashTree {
    /// Behind a superblock, which says the salt and how much data there is.
    WithSuperblock {
        /// Where the superblock starts, behind all data. Without it, the superblock is directly behind the file
        /// system, whose own superblock says how long that is.
        offset: Option<HashOffset>,
        /// The salt that the superblock must name; without it, any.
        salt: Option<HashSalt>,
    },
    /// Without a superblock: the tree starts at once.
    Bare {
        /// Where the tree starts, and the data ends.
        offset: HashOffset,
        /// The salt that is hashed before each block.
        salt: HashSalt,
    },
}

impl HashTree {
    /// Behind a superblock directly behind the file system, with whatever salt that names.
    pub const BEHIND_FILESYSTEM: Self = Self::WithSuperblock { offset: None, salt: None };
}

/// A place on a disk behind its data: a positive multiple of 4,096 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HashOffset(u64);

impl HashOffset {
    /// Takes a place, in bytes from the start of the disk or partition; none where no data can end.
    #[must_use]
    pub fn new(bytes: u64) -> Option<Self> {
        (bytes != 0 && bytes.is_multiple_of(BLOCK_BYTES) && bytes < OFFSET_END_BYTES).then_some(Self(bytes))
    }

    /// The place, in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

/// A salt of at most 256 bytes. In text: lower-case hexadecimal digits, or nothing.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct HashSalt(Box<[u8]>);

impl HashSalt {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for HashSalt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "HashSalt({self})")
    }
}

impl fmt::Display for HashSalt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// Why a text is no salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a salt is up to 256 bytes as pairs of lower-case hexadecimal digits")]
pub struct ParseHashSaltError;

impl FromStr for HashSalt {
    type Err = ParseHashSaltError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if !rest.is_empty() || pairs.len() > SALT_BYTES_MAX {
            return Err(ParseHashSaltError);
        }
        pairs.iter().copied().map(byte_of_hex).collect::<Option<_>>().map(Self).ok_or(ParseHashSaltError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_ends_at_a_block_and_is_not_empty() {
        assert_eq!(HashOffset::new(4096).unwrap().bytes(), 4096);
        for bad in [0, 1, 512, 4095, 4097, OFFSET_END_BYTES, u64::MAX - 4095, u64::MAX] {
            assert_eq!(HashOffset::new(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_salt_has_one_spelling_and_fits_a_superblock() {
        for good in ["", "00", "00ff7a", &"a5".repeat(256)] {
            assert_eq!(good.parse::<HashSalt>().unwrap().to_string(), good);
        }
        for bad in ["0", "0g", "+1", "AA", "-", " 00", &"a5".repeat(257)] {
            assert_eq!(bad.parse::<HashSalt>(), Err(ParseHashSaltError), "{bad:?}");
        }
        assert_eq!("0a01".parse::<HashSalt>().unwrap().as_bytes(), [10, 1]);
    }
}
