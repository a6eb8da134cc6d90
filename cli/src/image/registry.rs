//! Images in registries: their layers are read from the network, not kept.

use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use registry_client::{Blob, Client, ClientConfig, Descriptor, Platform, Reference, Tcp, TrustAnchors};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::{self, Runtime};

use super::{LayerSource, registry_credentials, sha256};

/// What tells a reference from a path, as skopeo and buildah have it.
pub(super) const SCHEME: &str = "docker://";

/// How registries are reached.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Registries")]
pub(crate) struct RegistryArgs {
    /// Speak HTTP without TLS to registries on loopback addresses.
    #[arg(long)]
    plain_http: bool,
    /// Trust the authorities in this PEM file and no others.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Log in by this name.
    #[arg(long, requires = "password_file")]
    pub(super) username: Option<String>,
    /// Log in by the password in this file; one newline at its end does not count.
    #[arg(long, value_name = "FILE", requires = "username")]
    pub(super) password_file: Option<PathBuf>,
    /// Where credentials are looked up [default: ~/.docker/config.json]
    #[arg(long, value_name = "FILE", conflicts_with = "username")]
    pub(super) authfile: Option<PathBuf>,
}

/// The layers of an image for linux/amd64, base first.
///
/// # Errors
/// When the reference is malformed, the registry does not serve the image, or the image is broken.
pub(super) fn layers_of(reference: &str, args: &RegistryArgs) -> anyhow::Result<Vec<LayerSource>> {
    let named = format!("{SCHEME}{reference}");
    let cannot_read = || format!("cannot read {named}");
    let reference: Reference = reference.parse().with_context(cannot_read)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let client = client(&reference, args).with_context(cannot_read)?;
    let image = runtime.block_on(client.manifest(&reference, &Platform::linux_amd64()));
    let image = image.with_context(cannot_read)?;
    // A tag may move between two layers; a digest does not.
    let pinned = reference.pinned(image.digest);
    let session = Arc::new(Session { runtime, client, reference: pinned, named });
    let layers = image.layers.into_iter().map(|layer| {
        let diff_id = layer.diff_id.to_string();
        let blob = RegistryBlob { session: Arc::clone(&session), descriptor: Arc::new(layer.descriptor) };
        Ok(LayerSource::registry(blob).with_diff_id(sha256(&diff_id)?))
    });
    layers.collect()
}

fn client(reference: &Reference, args: &RegistryArgs) -> anyhow::Result<Client> {
    let tcp = Arc::new(Tcp);
    let mut config = ClientConfig::new(tcp.clone());
    if args.plain_http {
        config.plain_loopback = Some(tcp);
    }
    if let Some(file) = &args.ca_file {
        let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        config.trust_anchors = TrustAnchors::Pem(text);
    }
    if let Some(credentials) = registry_credentials::find(reference, args)? {
        config.credentials.insert(reference.registry().clone(), credentials);
    }
    Ok(Client::new(config)?)
}

/// What layers of one image are read with.
#[derive(Debug)]
struct Session {
    runtime: Runtime,
    client: Client,
    reference: Reference,
    /// What the user called the image.
    named: String,
}

/// A blob of an image in a registry.
#[derive(Debug, Clone)]
pub(super) struct RegistryBlob {
    session: Arc<Session>,
    descriptor: Arc<Descriptor>,
}

impl RegistryBlob {
    /// Its digest.
    pub(super) fn digest(&self) -> String {
        self.descriptor.digest.to_string()
    }

    /// Asks the registry for its bytes. Their end is read only if they have their digest.
    ///
    /// # Errors
    /// When the registry does not serve it.
    pub(super) fn open(&self) -> anyhow::Result<impl Read + use<>> {
        let session = Arc::clone(&self.session);
        let asked = session.client.blob(&session.reference, &self.descriptor);
        let blob = session.runtime.block_on(asked).with_context(|| format!("cannot read {self}"))?;
        Ok(BlobReader { session, blob })
    }
}

impl fmt::Display for RegistryBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.session.named)
    }
}

/// Reads a blob, and waits for its bytes.
struct BlobReader {
    session: Arc<Session>,
    blob: Blob,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.session.runtime.block_on(self.blob.read(buffer))
    }
}
