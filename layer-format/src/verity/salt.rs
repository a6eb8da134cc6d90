//! The salt that is hashed before each block.

use std::fmt;

use thiserror::Error;

/// The most bytes a salt may have; the superblock has room for no more.
const MAX_SALT_SIZE: usize = 256;

/// A dm-verity salt of at most 256 bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Salt(Vec<u8>);

impl Salt {
    /// The salt of all confidential container layers: 32 zero bytes.
    #[must_use]
    pub fn of_layers() -> Self {
        Self(vec![0; 32])
    }

    /// Takes the bytes of a salt.
    ///
    /// # Errors
    /// When there are more than 256.
    pub fn new(bytes: &[u8]) -> Result<Self, SaltTooLong> {
        if bytes.len() > MAX_SALT_SIZE {
            return Err(SaltTooLong { size_bytes: bytes.len() });
        }
        Ok(Self(bytes.to_vec()))
    }

    /// The bytes of the salt.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Salt({self})")
    }
}

impl fmt::Display for Salt {
    /// Hexadecimal digits, or `-` for the empty salt: the form of a dm-verity table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// More than 256 bytes of salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a salt has at most 256 bytes, not {size_bytes}")]
pub struct SaltTooLong {
    /// Bytes given.
    pub size_bytes: usize,
}
