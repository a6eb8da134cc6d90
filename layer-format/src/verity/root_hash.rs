//! The digest that names an image.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::DIGEST_SIZE;

/// Root hash of a dm-verity tree (SHA-256). Its text form is 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RootHash([u8; DIGEST_SIZE]);

impl RootHash {
    /// Takes the bytes of a digest.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; DIGEST_SIZE]) -> Self {
        Self(bytes)
    }

    /// The bytes of the digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; DIGEST_SIZE] {
        &self.0
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootHash({self})")
    }
}

/// Text that is not a root hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a root hash is 64 lower-case hexadecimal digits")]
pub struct ParseRootHashError;

impl FromStr for RootHash {
    type Err = ParseRootHashError;

    /// Accepts the one spelling that [`RootHash`] displays, so that equal hashes have equal text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != DIGEST_SIZE || !rest.is_empty() {
            return Err(ParseRootHashError);
        }
        let mut bytes = [0; DIGEST_SIZE];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(bytes))
    }
}

fn digit(character: u8) -> Result<u8, ParseRootHashError> {
    if character.is_ascii_uppercase() {
        return Err(ParseRootHashError);
    }
    char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(ParseRootHashError)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn text_and_bytes_agree() {
        let hash: RootHash = TEXT.parse().unwrap();
        assert_eq!(hash.as_bytes()[..3], [0x01, 0x23, 0x45]);
        assert_eq!(hash.to_string(), TEXT);
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in ["", "0123", &TEXT.to_uppercase(), &TEXT.replace('0', "g"), &format!("{TEXT}0")] {
            assert_eq!(text.parse::<RootHash>(), Err(ParseRootHashError), "{text}");
        }
    }
}
