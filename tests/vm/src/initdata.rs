//! Kata's initdata: the policy as a raw disk that the guest finds by its first bytes.
//!
//! Format (Kata Containers, "initdata" specification): `initdata`, the length of what follows as a little-endian `u64`,
//! then a gzip stream of a TOML document; zeros up to a whole number of sectors. The digest that becomes HOST_DATA is
//! that of the TOML document.

use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

const MAGIC: &[u8; 8] = b"initdata";
/// A disk is a whole number of these.
const BLOCK_SIZE: usize = 4096;

/// Why there is no initdata disk.
#[derive(Debug, thiserror::Error)]
pub enum InitdataError {
    /// The document does not serialise.
    #[error("could not write the initdata document")]
    Document(#[from] toml::ser::Error),
    /// The document does not compress.
    #[error("could not compress the initdata document")]
    Compress(#[from] std::io::Error),
}

/// An initdata document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initdata {
    document: String,
}

impl Initdata {
    /// A document that carries this policy and nothing else.
    ///
    /// # Errors
    /// The document does not serialise.
    pub fn with_policy(policy: &str) -> Result<Self, InitdataError> {
        Self::of_files(&[("policy.rego", policy)])
    }

    /// A document that carries these files, each with its name.
    ///
    /// # Errors
    /// The document does not serialise.
    pub fn of_files(files: &[(&str, &str)]) -> Result<Self, InitdataError> {
        let data: Table = files.iter().map(|&(name, text)| (name.to_owned(), Value::from(text))).collect();
        let document = Table::from_iter([
            ("version".to_owned(), Value::from("0.1.0")),
            ("algorithm".to_owned(), Value::from("sha256")),
            ("data".to_owned(), Value::from(data)),
        ]);
        Ok(Self { document: toml::to_string(&document)? })
    }

    /// The TOML document.
    #[must_use]
    pub fn document(&self) -> &str {
        &self.document
    }

    /// SHA-256 of the document: the HOST_DATA that lets a guest accept it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.document).into()
    }

    /// The bytes of the disk.
    ///
    /// # Errors
    /// The document does not compress.
    pub fn disk(&self) -> Result<Vec<u8>, InitdataError> {
        let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        gzip.write_all(self.document.as_bytes())?;
        let compressed = gzip.finish()?;
        let mut disk = MAGIC.to_vec();
        let length = u64::try_from(compressed.len()).map_err(std::io::Error::other)?;
        disk.extend_from_slice(&length.to_le_bytes());
        disk.extend_from_slice(&compressed);
        disk.resize(disk.len().next_multiple_of(BLOCK_SIZE), 0);
        Ok(disk)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_disk_holds_the_document_that_the_digest_covers() {
        let policy = "package policy\n\nx := '''a\\b'''\n";
        let initdata = Initdata::with_policy(policy).unwrap();
        let disk = initdata.disk().unwrap();
        assert_eq!(disk.len() % BLOCK_SIZE, 0);
        assert_eq!(&disk[..8], b"initdata");
        let length = usize::try_from(u64::from_le_bytes(disk[8..16].try_into().unwrap())).unwrap();
        let mut document = String::new();
        flate2::read::GzDecoder::new(&disk[16..][..length]).read_to_string(&mut document).unwrap();
        assert_eq!(initdata.digest()[..], Sha256::digest(&document)[..]);
        let table: Table = document.parse().unwrap();
        assert_eq!(table["version"].as_str(), Some("0.1.0"));
        assert_eq!(table["algorithm"].as_str(), Some("sha256"));
        assert_eq!(table["data"]["policy.rego"].as_str(), Some(policy));
    }

    #[test]
    fn another_policy_has_another_digest() {
        let [a, b] = ["package a", "package b"].map(|policy| Initdata::with_policy(policy).unwrap().digest());
        assert_ne!(a, b);
    }
}
