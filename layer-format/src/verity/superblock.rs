//! The superblock at the start of a hash device, as `veritysetup format` writes it.

use thiserror::Error;

use super::{BLOCK_SIZE, Block, Salt};
use crate::record::{Record, field};

const SIGNATURE: [u8; 8] = *b"verity\0\0";
const VERSION: u32 = 1;
const HASH_TYPE: u32 = 1;
const SHA256: [u8; 32] = *b"sha256\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// Offset of the salt bytes.
const SALT_OFFSET: usize = 88;
/// The most data blocks that a device can have: data and tree stay below 2^63 bytes.
const MAX_DATA_BLOCKS: u64 = 1 << 50;

/// What the superblock of a hash device says: SHA-256, 4096-byte blocks and hash type 1 are a given.
///
/// None of it is to be trusted before the root hash has been checked: whoever made the disk wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VeritySuperblock {
    uuid: [u8; 16],
    data_blocks: u64,
    salt: Salt,
}

/// Why a block is not the superblock of a device that we open.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseSuperblockError {
    /// Fewer than 512 bytes.
    #[error("the superblock has 512 bytes, not {size_bytes}")]
    Truncated {
        /// Bytes given.
        size_bytes: usize,
    },
    /// Not a hash device.
    #[error("there is no dm-verity signature")]
    Signature,
    /// Another version of the format.
    #[error("superblock version {0} is not supported")]
    Version(u32),
    /// Chrome OS' variant (0) or an unknown one.
    #[error("hash type {0} is not supported")]
    HashType(u32),
    /// Not SHA-256.
    #[error("the hash algorithm is not sha256")]
    Algorithm,
    /// Data blocks of another size.
    #[error("data blocks of {0} bytes are not supported")]
    DataBlockSize(u32),
    /// Hash blocks of another size.
    #[error("hash blocks of {0} bytes are not supported")]
    HashBlockSize(u32),
    /// No data, or more than a device can hold.
    #[error("a device of {0} data blocks is not possible")]
    DataBlocks(u64),
    /// More salt than fits.
    #[error("a salt of {0} bytes is not possible")]
    SaltSize(u16),
}

impl VeritySuperblock {
    /// Bytes of the superblock proper; on disk it fills one block.
    pub const SIZE: usize = 512;

    /// Describes a device.
    ///
    /// # Errors
    /// When no device can have that many data blocks.
    pub fn new(uuid: [u8; 16], data_blocks: u64, salt: Salt) -> Result<Self, ParseSuperblockError> {
        if data_blocks == 0 || data_blocks > MAX_DATA_BLOCKS {
            return Err(ParseSuperblockError::DataBlocks(data_blocks));
        }
        Ok(Self { uuid, data_blocks, salt })
    }

    /// Identifier that the maker of the device chose.
    #[must_use]
    pub const fn uuid(&self) -> &[u8; 16] {
        &self.uuid
    }

    /// Number of data blocks.
    #[must_use]
    pub const fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// Bytes of data: the file system in front of the superblock, where both are on one disk.
    #[must_use]
    pub const fn data_size_bytes(&self) -> u64 {
        self.data_blocks.saturating_mul(BLOCK_SIZE as u64)
    }

    /// Salt hashed before each block.
    #[must_use]
    pub const fn salt(&self) -> &Salt {
        &self.salt
    }

    /// Reads a superblock from the start of `bytes`.
    ///
    /// # Errors
    /// When it is not one of a device that we open; every number is checked here.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseSuperblockError> {
        let truncated = ParseSuperblockError::Truncated { size_bytes: bytes.len() };
        let bytes: &[u8; Self::SIZE] = bytes.first_chunk().ok_or(truncated.clone())?;
        let u32_at = |offset| field(bytes, offset).map(u32::from_le_bytes).ok_or(truncated.clone());
        if !bytes.starts_with(&SIGNATURE) {
            return Err(ParseSuperblockError::Signature);
        }
        match (u32_at(8)?, u32_at(12)?) {
            (VERSION, HASH_TYPE) => {}
            (VERSION, other) => return Err(ParseSuperblockError::HashType(other)),
            (other, _) => return Err(ParseSuperblockError::Version(other)),
        }
        if field(bytes, 32) != Some(SHA256) {
            return Err(ParseSuperblockError::Algorithm);
        }
        match (u32_at(64)?, u32_at(68)?) {
            (data, _) if data as usize != BLOCK_SIZE => {
                return Err(ParseSuperblockError::DataBlockSize(data));
            }
            (_, hash) if hash as usize != BLOCK_SIZE => {
                return Err(ParseSuperblockError::HashBlockSize(hash));
            }
            _ => {}
        }
        let data_blocks = field(bytes, 72).map(u64::from_le_bytes).ok_or(truncated.clone())?;
        let salt_size = field(bytes, 80).map(u16::from_le_bytes).ok_or(truncated.clone())?;
        let salt = bytes
            .get(SALT_OFFSET..)
            .and_then(|rest| rest.get(..usize::from(salt_size)))
            .and_then(|salt| Salt::new(salt).ok())
            .ok_or(ParseSuperblockError::SaltSize(salt_size))?;
        Self::new(field(bytes, 16).ok_or(truncated)?, data_blocks, salt)
    }

    /// The superblock as it stands on disk: 512 bytes in a block of zeros.
    #[must_use]
    pub fn format(&self) -> Block {
        let mut record = Record::<BLOCK_SIZE>::zeroed();
        record.put::<0, 8>(SIGNATURE);
        record.put_u32::<8>(VERSION);
        record.put_u32::<12>(HASH_TYPE);
        record.put::<16, 16>(self.uuid);
        record.put::<32, 32>(SHA256);
        record.put_u32::<64>(BLOCK_SIZE as u32);
        record.put_u32::<68>(BLOCK_SIZE as u32);
        record.put::<72, 8>(self.data_blocks.to_le_bytes());
        let salt = self.salt.as_bytes();
        // A salt has at most 256 bytes, so its size fits.
        record.put::<80, 2>(u16::try_from(salt.len()).unwrap_or(u16::MAX).to_le_bytes());
        let mut padded = [0; 256];
        for (to, from) in padded.iter_mut().zip(salt) {
            *to = *from;
        }
        record.put::<SALT_OFFSET, 256>(padded);
        record.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> VeritySuperblock {
        VeritySuperblock::new([7; 16], 5, Salt::of_layers()).unwrap()
    }

    #[test]
    fn each_field_is_checked() {
        let refused = |offset: usize, bytes: &[u8]| {
            let mut block = sample().format();
            block[offset..offset + bytes.len()].copy_from_slice(bytes);
            VeritySuperblock::parse(&block).unwrap_err()
        };
        assert_eq!(VeritySuperblock::parse(&sample().format()), Ok(sample()));
        assert_eq!(refused(0, b"V"), ParseSuperblockError::Signature);
        assert_eq!(refused(8, &[2]), ParseSuperblockError::Version(2));
        assert_eq!(refused(12, &[0]), ParseSuperblockError::HashType(0));
        assert_eq!(refused(32, b"sha512"), ParseSuperblockError::Algorithm);
        assert_eq!(refused(38, b"-"), ParseSuperblockError::Algorithm);
        assert_eq!(refused(64, &512u32.to_le_bytes()), ParseSuperblockError::DataBlockSize(512));
        assert_eq!(refused(68, &1024u32.to_le_bytes()), ParseSuperblockError::HashBlockSize(1024));
        assert_eq!(refused(72, &0u64.to_le_bytes()), ParseSuperblockError::DataBlocks(0));
        assert_eq!(refused(72, &u64::MAX.to_le_bytes()), ParseSuperblockError::DataBlocks(u64::MAX));
        assert_eq!(refused(80, &257u16.to_le_bytes()), ParseSuperblockError::SaltSize(257));
        assert_eq!(refused(80, &u16::MAX.to_le_bytes()), ParseSuperblockError::SaltSize(u16::MAX));
        assert_eq!(
            VeritySuperblock::parse(&sample().format()[..511]),
            Err(ParseSuperblockError::Truncated { size_bytes: 511 })
        );
    }

    proptest! {
        #[test]
        fn what_was_formatted_parses_to_the_same(
            uuid in any::<[u8; 16]>(),
            data_blocks in 1..=MAX_DATA_BLOCKS,
            salt in proptest::collection::vec(any::<u8>(), 0..=256),
        ) {
            let superblock = VeritySuperblock::new(uuid, data_blocks, Salt::new(&salt).unwrap()).unwrap();
            prop_assert_eq!(VeritySuperblock::parse(&superblock.format()), Ok(superblock));
        }

        #[test]
        fn no_bytes_make_the_parser_panic(
            noise in proptest::collection::vec(any::<u8>(), 0..600),
            changes in proptest::collection::vec((0..512usize, any::<u8>()), 0..8),
        ) {
            let _ = VeritySuperblock::parse(&noise);
            let mut block = sample().format();
            for (offset, value) in changes {
                block[offset] = value;
            }
            if let Ok(superblock) = VeritySuperblock::parse(&block) {
                prop_assert!(superblock.data_blocks() > 0);
                prop_assert!(superblock.data_size_bytes() < i64::MAX as u64);
            }
        }
    }
}
