//! Layers made in the guest: an archive of a stranger becomes a file system in sealed memory, under a root hash that
//! the guest computed itself.
//!
//! Nothing of the archive is trusted. What it may use is memory, within the bounds below; what it becomes is used
//! when the policy names its root hash, and thrown away otherwise.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use layer_format::compression::Compression;
use layer_format::layer::{BuildLayerError, write_file_system};
use policy_engine::request::{LayerFilesystem, MountSealedLayer};
use policy_engine::{Permit, RootHash};

use super::verified_copy;
use super::{Layer, MountDeviceError, Right, attach, mount_content};
use crate::mounts::MountPoint;
use crate::rollback::{Rollback, carry_out};

/// The largest file system of a layer, and the most bytes of its archive once decompressed.
const LAYER_SIZE_MAX: u64 = 2 << 30;
/// The most files of a layer. Each takes memory until the last is read: half a KiB, and its attributes.
const FILES_MAX: u32 = 1 << 19;
/// Memory that a layer leaves to the rest of the guest.
const MEMORY_RESERVE: u64 = 64 << 20;
/// Memory is looked at whenever so many bytes were read or written.
const MEMORY_CHECK_INTERVAL: u64 = 1 << 20;
/// Bytes of an archive's start that tell how it is compressed.
const MAGIC_SIZE: u64 = 4;
/// Bytes read from the archive at a time.
const BUFFER_SIZE: usize = 64 * 1024;

/// Why an archive is no layer.
#[derive(Debug, thiserror::Error)]
pub enum SealLayerError {
    /// No memory file.
    #[error("cannot create a memory file")]
    Create(#[source] io::Error),
    /// The archive does not arrive.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// It is broken, or larger than allowed.
    #[error("the archive is no layer")]
    Build(#[source] BuildLayerError),
    /// The memory could not be made immutable.
    #[error("cannot seal the layer")]
    Seal(#[source] io::Error),
}

/// The file system of a layer, in memory that nothing changes any more.
#[derive(Debug)]
pub struct SealedLayer {
    content: File,
    root_hash: RootHash,
    size_bytes: u64,
}

impl SealedLayer {
    /// Makes a layer of a tar archive, which may be compressed. The archive is read once, from front to back, and not
    /// beyond its end mark.
    ///
    /// # Errors
    /// [`SealLayerError`]; no memory is held then.
    pub fn from_archive(mut stored: impl Read) -> Result<Self, SealLayerError> {
        let content = verified_copy::memory_file().map_err(SealLayerError::Create)?;
        let mut start = Vec::new();
        stored.by_ref().take(MAGIC_SIZE).read_to_end(&mut start).map_err(SealLayerError::Read)?;
        let compression = Compression::of(&start);
        let stored = BufReader::with_capacity(BUFFER_SIZE, start.as_slice().chain(stored));
        let archive = Watched { inner: compression.reader(stored), budget: Budget::default() };
        let memory = Watched { inner: &content, budget: Budget::default() };
        let digest = write_file_system(archive, memory, FILES_MAX).map_err(SealLayerError::Build)?;
        verified_copy::seal(&content).map_err(SealLayerError::Seal)?;
        let root_hash = (*digest.root_hash.as_bytes()).into();
        Ok(Self { content, root_hash, size_bytes: digest.data_size_bytes })
    }

    /// The digest of its content: what a policy names it by.
    #[must_use]
    pub fn root_hash(&self) -> RootHash {
        self.root_hash
    }

    /// The memory that it takes, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

/// Mounts the layer that the permit names, which is `layer`. As long as it is mounted it can be mounted again: the mount
/// shares it.
///
/// # Errors
/// [`MountDeviceError`]; everything was undone, or the permit ended as *unknown*.
pub fn mount_sealed_layer(
    permit: Permit<MountSealedLayer>,
    layer: &Arc<SealedLayer>,
) -> Result<Layer, MountDeviceError> {
    let (grant, (root, point)) = carry_out(permit, |request, rollback| mount(request, layer, rollback))?;
    let right = Right::Sealed { grant, _content: Arc::clone(layer) };
    Ok(Layer { right, root, point })
}

fn mount(
    request: &MountSealedLayer,
    layer: &SealedLayer,
    rollback: &mut Rollback,
) -> Result<(OwnedFd, MountPoint), MountDeviceError> {
    // The policy judged a digest; what is mounted is memory. They meet here.
    if request.root_hash != layer.root_hash {
        return Err(MountDeviceError::OtherContent(request.root_hash));
    }
    let content = verified_copy::attach(&layer.content).map_err(MountDeviceError::Copy)?;
    let root = mount_content(&content, LayerFilesystem::Ext4)?;
    let point = attach(root.as_fd(), &request.target, rollback)?;
    Ok((root, point))
}

/// What may still be read or written.
#[derive(Debug, Default)]
struct Budget {
    used: u64,
    checked: u64,
}

impl Budget {
    /// Counts bytes, and fails when they are too many or when memory runs out.
    fn spend(&mut self, bytes: usize) -> io::Result<()> {
        self.used = self.used.saturating_add(bytes as u64);
        if self.used > LAYER_SIZE_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, LayerTooLarge));
        }
        if self.used.saturating_sub(self.checked) >= MEMORY_CHECK_INTERVAL {
            self.checked = self.used;
            if available_memory()? < MEMORY_RESERVE {
                return Err(io::Error::new(io::ErrorKind::OutOfMemory, MemoryShort));
            }
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a layer has at most {LAYER_SIZE_MAX} bytes")]
struct LayerTooLarge;

#[derive(Debug, thiserror::Error)]
#[error("the guest has less than {MEMORY_RESERVE} bytes of memory left")]
struct MemoryShort;

/// A stream that ends with an error where its budget does.
///
/// Attack: an archive that decompresses to a thousand times its size, until the guest has no memory left.
#[derive(Debug)]
struct Watched<T> {
    inner: T,
    budget: Budget,
}

impl<T: Read> Read for Watched<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.budget.spend(count)?;
        Ok(count)
    }
}

impl<T: Write> Write for Watched<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.budget.spend(bytes.len())?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Seek> Seek for Watched<T> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.inner.seek(position)
    }
}

/// Memory that can be had without taking it from somebody, in bytes: `MemAvailable` of proc(5).
fn available_memory() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    parse_available(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse_available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests;
