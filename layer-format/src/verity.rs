//! dm-verity: root hashes, the superblock on the hash device, and hash trees.
//!
//! Format: the kernel's `Documentation/admin-guide/device-mapper/verity.rst` and the on-disk superblock of
//! `veritysetup`; SHA-256 and 4096-byte blocks only, hash type 1 (the salt is hashed before the block).

mod root_hash;
mod salt;
mod stream;
mod superblock;
mod tree;

pub use root_hash::{ParseRootHashError, RootHash};
pub use salt::{Salt, SaltTooLong};
pub use stream::{HashDeviceError, RootHasher, copy_verified, root_of};
pub use superblock::{ParseSuperblockError, VeritySuperblock};
pub use tree::{EmptyDevice, Tree, TreeBuilder};

/// Bytes in a data block and in a hash block.
pub const BLOCK_SIZE: usize = 4096;

/// One data or hash block.
pub type Block = [u8; BLOCK_SIZE];

/// Digests in one hash block.
const DIGESTS_PER_BLOCK: usize = BLOCK_SIZE / DIGEST_SIZE;

/// Bytes in a SHA-256 digest.
const DIGEST_SIZE: usize = 32;
