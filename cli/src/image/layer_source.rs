//! Where the bytes of one layer are, and how to read them: checked against their digests, decompressed.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use layer_format::compression::Compression;
use sha2::{Digest as _, Sha256};
use tempfile::TempPath;

/// Bytes read from the file at a time, while headers are read.
const BUFFER_SIZE: usize = 64 * 1024;

/// A layer archive: a file, a blob of an image layout, or a part of another archive.
#[derive(Debug, Clone)]
pub(crate) struct LayerSource {
    file: Stored,
    offset: u64,
    /// Bytes of the part; nothing for the whole file.
    size_bytes: Option<u64>,
    /// SHA-256 that the stored bytes must have, in hexadecimal digits.
    sha256: Option<String>,
    /// SHA-256 that the uncompressed bytes must have, in hexadecimal digits.
    diff_sha256: Option<String>,
    /// What the image calls this layer.
    name: Option<String>,
}

/// A file, and by which name people know it.
#[derive(Debug, Clone)]
struct Stored {
    path: PathBuf,
    /// The file that it is a decompressed copy of, and what removes the copy.
    copy_of: Option<(PathBuf, Arc<TempPath>)>,
}

impl LayerSource {
    /// A whole file.
    pub(super) fn file(path: &Path) -> Self {
        let file = Stored { path: path.to_owned(), copy_of: None };
        Self { file, offset: 0, size_bytes: None, sha256: None, diff_sha256: None, name: None }
    }

    /// A blob that must have exactly this size and digest.
    pub(super) fn blob(self, size_bytes: u64, sha256: &str) -> Self {
        let name = Some(format!("sha256:{sha256}"));
        Self { size_bytes: Some(size_bytes), sha256: Some(sha256.to_owned()), name, ..self }
    }

    /// A member of an archive.
    pub(super) fn part(&self, name: &str, offset: u64, size_bytes: u64) -> Self {
        Self { offset, size_bytes: Some(size_bytes), name: Some(name.to_owned()), ..self.clone() }
    }

    /// The same, of which the uncompressed bytes must have this digest.
    pub(super) fn with_diff_id(self, sha256: &str) -> Self {
        Self { diff_sha256: Some(sha256.to_owned()), ..self }
    }

    /// Name of the layer within its image.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Bytes of the part of an archive.
    pub(super) fn size_bytes(&self) -> Option<u64> {
        self.size_bytes
    }

    /// Hands the uncompressed archive to `consume`. Its result counts only if the bytes have their digests, which is
    /// known when all are read.
    ///
    /// # Errors
    /// When the bytes cannot be read or decompressed, when they have another digest or size, or when `consume` fails.
    pub(crate) fn read<T>(
        &self,
        consume: impl FnOnce(&mut dyn Read) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let cannot_read = || format!("cannot read {}", self.file);
        let mut stored = BufReader::with_capacity(BUFFER_SIZE, self.open()?);
        let compression = Compression::of(stored.fill_buf().with_context(cannot_read)?);
        let mut archive = Hashed::new(compression.reader(&mut stored), self.diff_sha256.is_some());
        let result = consume(&mut archive).and_then(|result| {
            // Checksums stand at the end: without reading on, a cut file would go unnoticed.
            if compression != Compression::None || self.diff_sha256.is_some() {
                io::copy(&mut archive, &mut io::sink()).context("the compressed data is broken")?;
            }
            Ok(result)
        });
        let content = archive.digest();
        if let Some(expected) = &self.sha256 {
            io::copy(&mut stored, &mut io::sink()).with_context(cannot_read)?;
            self.check(stored.into_inner(), expected)?;
        }
        let result = result.with_context(|| self.to_string())?;
        if let (Some(actual), Some(expected)) = (content, &self.diff_sha256) {
            ensure!(actual == *expected, "{self} is not the layer that the image configuration names");
        }
        Ok(result)
    }

    /// The same file uncompressed, as a copy that goes with the last who uses it.
    ///
    /// # Errors
    /// When it cannot be read or decompressed, or there is no room for the copy.
    pub(super) fn uncompressed(self) -> anyhow::Result<Self> {
        let mut copy = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
        self.read(|archive| Ok(io::copy(archive, copy.as_file_mut())?))?;
        let copy = copy.into_temp_path();
        let file = Stored { path: copy.to_path_buf(), copy_of: Some((self.file.path, Arc::new(copy))) };
        Ok(Self { file, ..self })
    }

    /// Whether the file is compressed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn is_compressed(&self) -> anyhow::Result<bool> {
        let mut stored = BufReader::with_capacity(BUFFER_SIZE, self.open()?);
        let start = stored.fill_buf().with_context(|| format!("cannot read {}", self.file))?;
        Ok(Compression::of(start) != Compression::None)
    }

    /// The file that the layer is in, from its beginning.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn open_file(&self) -> anyhow::Result<File> {
        File::open(&self.file.path).with_context(|| format!("cannot open {}", self.file))
    }

    /// The stored bytes.
    fn open(&self) -> anyhow::Result<Hashed<io::Take<File>>> {
        let mut file = self.open_file()?;
        if self.offset > 0 {
            file.seek(SeekFrom::Start(self.offset))?;
        }
        // One byte more than expected shows that there are too many.
        let limit = match (self.size_bytes, &self.sha256) {
            (Some(size_bytes), Some(_)) if self.offset == 0 => size_bytes.saturating_add(1),
            (Some(size_bytes), _) => size_bytes,
            (None, _) => u64::MAX,
        };
        Ok(Hashed::new(file.take(limit), self.sha256.is_some()))
    }

    /// All bytes of a small blob, checked.
    ///
    /// # Errors
    /// When there are more than `limit_bytes`, or when they cannot be read or have another digest or size.
    pub(super) fn read_small(&self, limit_bytes: u64) -> anyhow::Result<Vec<u8>> {
        let mut stored = self.open()?;
        let mut bytes = Vec::new();
        let read = stored.by_ref().take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes);
        let count = read.with_context(|| format!("cannot read {}", self.file))?;
        ensure!(count as u64 <= limit_bytes, "{self} has more than {limit_bytes} bytes");
        if let Some(expected) = &self.sha256 {
            self.check(stored, expected)?;
        }
        Ok(bytes)
    }

    /// Compares stored bytes that were read to their end with what they must be.
    fn check<R: Read>(&self, stored: Hashed<R>, expected: &str) -> anyhow::Result<()> {
        if self.size_bytes.is_some_and(|size_bytes| size_bytes != stored.size_bytes) {
            bail!("{self} does not have the size that its image names");
        }
        let actual = stored.digest().unwrap_or_default();
        ensure!(actual == expected, "{self} has the digest sha256:{actual}");
        Ok(())
    }
}

impl std::fmt::Display for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.copy_of.as_ref().map_or(&self.path, |(path, _)| path).display().fmt(f)
    }
}

impl std::fmt::Display for LayerSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} in {}", self.file),
            None => write!(f, "{}", self.file),
        }
    }
}

/// Counts what is read, and hashes it if asked to.
#[derive(Debug)]
struct Hashed<R> {
    reader: R,
    hasher: Option<Sha256>,
    size_bytes: u64,
}

impl<R: Read> Hashed<R> {
    fn new(reader: R, hash: bool) -> Self {
        Self { reader, hasher: hash.then(Sha256::new), size_bytes: 0 }
    }

    /// SHA-256 of what was read, in hexadecimal digits, if it was asked for.
    fn digest(self) -> Option<String> {
        self.hasher.map(|hasher| hex::encode(hasher.finalize()))
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.size_bytes = self.size_bytes.saturating_add(count as u64);
        if let (Some(hasher), Some(bytes)) = (&mut self.hasher, buffer.get(..count)) {
            hasher.update(bytes);
        }
        Ok(count)
    }
}
