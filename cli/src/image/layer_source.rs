//! Where the bytes of one layer are, and how to read them: checked against their digests, decompressed.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use layer_format::compression::Compression;
use sha2::{Digest as _, Sha256};
use tempfile::TempPath;

use super::registry::RegistryBlob;

/// Bytes read from the file at a time, while headers are read.
const BUFFER_SIZE: usize = 64 * 1024;

/// A layer archive: a file, a blob of an image layout or a registry, or a part of another archive.
#[derive(Debug, Clone)]
pub(crate) struct LayerSource {
    place: Place,
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

/// What holds the bytes.
#[derive(Debug, Clone)]
enum Place {
    File(Stored),
    Registry(RegistryBlob),
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
        Self::whole(Place::File(Stored { path: path.to_owned(), copy_of: None }))
    }

    /// A layer in a registry, which is checked against its digest wherever it is read.
    pub(super) fn registry(blob: RegistryBlob) -> Self {
        let name = Some(blob.digest());
        Self { name, ..Self::whole(Place::Registry(blob)) }
    }

    const fn whole(place: Place) -> Self {
        Self { place, offset: 0, size_bytes: None, sha256: None, diff_sha256: None, name: None }
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

    /// Digest `sha256:...` of the stored bytes, where the image says it.
    pub(crate) fn stated_digest(&self) -> Option<&str> {
        let is_blob = self.sha256.is_some() || self.offset == 0;
        self.name().filter(|name| is_blob && name.starts_with("sha256:"))
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
        let cannot_read = || format!("cannot read {}", self.place);
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
        // A registry's blob that could not be read to its end has said why.
        if self.sha256.is_some() || (result.is_ok() && matches!(self.place, Place::Registry(_))) {
            io::copy(&mut stored, &mut io::sink()).with_context(cannot_read)?;
        }
        if let Some(expected) = &self.sha256 {
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
        let Place::File(original) = &self.place else { return Ok(self) };
        let mut copy = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
        self.read(|archive| Ok(io::copy(archive, copy.as_file_mut())?))?;
        let copy = copy.into_temp_path();
        let copy_path = copy.to_path_buf();
        let copy_of = Some((original.path.clone(), Arc::new(copy)));
        let file = Stored { path: copy_path, copy_of };
        Ok(Self { place: Place::File(file), ..self })
    }

    /// Whether the file is compressed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn is_compressed(&self) -> anyhow::Result<bool> {
        let mut stored = BufReader::with_capacity(BUFFER_SIZE, self.open()?);
        let start = stored.fill_buf().with_context(|| format!("cannot read {}", self.place))?;
        Ok(Compression::of(start) != Compression::None)
    }

    /// The file that the layer is in, from its beginning.
    ///
    /// # Errors
    /// When it cannot be opened, or there is none.
    pub(crate) fn open_file(&self) -> anyhow::Result<File> {
        match &self.place {
            Place::File(file) => {
                File::open(&file.path).with_context(|| format!("cannot open {}", self.place))
            }
            Place::Registry(blob) => bail!("{blob} is not a file"),
        }
    }

    /// The stored bytes of a layer that is in a file, unchecked.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn stored(&self) -> anyhow::Result<io::Take<File>> {
        let mut file = self.open_file()?;
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(file.take(self.size_bytes.unwrap_or(u64::MAX)))
    }

    /// The stored bytes.
    fn open(&self) -> anyhow::Result<Hashed<Box<dyn Read>>> {
        if let Place::Registry(blob) = &self.place {
            return Ok(Hashed::new(Box::new(blob.open()?), false));
        }
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
        Ok(Hashed::new(Box::new(file.take(limit)), self.sha256.is_some()))
    }

    /// All bytes of a small blob, checked.
    ///
    /// # Errors
    /// When there are more than `limit_bytes`, or when they cannot be read or have another digest or size.
    pub(super) fn read_small(&self, limit_bytes: u64) -> anyhow::Result<Vec<u8>> {
        let mut stored = self.open()?;
        let mut bytes = Vec::new();
        let read = stored.by_ref().take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes);
        let count = read.with_context(|| format!("cannot read {}", self.place))?;
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

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(file) => file.fmt(f),
            Self::Registry(blob) => blob.fmt(f),
        }
    }
}

impl std::fmt::Display for LayerSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} in {}", self.place),
            None => write!(f, "{}", self.place),
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
