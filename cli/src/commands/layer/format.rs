//! The options that say which file system layers have, and making them so.

use std::io::{self, Read, Seek, Write};
use std::thread;

use anyhow::{bail, ensure};
use clap::{Args, ValueEnum};
use layer_format::layer::{
    Footer, LayerDigest, LayerImage, MkfsVersion, hash_erofs_layer, hash_layer, write_erofs_layer,
    write_layer,
};
use sha1::{Digest as _, Sha1};

use crate::image::LayerSource;

/// Namespace of UUIDs that are made of URLs (RFC 9562).
const NAMESPACE_URL: [u8; 16] =
    [0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8];
/// What containerd puts before a digest to make a URL of it.
const URL_PREFIX: &str = "erofs:blobs/";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FileSystem {
    /// As Azure's tools for confidential containers make it.
    Ext4,
    /// As containerd's erofs differ makes it, with mkfs_options `-T0 --mkfs-time --sort=none` and dm-verity.
    Erofs,
}

/// Versions of erofs-utils that make different images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ErofsUtils {
    /// 1.8.2 to 1.8.10.
    #[value(name = "1.8")]
    V1_8,
    /// 1.9.2.
    #[value(name = "1.9.2")]
    V1_9_2,
    /// 1.9.3.
    #[value(name = "1.9.3")]
    V1_9_3,
}

impl From<ErofsUtils> for MkfsVersion {
    fn from(version: ErofsUtils) -> Self {
        match version {
            ErofsUtils::V1_8 => Self::V1_8,
            ErofsUtils::V1_9_2 => Self::V1_9_2,
            ErofsUtils::V1_9_3 => Self::V1_9_3,
        }
    }
}

/// Options for the file system of layers.
#[derive(Debug, Args)]
pub(super) struct FormatArgs {
    /// File system of the layers.
    #[arg(long, value_enum, default_value_t = FileSystem::Ext4)]
    format: FileSystem,
    /// The mkfs.erofs of the host: versions differ for files with several extended attributes or with fractions of
    /// seconds.
    #[arg(long, value_enum, value_name = "VERSION", default_value = "1.9.3")]
    erofs_utils: ErofsUtils,
    /// Digest of the layer as the registry stores it, which an erofs is named by. Images tell it; of a single layer it is
    /// that of the file, unless the host pulls it in another form.
    #[arg(long, value_name = "sha256:DIGEST")]
    layer_digest: Option<String>,
}

impl FormatArgs {
    /// Checks the options against the number of layers that they are for.
    ///
    /// # Errors
    /// When the digest is malformed, or there is one for several layers or for another file system.
    pub(super) fn check(&self, layers: usize) -> anyhow::Result<()> {
        if let Some(digest) = &self.layer_digest {
            crate::image::sha256(digest)?;
            ensure!(self.format == FileSystem::Erofs, "--layer-digest is for --format erofs");
            ensure!(layers == 1, "--layer-digest is for one layer, not {layers}");
        }
        Ok(())
    }

    /// The root hash of a layer.
    ///
    /// # Errors
    /// When the layer is broken.
    pub(super) fn hash(&self, layer: &LayerSource) -> anyhow::Result<LayerDigest> {
        if self.format == FileSystem::Ext4 {
            return layer.read(|archive| Ok(hash_layer(archive)?));
        }
        let uuid = self.uuid(layer)?;
        layer.read(|archive| Ok(hash_erofs_layer(archive, self.erofs_utils.into(), uuid)?))
    }

    /// Writes the image of a layer: `create` opens it.
    ///
    /// # Errors
    /// When the layer is broken or the image cannot be written.
    pub(super) fn write<W: Write + Seek>(
        &self,
        layer: &LayerSource,
        create: impl FnOnce() -> anyhow::Result<W>,
        footer: Footer,
    ) -> anyhow::Result<LayerImage> {
        if self.format == FileSystem::Ext4 {
            return layer.read(|archive| Ok(write_layer(archive, create()?, footer)?));
        }
        let uuid = self.uuid(layer)?;
        let version = self.erofs_utils.into();
        layer.read(|archive| Ok(write_erofs_layer(archive, create()?, footer, version, uuid)?))
    }

    /// What tells the UUID when the layer has been read. A digest that nothing states is computed meanwhile.
    fn uuid(&self, layer: &LayerSource) -> anyhow::Result<impl FnOnce() -> io::Result<[u8; 16]> + use<>> {
        let known = self.layer_digest.as_deref().or(layer.stated_digest());
        let digest = match known {
            Some(digest) => Digest::Known(digest.to_owned()),
            None => {
                let file = layer.open_file()?;
                if !file.metadata()?.is_file() {
                    bail!("{layer} cannot be read twice: its digest is needed as --layer-digest");
                }
                let stored = layer.stored()?;
                Digest::Computed(thread::spawn(|| sha256_of(stored)))
            }
        };
        Ok(move || digest.get().map(|digest| uuid_of(&digest)))
    }
}

/// The digest of a stored layer.
enum Digest {
    Known(String),
    Computed(thread::JoinHandle<io::Result<String>>),
}

impl Digest {
    fn get(self) -> io::Result<String> {
        match self {
            Self::Known(digest) => Ok(digest),
            Self::Computed(thread) => thread.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())),
        }
    }
}

fn sha256_of(mut stored: impl Read) -> io::Result<String> {
    let mut hasher = sha2::Sha256::new();
    io::copy(&mut stored, &mut hasher)?;
    Ok(format!("sha256:{}", hex::encode(hasher.finalize())))
}

/// The name-based UUID (version 5) that containerd gives the file system of a layer.
fn uuid_of(digest: &str) -> [u8; 16] {
    let mut hasher = Sha1::new();
    hasher.update(NAMESPACE_URL);
    hasher.update(URL_PREFIX);
    hasher.update(digest);
    let hash: [u8; 20] = hasher.finalize().into();
    let [mut uuid @ .., _, _, _, _] = hash;
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut uuid;
    *version = *version & 0x0f | 0x50;
    *variant = *variant & 0x3f | 0x80;
    uuid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_those_of_containerd() {
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex::encode(uuid_of(digest)), "0f8a237d48ca5305ba9fd2efb00fcd98");
    }
}
