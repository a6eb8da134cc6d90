//! OCI image layouts (OCI Image Format Specification 1.1, "Image Layout"). Every blob is checked against the digest
//! that names it; only `index.json`, which nothing names, is taken as it is.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use oci_spec::image::{
    Arch, Config, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType, Os,
};

use super::LayerSource;

/// The most bytes of an index, a manifest or a configuration.
const MAX_JSON_BYTES: u64 = 4 << 20;
/// The most indexes in indexes.
const MAX_DEPTH: usize = 3;

/// An image for linux/amd64.
#[derive(Debug)]
pub(crate) struct Image {
    digest: String,
    config: Config,
    layers: Vec<LayerSource>,
}

impl Image {
    /// Opens the image in an OCI image layout; of several the one for linux/amd64.
    ///
    /// # Errors
    /// When the layout is broken or has no such image, or when a blob does not have its digest.
    pub(crate) fn open(layout: &Path) -> anyhow::Result<Self> {
        let index = layout.join("index.json");
        let mut text = Vec::new();
        File::open(&index)
            .and_then(|file| file.take(MAX_JSON_BYTES).read_to_end(&mut text))
            .with_context(|| format!("cannot read {}: not an OCI image layout", index.display()))?;
        let mut index = ImageIndex::from_reader(text.as_slice())
            .with_context(|| format!("{} is not an image index", index.display()))?;
        for _ in 0..MAX_DEPTH {
            let chosen = choose(index.manifests())?;
            let text = blob(layout, chosen)?.read_small(MAX_JSON_BYTES)?;
            if *chosen.media_type() != MediaType::ImageIndex {
                return Self::from_manifest(layout, chosen.digest().to_string(), &text);
            }
            index = ImageIndex::from_reader(text.as_slice()).context("a nested image index is malformed")?;
        }
        bail!("{} nests indexes too deeply", layout.display())
    }

    fn from_manifest(layout: &Path, digest: String, text: &[u8]) -> anyhow::Result<Self> {
        let manifest = ImageManifest::from_reader(text).context("the image manifest is malformed")?;
        let text = blob(layout, manifest.config())?.read_small(MAX_JSON_BYTES)?;
        let configuration = ImageConfiguration::from_reader(text.as_slice())
            .context("the image configuration is malformed")?;
        let (named, listed) = (configuration.rootfs().diff_ids().len(), manifest.layers().len());
        ensure!(named == listed, "the configuration names {named} layers, the manifest {listed}");
        Ok(Self {
            digest,
            config: configuration.config().clone().unwrap_or_default(),
            layers: manifest.layers().iter().map(|layer| blob(layout, layer)).collect::<Result<_, _>>()?,
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

fn blob(layout: &Path, descriptor: &Descriptor) -> anyhow::Result<LayerSource> {
    // The digest becomes a file name, and this accepts nothing but 64 hexadecimal digits.
    let sha256 = descriptor
        .as_digest_sha256()
        .filter(|digest| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .with_context(|| format!("{} is not a SHA-256 digest", descriptor.digest()))?;
    Ok(LayerSource::blob(layout.join("blobs/sha256").join(sha256), descriptor.size(), sha256))
}
