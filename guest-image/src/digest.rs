//! SHA-256 as the reference values print it.

use sha2::{Digest as _, Sha256};

/// SHA-256 of these bytes, in hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
