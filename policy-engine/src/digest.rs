//! SHA-256 digests under the names of what they identify.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseDigestError {
    /// A SHA-256 digest is 64 hexadecimal digits.
    #[error("a SHA-256 digest has 64 hexadecimal digits, not {length}")]
    Length {
        /// The length that was given, in bytes.
        length: usize,
    },
    /// Only `0-9a-f` are accepted, so that one digest has one spelling.
    #[error("a digest is written in lower-case hexadecimal digits")]
    Digit,
}

fn parse_hex(text: &str) -> Result<[u8; 32], ParseDigestError> {
    if text.len() != 64 {
        return Err(ParseDigestError::Length { length: text.len() });
    }
    let mut digest = [0u8; 32];
    let (pairs, _) = text.as_bytes().as_chunks();
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        *byte = byte_of_hex(*pair).ok_or(ParseDigestError::Digit)?;
    }
    Ok(digest)
}

/// The byte of two lower-case hexadecimal digits.
pub(crate) fn byte_of_hex([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |character: u8| match character {
        b'0'..=b'9' => Some(character.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(character.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    };
    Some(digit(high)?.wrapping_shl(4) | digit(low)?)
}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The digest's 32 bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl From<[u8; 32]> for $name {
            fn from(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_hex(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

digest! {
    /// The dm-verity root hash of a layer: the `deviceHash` of a CCE policy.
    RootHash
}

digest! {
    /// SHA-256 over the exact bytes of a policy: what HOST_DATA of the SNP report holds.
    PolicyDigest
}

impl PolicyDigest {
    /// Digests `policy` as it was delivered, byte for byte.
    #[must_use]
    pub fn of(policy: &[u8]) -> Self {
        Self(Sha256::digest(policy).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digests_have_one_spelling() {
        assert_eq!(PolicyDigest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<PolicyDigest>().unwrap(), PolicyDigest::of(b""));
        assert_eq!(EMPTY.to_uppercase().parse::<RootHash>(), Err(ParseDigestError::Digit));
        assert_eq!("ab".parse::<RootHash>(), Err(ParseDigestError::Length { length: 2 }));
    }
}
