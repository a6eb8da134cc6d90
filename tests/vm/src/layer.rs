//! Layers as files of the host.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{CallError, Disk, GuestDisk, Host, host_tool::cce};

/// Bytes of a block of the file system and of the tree.
pub const BLOCK_BYTES: usize = 4096;

/// Busybox of this machine, and its place in a layer.
const BUSYBOX: (&str, &str) = ("/bin/busybox", "bin/busybox");
/// Places that containers mount on.
const MOUNT_POINTS: [&str; 6] = ["dev/", "etc/", "proc/", "run/", "sys/", "tmp/"];

/// Why there is no layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// Busybox does not read, or the files cannot be written.
    #[error("could not write the files of the layer")]
    Files(#[from] io::Error),
    /// `cce layer build` gives no answer.
    #[error("could not build the layer")]
    Build(#[from] CallError),
    /// It says no.
    #[error("the layer was not built: {0}")]
    Refused(Value),
}

/// The files of a layer in their order, as paths and contents. All can be executed; a path that ends with a slash is a
/// directory's.
#[derive(Debug, Clone, Default)]
pub struct LayerFiles(Vec<(String, Vec<u8>)>);

impl LayerFiles {
    /// The base of every root file system here: busybox, and the places that containers mount on.
    ///
    /// # Errors
    /// There is no busybox.
    pub fn of_busybox() -> io::Result<Self> {
        let (source, place) = BUSYBOX;
        let files = Self::default().with(place, fs::read(source)?);
        Ok(MOUNT_POINTS.into_iter().fold(files, |files, place| files.with(place, "")))
    }

    /// The same with one more.
    #[must_use]
    pub fn with(mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.0.push((path.into(), content.into()));
        self
    }

    /// Writes them below a folder, for the tools of others.
    ///
    /// # Errors
    /// One of them cannot be written.
    pub fn write_below(&self, folder: &Path) -> io::Result<()> {
        tar::Archive::new(self.archive()?.as_slice()).unpack(folder)
    }

    /// Them as a tar archive.
    ///
    /// # Errors
    /// A path is longer than an archive allows.
    pub fn archive(&self) -> io::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o755);
            if path.ends_with('/') {
                header.set_entry_type(tar::EntryType::Directory);
            }
            archive.append_data(&mut header, path, content.as_slice())?;
        }
        archive.into_inner()
    }
}

/// A layer's image on the host's disk: file system, superblock of dm-verity, tree.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The file.
    pub image: PathBuf,
    /// Where the superblock of dm-verity begins; the tree is in the blocks behind it.
    pub hash_offset_bytes: usize,
    /// The root hash of the tree, in hexadecimal digits.
    pub root_hash: String,
}

impl Layer {
    /// Builds the ext4 layer of these files, by `cce layer build`.
    ///
    /// # Errors
    /// Something cannot be written, or there is no such program.
    pub fn build(host: &Host, image: PathBuf, files: &LayerFiles) -> Result<Self, LayerError> {
        let archive = image.with_extension("tar");
        fs::write(&archive, files.archive()?)?;
        let words = ["layer", "build", "--output"].map(OsStr::new);
        let built = cce(host, words.into_iter().chain([image.as_os_str(), archive.as_os_str()]))?;
        let hash_offset = built.get("hash_offset_bytes").and_then(Value::as_u64).map(usize::try_from);
        match (hash_offset, built.get("root_hash").and_then(Value::as_str)) {
            (Some(Ok(hash_offset_bytes)), Some(root_hash)) => {
                Ok(Self { image, hash_offset_bytes, root_hash: root_hash.to_owned() })
            }
            _ => Err(LayerError::Refused(built)),
        }
    }

    /// A layer of busybox alone.
    ///
    /// # Errors
    /// Something cannot be written, or there is no such program.
    pub fn of_busybox(host: &Host, folder: &Path) -> Result<Self, LayerError> {
        Self::build(host, folder.join("busybox.img"), &LayerFiles::of_busybox()?)
    }

    /// The bytes of the image.
    ///
    /// # Errors
    /// It does not read.
    pub fn bytes(&self) -> io::Result<Vec<u8>> {
        fs::read(&self.image)
    }

    /// A disk with it.
    #[must_use]
    pub fn disk(&self) -> Disk {
        Disk::read_only(&self.image)
    }

    /// What `cce host run` has to be told of it when it is on this disk.
    #[must_use]
    pub fn arguments(&self, disk: GuestDisk) -> [String; 6] {
        let [device, root_hash, offset] =
            ["--layer-device", "--layer-root-hash", "--layer-hash-offset"].map(str::to_owned);
        let at = self.hash_offset_bytes.to_string();
        [device, disk.pci_path(), root_hash, self.root_hash.clone(), offset, at]
    }
}
