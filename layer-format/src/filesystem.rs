//! How long a file system is, by its own superblock.
//!
//! Formats: the kernel's `Documentation/filesystems/ext4/super.rst`, `fs/erofs/erofs_fs.h` and
//! `Documentation/filesystems/squashfs.rst`. Only the fields that say the size are read, and what decides over them.

use thiserror::Error;

use crate::record::field;
use crate::verity::BLOCK_SIZE;

/// Where ext4 and erofs have their superblock, in bytes.
const SUPERBLOCK_OFFSET: usize = 1024;
const EXT4_MAGIC: u16 = 0xef53;
/// `EXT4_FEATURE_INCOMPAT_64BIT`: the number of blocks has a high half.
const EXT4_64_BIT: u32 = 0x80;
/// `s_log_block_size` of 4096-byte blocks.
const EXT4_LOG_BLOCK_SIZE: u32 = 2;
const EROFS_MAGIC: u32 = 0xe0f5_e1e2;
/// `EROFS_FEATURE_INCOMPAT_48BIT`: the number of blocks has a high half in another field.
const EROFS_48_BIT: u32 = 0x80;
/// The largest and the smallest block of erofs that has a meaning here, as powers of two.
const EROFS_BLOCK_BITS: std::ops::RangeInclusive<u8> = 9..=12;
const SQUASHFS_MAGIC: [u8; 4] = *b"hsqs";
const SQUASHFS_MAJOR: u16 = 4;
/// One more than the largest size: data and tree stay far below what a disk's size can be.
const SIZE_END_BYTES: u64 = 1 << 62;

/// A file system that a layer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filesystem {
    /// ext4 with 4096-byte blocks, which dm-verity needs.
    Ext4,
    /// erofs.
    Erofs,
    /// squashfs, version 4.
    Squashfs,
}

/// Why the size of a file system is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FilesystemSizeError {
    /// Fewer bytes than the superblock has.
    #[error("the superblock of the file system is cut off")]
    Truncated,
    /// It is something else.
    #[error("there is no {0:?} file system")]
    Signature(Filesystem),
    /// A variant whose size stands elsewhere, or that does not work behind dm-verity.
    #[error("this variant of the {0:?} file system is not supported")]
    Variant(Filesystem),
    /// No bytes, or more than a disk has.
    #[error("a file system cannot have the size that its superblock says")]
    Size,
}

impl Filesystem {
    /// As many bytes from the start of a file system as [`Filesystem::size_bytes`] reads at the most.
    pub const HEAD_SIZE: usize = BLOCK_SIZE;

    /// The size of the file system that starts with `head`, in bytes, a whole number of 4096-byte blocks.
    ///
    /// # Errors
    /// When `head` is no such file system, or its size cannot be.
    pub fn size_bytes(self, head: &[u8]) -> Result<u64, FilesystemSizeError> {
        let bytes = match self {
            Self::Ext4 => ext4(superblock(head)?)?,
            Self::Erofs => erofs(superblock(head)?)?,
            Self::Squashfs => squashfs(head)?,
        };
        let blocks = bytes.and_then(|bytes| bytes.checked_next_multiple_of(BLOCK_SIZE as u64));
        blocks.filter(|bytes| (1..SIZE_END_BYTES).contains(bytes)).ok_or(FilesystemSizeError::Size)
    }
}

fn superblock(head: &[u8]) -> Result<&[u8], FilesystemSizeError> {
    head.get(SUPERBLOCK_OFFSET..).ok_or(FilesystemSizeError::Truncated)
}

fn ext4(bytes: &[u8]) -> Result<Option<u64>, FilesystemSizeError> {
    if u16_at(bytes, 56)? != EXT4_MAGIC {
        return Err(FilesystemSizeError::Signature(Filesystem::Ext4));
    }
    if u32_at(bytes, 24)? != EXT4_LOG_BLOCK_SIZE {
        return Err(FilesystemSizeError::Variant(Filesystem::Ext4));
    }
    let high = if u32_at(bytes, 96)? & EXT4_64_BIT == 0 { 0 } else { u32_at(bytes, 336)? };
    let blocks = u64::from(high) << 32 | u64::from(u32_at(bytes, 4)?);
    Ok(blocks.checked_mul(BLOCK_SIZE as u64))
}

fn erofs(bytes: &[u8]) -> Result<Option<u64>, FilesystemSizeError> {
    if u32_at(bytes, 0)? != EROFS_MAGIC {
        return Err(FilesystemSizeError::Signature(Filesystem::Erofs));
    }
    let [block_bits] = field(bytes, 12).ok_or(FilesystemSizeError::Truncated)?;
    if u32_at(bytes, 80)? & EROFS_48_BIT != 0 || !EROFS_BLOCK_BITS.contains(&block_bits) {
        return Err(FilesystemSizeError::Variant(Filesystem::Erofs));
    }
    Ok(u64::from(u32_at(bytes, 36)?).checked_shl(block_bits.into()))
}

fn squashfs(bytes: &[u8]) -> Result<Option<u64>, FilesystemSizeError> {
    if field(bytes, 0).ok_or(FilesystemSizeError::Truncated)? != SQUASHFS_MAGIC {
        return Err(FilesystemSizeError::Signature(Filesystem::Squashfs));
    }
    if u16_at(bytes, 28)? != SQUASHFS_MAJOR {
        return Err(FilesystemSizeError::Variant(Filesystem::Squashfs));
    }
    Ok(field(bytes, 40).map(u64::from_le_bytes))
}

fn u16_at(bytes: &[u8], offset: usize) -> Result<u16, FilesystemSizeError> {
    field(bytes, offset).map(u16::from_le_bytes).ok_or(FilesystemSizeError::Truncated)
}

fn u32_at(bytes: &[u8], offset: usize) -> Result<u32, FilesystemSizeError> {
    field(bytes, offset).map(u32::from_le_bytes).ok_or(FilesystemSizeError::Truncated)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Filesystem; 3] = [Filesystem::Ext4, Filesystem::Erofs, Filesystem::Squashfs];

    /// A block with these bytes at these places.
    fn head(fields: &[(usize, &[u8])]) -> [u8; BLOCK_SIZE] {
        let mut head = [0; BLOCK_SIZE];
        for (offset, bytes) in fields {
            for (to, from) in head.iter_mut().skip(*offset).zip(*bytes) {
                *to = *from;
            }
        }
        head
    }

    fn ext4(blocks: u32, log_block_size: u32, features: u32, high: u32) -> [u8; BLOCK_SIZE] {
        head(&[
            (1024 + 4, &blocks.to_le_bytes()),
            (1024 + 24, &log_block_size.to_le_bytes()),
            (1024 + 56, &EXT4_MAGIC.to_le_bytes()),
            (1024 + 96, &features.to_le_bytes()),
            (1024 + 336, &high.to_le_bytes()),
        ])
    }

    fn erofs(blocks: u32, block_bits: u8, features: u32) -> [u8; BLOCK_SIZE] {
        head(&[
            (1024, &EROFS_MAGIC.to_le_bytes()),
            (1024 + 12, &[block_bits]),
            (1024 + 36, &blocks.to_le_bytes()),
            (1024 + 80, &features.to_le_bytes()),
        ])
    }

    fn squashfs(bytes_used: u64, major: u16) -> [u8; BLOCK_SIZE] {
        head(&[(0, b"hsqs"), (28, &major.to_le_bytes()), (40, &bytes_used.to_le_bytes())])
    }

    #[test]
    fn each_file_system_says_its_size() {
        assert_eq!(Filesystem::Ext4.size_bytes(&ext4(3, 2, 0, 9)), Ok(3 * 4096));
        assert_eq!(Filesystem::Ext4.size_bytes(&ext4(3, 2, EXT4_64_BIT, 1)), Ok((1 << 44) + 3 * 4096));
        assert_eq!(Filesystem::Erofs.size_bytes(&erofs(3, 12, 0)), Ok(3 * 4096));
        assert_eq!(Filesystem::Erofs.size_bytes(&erofs(9, 9, 0)), Ok(2 * 4096));
        assert_eq!(Filesystem::Squashfs.size_bytes(&squashfs(4097, 4)), Ok(2 * 4096));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (kind, head) in [
            (Filesystem::Ext4, ext4(0, 2, 0, 0)),
            (Filesystem::Ext4, ext4(0, 2, EXT4_64_BIT, u32::MAX)),
            (Filesystem::Erofs, erofs(0, 12, 0)),
            (Filesystem::Squashfs, squashfs(0, 4)),
            (Filesystem::Squashfs, squashfs(u64::MAX, 4)),
        ] {
            assert_eq!(kind.size_bytes(&head), Err(FilesystemSizeError::Size), "{kind:?}");
        }
        for (kind, head) in [
            (Filesystem::Ext4, ext4(3, 0, 0, 0)),
            (Filesystem::Ext4, ext4(3, u32::MAX, 0, 0)),
            (Filesystem::Erofs, erofs(3, 12, EROFS_48_BIT)),
            (Filesystem::Erofs, erofs(3, 8, 0)),
            (Filesystem::Erofs, erofs(3, u8::MAX, 0)),
            (Filesystem::Squashfs, squashfs(4096, 3)),
        ] {
            assert_eq!(kind.size_bytes(&head), Err(FilesystemSizeError::Variant(kind)));
        }
        // Hash blocks, zeros and another file system's head are none of them.
        for head in [[0; BLOCK_SIZE], [0xa5; BLOCK_SIZE]] {
            assert!(
                ALL.iter().all(|kind| kind.size_bytes(&head) == Err(FilesystemSizeError::Signature(*kind)))
            );
        }
        assert!(Filesystem::Ext4.size_bytes(&erofs(3, 12, 0)).is_err());
        assert_eq!(
            Filesystem::Erofs.size_bytes(&erofs(3, 12, 0)[..1100]),
            Err(FilesystemSizeError::Truncated)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(
            noise in proptest::collection::vec(any::<u8>(), 0..1500),
            changes in proptest::collection::vec((0..2048usize, any::<u8>()), 0..8),
        ) {
            for (kind, mut head) in ALL.into_iter().zip([ext4(3, 2, 0, 0), erofs(3, 12, 0), squashfs(4096, 4)]) {
                let _ = kind.size_bytes(&noise);
                for (offset, value) in &changes {
                    head[*offset] = *value;
                }
                if let Ok(size) = kind.size_bytes(&head) {
                    prop_assert!(size > 0 && size % 4096 == 0 && size < SIZE_END_BYTES);
                }
            }
        }
    }
}
