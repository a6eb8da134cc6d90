//! Manifests, indexes and configurations of images (OCI Image Format Specification 1.1; Docker's image manifest version 2,
//! schema 2).

use serde::{Deserialize, Deserializer};

use crate::digest::Digest;

/// The most layers of an image.
pub(crate) const MAX_LAYERS: usize = 128;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// What may answer a request for a manifest.
pub(crate) const MANIFEST_TYPES: &[&str] = &[OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// The operating system, as Go calls it.
    pub os: String,
    /// The architecture, as Go calls it.
    pub architecture: String,
}

impl Platform {
    /// Linux on x86-64.
    #[must_use]
    pub fn linux_amd64() -> Self {
        Self { os: "linux".to_owned(), architecture: "amd64".to_owned() }
    }
}

/// Content that is named by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Which digest it has.
    pub digest: Digest,
    /// How many bytes it has.
    #[serde(rename = "size")]
    pub size_bytes: u64,
}

/// How a layer is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As a tar archive.
    None,
    /// By gzip (RFC 1952).
    Gzip,
    /// By Zstandard (RFC 8878).
    Zstd,
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// As it is stored.
    pub descriptor: Descriptor,
    /// How it is stored, by its media type. Registries hold layers whose bytes say otherwise.
    pub compression: Compression,
    /// The digest that the uncompressed archive must have.
    pub diff_id: Digest,
}

/// An image for one platform. Whoever named its digest vouches for all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Digest of the manifest.
    pub digest: Digest,
    /// What the image says about its processes.
    pub config: ImageConfig,
    /// Layers, base first.
    pub layers: Vec<Layer>,
}

/// What an image says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ImageConfig {
    /// The architecture, as Go calls it.
    pub architecture: String,
    /// The operating system, as Go calls it.
    pub os: String,
    /// How processes are started.
    #[serde(default, deserialize_with = "or_default")]
    pub config: ProcessConfig,
    rootfs: RootFs,
}

/// How processes of an image are started. What is empty was not said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProcessConfig {
    /// User and group: names or numbers, with a colon between.
    #[serde(deserialize_with = "or_default")]
    pub user: String,
    /// Variables, `NAME=value`.
    #[serde(deserialize_with = "or_default")]
    pub env: Vec<String>,
    /// The first arguments.
    #[serde(deserialize_with = "or_default")]
    pub entrypoint: Vec<String>,
    /// The arguments that follow.
    #[serde(deserialize_with = "or_default")]
    pub cmd: Vec<String>,
    /// The working directory.
    #[serde(deserialize_with = "or_default")]
    pub working_dir: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: String,
    diff_ids: Vec<Digest>,
}

/// Why a document describes no image that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No JSON, or not of the form that it has.
    #[error("the document is malformed")]
    Json(#[source] serde_json::Error),
    /// The oldest form of manifests, in which no digest covers the layers.
    #[error("the image has a manifest of schema 1, which registries have given up")]
    Schema1,
    /// A document that readers could take for a manifest or an index (GHSA-77vh-xpmg-72qh).
    #[error("the document is both a manifest and an index, or neither")]
    Ambiguous,
    /// The document says that it is something else.
    #[error("{0:?} is no manifest or index of images")]
    MediaType(String),
    /// A manifest of something that is not an image.
    #[error("{0:?} is no configuration of an image")]
    ConfigType(String),
    /// A layer that cannot be used: encrypted, kept elsewhere, or no archive.
    #[error("{0:?} is no layer that can be used")]
    LayerType(String),
    /// An index without the platform.
    #[error("there is no image for {os}/{architecture}", os = .0.os, architecture = .0.architecture)]
    NoPlatform(Platform),
    /// An image for another platform.
    #[error("the image is for {os}/{architecture}", os = .0.os, architecture = .0.architecture)]
    OtherPlatform(Platform),
    /// More layers than anybody mounts.
    #[error("the image has {0} layers, more than {MAX_LAYERS}")]
    TooManyLayers(usize),
    /// A layer larger than what is taken.
    #[error("a layer has {0} bytes")]
    LayerSize(u64),
    /// Manifest and configuration disagree.
    #[error("the configuration names {diff_ids} layers, the manifest {layers}")]
    LayerCount {
        /// Layers in the configuration.
        diff_ids: usize,
        /// Layers in the manifest.
        layers: usize,
    },
}

/// A manifest, or an index of manifests.
#[derive(Debug)]
pub(crate) enum Document {
    Index(Vec<IndexEntry>),
    Manifest(Manifest),
}

/// One manifest of an index. The members are those of a descriptor and one more: to flatten a descriptor into it, serde
/// would keep all that a hostile document has besides, at many times its size.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IndexEntry {
    media_type: String,
    digest: Digest,
    size: u64,
    platform: Option<EntryPlatform>,
}

impl IndexEntry {
    fn descriptor(&self) -> Descriptor {
        Descriptor { media_type: self.media_type.clone(), digest: self.digest, size_bytes: self.size }
    }
}

#[derive(Debug, Deserialize)]
struct EntryPlatform {
    os: String,
    architecture: String,
}

/// The manifest of an image.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyDocument {
    schema_version: u32,
    media_type: Option<String>,
    manifests: Option<Vec<IndexEntry>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

impl Document {
    /// Reads a document. `media_type` is what whoever named or served it says that it is; the document may say it too.
    pub(crate) fn parse(bytes: &[u8], media_type: Option<&str>) -> Result<Self, ImageError> {
        let document: AnyDocument = match serde_json::from_slice(bytes) {
            Ok(document) => document,
            // Schema 1 has other members: it is told before they are missed.
            Err(_) if is_schema1(bytes) => return Err(ImageError::Schema1),
            Err(error) => return Err(ImageError::Json(error)),
        };
        if document.schema_version == 1 {
            return Err(ImageError::Schema1);
        }
        let says = document.media_type.as_deref();
        let is_index = match says.or(media_type.filter(|media_type| MANIFEST_TYPES.contains(media_type))) {
            Some(OCI_INDEX | DOCKER_LIST) => Some(true),
            Some(OCI_MANIFEST | DOCKER_MANIFEST) => Some(false),
            Some(other) => return Err(ImageError::MediaType(shortened(other))),
            None => None,
        };
        match (is_index, document.manifests, document.config, document.layers) {
            (Some(true) | None, Some(entries), None, None) => Ok(Self::Index(entries)),
            (Some(false) | None, None, Some(config), Some(layers)) => {
                Manifest { config, layers }.checked().map(Self::Manifest)
            }
            _ => Err(ImageError::Ambiguous),
        }
    }
}

/// The entry for a platform: the first that fits. One that stands alone need not say what it is for.
pub(crate) fn choose(entries: &[IndexEntry], platform: &Platform) -> Result<Descriptor, ImageError> {
    let fits = |entry: &&IndexEntry| {
        entry
            .platform
            .as_ref()
            .is_some_and(|found| found.os == platform.os && found.architecture == platform.architecture)
    };
    let chosen = match entries {
        [only] if only.platform.is_none() => Some(only),
        _ => entries.iter().find(fits),
    };
    chosen.map(IndexEntry::descriptor).ok_or_else(|| ImageError::NoPlatform(platform.clone()))
}

impl Manifest {
    fn checked(self) -> Result<Self, ImageError> {
        if !matches!(self.config.media_type.as_str(), OCI_CONFIG | DOCKER_CONFIG) {
            return Err(ImageError::ConfigType(shortened(&self.config.media_type)));
        }
        if self.layers.len() > MAX_LAYERS {
            return Err(ImageError::TooManyLayers(self.layers.len()));
        }
        Ok(self)
    }

    /// The image of this manifest and its configuration.
    pub(crate) fn into_image(
        self,
        digest: Digest,
        config: &[u8],
        platform: &Platform,
        max_layer_bytes: u64,
    ) -> Result<Image, ImageError> {
        let config: ImageConfig = serde_json::from_slice(config).map_err(ImageError::Json)?;
        let found = Platform { os: shortened(&config.os), architecture: shortened(&config.architecture) };
        if found != *platform {
            return Err(ImageError::OtherPlatform(found));
        }
        let diff_ids = &config.rootfs.diff_ids;
        if config.rootfs.kind != "layers" || diff_ids.len() != self.layers.len() {
            return Err(ImageError::LayerCount { diff_ids: diff_ids.len(), layers: self.layers.len() });
        }
        let layers = self.layers.into_iter().zip(diff_ids).map(|(descriptor, &diff_id)| {
            if descriptor.size_bytes > max_layer_bytes {
                return Err(ImageError::LayerSize(descriptor.size_bytes));
            }
            let compression = compression(&descriptor.media_type)?;
            Ok(Layer { descriptor, compression, diff_id })
        });
        let layers = layers.collect::<Result<_, _>>()?;
        Ok(Image { digest, config, layers })
    }
}

fn compression(media_type: &str) -> Result<Compression, ImageError> {
    match media_type {
        "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => {
            Ok(Compression::None)
        }
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Ok(Compression::Gzip),
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Ok(Compression::Zstd),
        other => Err(ImageError::LayerType(shortened(other))),
    }
}

fn is_schema1(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        schema_version: u32,
    }
    serde_json::from_slice::<Version>(bytes).is_ok_and(|document| document.schema_version == 1)
}

/// As much of a foreign text as a message shows.
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Go writes `null` for what is empty.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
