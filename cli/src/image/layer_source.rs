//! Where the bytes of one layer are, and how to read them: checked against their digest, decompressed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use flate2::read::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Bytes read from the file at a time, while headers are read.
const BUFFER_SIZE: usize = 64 * 1024;

/// A layer archive: a file, a blob of an image layout, or a part of another archive.
#[derive(Debug, Clone)]
pub(crate) struct LayerSource {
    path: PathBuf,
    offset: u64,
    /// Bytes of the part; nothing for the whole file.
    size_bytes: Option<u64>,
    /// SHA-256 that the stored bytes must have, in hexadecimal digits.
    sha256: Option<String>,
    /// What the image calls this layer.
    name: Option<String>,
}

impl LayerSource {
    /// A whole file.
    pub(super) fn file(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0, size_bytes: None, sha256: None, name: None }
    }

    /// A blob that must have exactly this size and digest.
    pub(super) fn blob(path: PathBuf, size_bytes: u64, sha256: &str) -> Self {
        Self {
            path,
            offset: 0,
            size_bytes: Some(size_bytes),
            sha256: Some(sha256.to_owned()),
            name: Some(format!("sha256:{sha256}")),
        }
    }

    /// A member of an archive.
    pub(super) fn part(&self, name: &str, offset: u64, size_bytes: u64) -> Self {
        Self {
            path: self.path.clone(),
            offset,
            size_bytes: Some(size_bytes),
            sha256: None,
            name: Some(name.to_owned()),
        }
    }

    /// Name of the layer within its image.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Hands the uncompressed archive to `consume`. Its result counts only if the stored bytes have their digest,
    /// which is known when all are read.
    ///
    /// # Errors
    /// When the bytes cannot be read or decompressed, when they have another digest or size, or when `consume` fails.
    pub(crate) fn read<T>(
        &self,
        consume: impl FnOnce(&mut dyn Read) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut stored = BufReader::with_capacity(BUFFER_SIZE, self.open()?);
        let start = stored.fill_buf().with_context(|| format!("cannot read {}", self.path.display()))?;
        let result = if start.starts_with(GZIP_MAGIC) {
            decompress(&mut stored, consume)
        } else if start.starts_with(ZSTD_MAGIC) {
            Err(anyhow::anyhow!("zstd compression is not supported; decompress it first"))
        } else {
            consume(&mut stored)
        };
        if let Some(expected) = &self.sha256 {
            io::copy(&mut stored, &mut io::sink())
                .with_context(|| format!("cannot read {}", self.path.display()))?;
            stored.into_inner().check(self.size_bytes, expected, &self.path)?;
        }
        result.with_context(|| self.to_string())
    }

    /// The file that the layer is in, from its beginning.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn open_file(&self) -> anyhow::Result<File> {
        File::open(&self.path).with_context(|| format!("cannot open {}", self.path.display()))
    }

    /// The stored bytes.
    fn open(&self) -> anyhow::Result<StoredBytes> {
        let mut file = self.open_file()?;
        if self.offset > 0 {
            file.seek(SeekFrom::Start(self.offset))?;
        }
        // One byte more than expected shows that there are too many.
        let limit = match (self.size_bytes, &self.sha256) {
            (Some(size_bytes), Some(_)) => size_bytes.saturating_add(1),
            (Some(size_bytes), None) => size_bytes,
            (None, _) => u64::MAX,
        };
        let hasher = self.sha256.is_some().then(Sha256::new);
        Ok(StoredBytes { file: file.take(limit), hasher, size_bytes: 0 })
    }

    /// All bytes of a small blob, checked.
    ///
    /// # Errors
    /// When there are more than `limit_bytes`, or when they cannot be read or have another digest or size.
    pub(super) fn read_small(&self, limit_bytes: u64) -> anyhow::Result<Vec<u8>> {
        let size_bytes = self.size_bytes.unwrap_or(u64::MAX);
        ensure!(size_bytes <= limit_bytes, "{self} has {size_bytes} bytes, more than {limit_bytes}");
        let mut stored = self.open()?;
        let mut bytes = Vec::new();
        stored.read_to_end(&mut bytes).with_context(|| format!("cannot read {}", self.path.display()))?;
        if let Some(expected) = &self.sha256 {
            stored.check(self.size_bytes, expected, &self.path)?;
        }
        Ok(bytes)
    }
}

impl std::fmt::Display for LayerSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) if self.sha256.is_none() => write!(f, "{} in {}", name, self.path.display()),
            _ => write!(f, "{}", self.path.display()),
        }
    }
}

fn decompress<T>(
    stored: &mut impl Read,
    consume: impl FnOnce(&mut dyn Read) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut archive = MultiGzDecoder::new(stored);
    let result = consume(&mut archive)?;
    // The checksum stands at the end: without reading on, a cut file would go unnoticed.
    io::copy(&mut archive, &mut io::sink()).context("the compressed data is broken")?;
    Ok(result)
}

/// Reads a file and hashes what it reads.
#[derive(Debug)]
struct StoredBytes {
    file: io::Take<File>,
    hasher: Option<Sha256>,
    size_bytes: u64,
}

impl StoredBytes {
    fn check(self, size_bytes: Option<u64>, expected: &str, path: &Path) -> anyhow::Result<()> {
        if size_bytes.is_some_and(|size_bytes| size_bytes != self.size_bytes) {
            bail!("{} does not have the size that its image names", path.display());
        }
        let actual = hex::encode(self.hasher.unwrap_or_default().finalize());
        ensure!(actual == expected, "{} has the digest sha256:{actual}", path.display());
        Ok(())
    }
}

impl Read for StoredBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.size_bytes = self.size_bytes.saturating_add(count as u64);
        if let (Some(hasher), Some(bytes)) = (&mut self.hasher, buffer.get(..count)) {
            hasher.update(bytes);
        }
        Ok(count)
    }
}
