//! OCI image layouts (OCI Image Format Specification 1.1, "Image Layout"), as a directory or in an archive. Every blob is
//! checked against the digest that names it; only `index.json`, which nothing names, is taken as it is.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use oci_spec::image::{
    Arch, Config, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType, Os,
};

use super::archive::Archive;
use super::{LayerSource, sha256};

/// The file that a layout starts from.
const INDEX: &str = "index.json";
/// The file that tells a layout.
pub(super) const MARK: &str = "oci-layout";
/// The most bytes of an index, a manifest or a configuration.
const MAX_JSON_BYTES: u64 = 4 << 20;
/// The most indexes in indexes.
const MAX_DEPTH: usize = 3;

/// Where a layout is.
#[derive(Debug)]
pub(super) enum Layout {
    Directory(PathBuf),
    Archive(Archive),
}

impl Layout {
    /// The layout in an archive, if it is one.
    pub(super) fn in_archive(archive: Archive) -> Option<Self> {
        (archive.member(MARK).is_some() && archive.member(INDEX).is_some()).then_some(Self::Archive(archive))
    }

    fn file(&self, name: &str) -> Option<LayerSource> {
        match self {
            Self::Directory(directory) => Some(LayerSource::file(&directory.join(name))),
            Self::Archive(archive) => archive.member(name),
        }
    }

    fn blob(&self, descriptor: &Descriptor) -> anyhow::Result<LayerSource> {
        let sha256 = sha256(descriptor.digest().as_ref())?;
        let blob = self.file(&format!("blobs/sha256/{sha256}"));
        let blob = blob.with_context(|| format!("the blob {} is missing", descriptor.digest()))?;
        if blob.size_bytes().is_some_and(|size_bytes| size_bytes != descriptor.size()) {
            bail!("{blob} does not have the size that its image names");
        }
        Ok(blob.blob(descriptor.size(), sha256))
    }
}

/// An image for linux/amd64.
#[derive(Debug)]
pub(crate) struct Image {
    digest: String,
    config: Config,
    layers: Vec<LayerSource>,
}

impl Image {
    /// Opens the image in the OCI image layout at a directory; of several the one for linux/amd64.
    ///
    /// # Errors
    /// When the layout is broken or has no such image, or when a blob does not have its digest.
    pub(crate) fn open(directory: &Path) -> anyhow::Result<Self> {
        Self::read(&Layout::Directory(directory.to_owned()))
            .with_context(|| format!("cannot read {} as an OCI image layout", directory.display()))
    }

    /// As [`open`](Self::open), of any layout.
    pub(super) fn read(layout: &Layout) -> anyhow::Result<Self> {
        let index = layout.file(INDEX).context("there is no index")?;
        let index_bytes = index.read_small(MAX_JSON_BYTES)?;
        let mut index =
            ImageIndex::from_reader(index_bytes.as_slice()).context("the image index is malformed")?;
        for _ in 0..MAX_DEPTH {
            let chosen = choose(index.manifests())?;
            let text = layout.blob(chosen)?.read_small(MAX_JSON_BYTES)?;
            if *chosen.media_type() != MediaType::ImageIndex {
                return Self::from_manifest(layout, chosen.digest().to_string(), &text);
            }
            index = ImageIndex::from_reader(text.as_slice()).context("a nested image index is malformed")?;
        }
        bail!("indexes are nested too deeply")
    }

    fn from_manifest(layout: &Layout, digest: String, text: &[u8]) -> anyhow::Result<Self> {
        let manifest = ImageManifest::from_reader(text).context("the image manifest is malformed")?;
        let text = layout.blob(manifest.config())?.read_small(MAX_JSON_BYTES)?;
        let configuration = ImageConfiguration::from_reader(text.as_slice())
            .context("the image configuration is malformed")?;
        let diff_ids = configuration.rootfs().diff_ids();
        let (named, listed) = (diff_ids.len(), manifest.layers().len());
        ensure!(named == listed, "the configuration names {named} layers, the manifest {listed}");
        let layers = manifest.layers().iter().zip(diff_ids);
        let layers = layers.map(|(layer, diff_id)| Ok(layout.blob(layer)?.with_diff_id(sha256(diff_id)?)));
        Ok(Self {
            digest,
            config: configuration.config().clone().unwrap_or_default(),
            layers: layers.collect::<anyhow::Result<_>>()?,
        })
    }

    /// Digest of the manifest.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// What the image says about its first process.
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    /// Layers, base first.
    pub(crate) fn layers(&self) -> &[LayerSource] {
        &self.layers
    }

    /// Layers, base first.
    pub(crate) fn into_layers(self) -> Vec<LayerSource> {
        self.layers
    }
}

/// The only manifest, or the only one for linux/amd64.
fn choose(manifests: &[Descriptor]) -> anyhow::Result<&Descriptor> {
    if let [only] = manifests {
        return Ok(only);
    }
    let fits = |manifest: &&Descriptor| {
        let platform = manifest.platform().as_ref();
        platform
            .is_some_and(|platform| *platform.os() == Os::Linux && *platform.architecture() == Arch::Amd64)
    };
    let mut fitting = manifests.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => bail!("there is no image for linux/amd64"),
        (Some(_), Some(_)) => bail!("there are several images for linux/amd64"),
    }
}
