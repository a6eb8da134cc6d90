//! Images pulled from registries: the layers of an image, fetched over a network that nobody trusts, and made into file
//! systems in sealed memory.
//!
//! The policy does not name images. It names the root hash of each layer, and that is computed here, of the memory that
//! is mounted later. So nothing has to be believed: not the network, not the registry, not which image the host named.
//! The digests of the registry and TLS find errors early and keep others from reading along; they decide nothing.
//!
//! A pull has no effect but memory, and gives that back when it fails, is denied or is given up. After each layer the
//! policy is asked whether it would let it be mounted: of what it does not name, no more than one layer is ever held.

mod received;
mod route;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use executor::layers::{SealLayerError, SealedLayer};
use policy_engine::RootHash;
use proto::kata::address::ServerAddress;
use registry_client::{
    Authority, Blob, BlobError, Client, ClientConfig, Credentials, Descriptor, Digest, Image, Limits,
    ManifestError, Platform, Reference, TrustAnchors,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::decision::{Guest, OperationError, Overloaded, Worker};

/// Pulls at once. Each holds at most one layer that the policy does not name.
const PULLS_MAX: usize = 2;
/// Pulls that wait for others.
const WAITING_MAX: usize = 16;
/// How long one pull may take. A host that waits less gives up earlier, which ends the pull.
const PULL_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// The most bytes of a layer as it is stored: what it takes in memory is bounded likewise.
const LAYER_STORED_MAX_BYTES: u64 = 2 << 30;

/// The way to registries, as it was configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PullConfig {
    /// Where a proxy listens.
    pub(crate) proxy: ServerAddress,
    /// Who certifies registries.
    pub(crate) trust_anchors: TrustAnchors,
    /// What each registry may know.
    pub(crate) credentials: BTreeMap<Authority, Credentials>,
    /// Registries on loopback addresses of the proxy's machine are spoken to without TLS.
    pub(crate) plain_loopback: bool,
}

impl PullConfig {
    /// The way through a proxy, with TLS to whom browsers trust, as anybody.
    pub(crate) fn through(proxy: ServerAddress) -> Self {
        Self {
            proxy,
            trust_anchors: TrustAnchors::Mozilla,
            credentials: BTreeMap::new(),
            plain_loopback: false,
        }
    }
}

/// Why images cannot be pulled by this guest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigurePullError {
    #[error("the proxy's address cannot be used")]
    Proxy(#[source] std::io::Error),
    #[error("cannot set up the client of registries")]
    Client(#[source] registry_client::ConfigError),
}

/// Why an image was not pulled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    /// Nothing was configured: the guest has no network of its own.
    #[error("this guest has no way to a registry")]
    NoRoute,
    /// As many as may wait do.
    #[error("too many images are being pulled")]
    TooMany,
    #[error("the image did not arrive in time")]
    Timeout,
    #[error("cannot find the image")]
    Manifest(#[source] ManifestError),
    #[error("cannot fetch layer {layer}")]
    Fetch {
        layer: usize,
        #[source]
        source: BlobError,
    },
    /// It breaks off, or is not what its digest says.
    #[error("cannot read layer {layer}")]
    Read {
        layer: usize,
        #[source]
        source: std::io::Error,
    },
    #[error("layer {layer} cannot be used")]
    Seal {
        layer: usize,
        #[source]
        source: SealLayerError,
    },
    /// The thread that makes layers is gone.
    #[error("layer {layer} was given up")]
    GivenUp { layer: usize },
    /// The policy does not let it be mounted, or the guest does nothing new any more.
    #[error("layer {layer} of the image is not to be mounted")]
    Layer {
        layer: usize,
        #[source]
        source: OperationError,
    },
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
}

/// Pulls images.
pub(crate) struct Puller {
    client: Option<Client>,
    active: Arc<Semaphore>,
    waiting: Semaphore,
    /// Layers in memory by the digest under which registries have them, as long as anybody holds them.
    layers: Mutex<BTreeMap<Digest, Weak<SealedLayer>>>,
}

impl Puller {
    /// A puller that has this way to registries, or none.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be used.
    pub(crate) fn new(config: Option<PullConfig>) -> Result<Self, ConfigurePullError> {
        Ok(Self {
            client: config.map(client).transpose()?,
            active: Arc::new(Semaphore::new(PULLS_MAX)),
            waiting: Semaphore::new(WAITING_MAX),
            layers: Mutex::default(),
        })
    }

    /// Pulls the layers of an image, base first, each of which the policy would let be mounted now. Whoever drops the
    /// future ends the pull.
    ///
    /// # Errors
    ///
    /// [`PullError`]; no memory is held then.
    pub(crate) async fn pull(
        &self,
        reference: &Reference,
        worker: &Worker,
    ) -> Result<Vec<Arc<SealedLayer>>, PullError> {
        let client = self.client.as_ref().ok_or(PullError::NoRoute)?;
        let waiting = self.waiting.try_acquire().map_err(|_| PullError::TooMany)?;
        let pull = async {
            let active = Arc::clone(&self.active).acquire_owned().await.map_err(|_| PullError::TooMany)?;
            drop(waiting);
            let pull = Pull { puller: self, client, reference, worker, active: Arc::new(active) };
            pull.image().await
        };
        tokio::time::timeout(PULL_TIMEOUT, pull).await.map_err(|_| PullError::Timeout)?
    }

    /// A layer that is in memory already.
    fn known(&self, digest: &Digest) -> Option<Arc<SealedLayer>> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner).get(digest)?.upgrade()
    }

    /// Remembers a layer under a digest that its archive was found to have.
    fn remember(&self, digest: Digest, layer: &Arc<SealedLayer>) {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        layers.retain(|_, layer| layer.strong_count() != 0);
        layers.insert(digest, Arc::downgrade(layer));
    }
}

fn client(config: PullConfig) -> Result<Client, ConfigurePullError> {
    let connector = route::through_proxy(&config.proxy).map_err(ConfigurePullError::Proxy)?;
    let mut client = ClientConfig::new(Arc::clone(&connector));
    client.plain_loopback = config.plain_loopback.then_some(connector);
    client.limits = Limits { max_layer_bytes: LAYER_STORED_MAX_BYTES, ..Limits::default() };
    client.trust_anchors = config.trust_anchors;
    client.credentials = config.credentials;
    Client::new(client).map_err(ConfigurePullError::Client)
}

/// One pull under way.
struct Pull<'a> {
    puller: &'a Puller,
    client: &'a Client,
    reference: &'a Reference,
    worker: &'a Worker,
    /// Held by the thread that makes a layer, too: a pull that was given up counts until its memory is free.
    active: Arc<OwnedSemaphorePermit>,
}

impl Pull<'_> {
    async fn image(&self) -> Result<Vec<Arc<SealedLayer>>, PullError> {
        let image = self.client.manifest(self.reference, &Platform::linux_amd64()).await;
        let Image { layers, .. } = image.map_err(PullError::Manifest)?;
        let mut sealed = Vec::new();
        for (number, layer) in layers.iter().enumerate() {
            let content = match self.puller.known(&layer.descriptor.digest) {
                Some(content) => content,
                None => self.layer(number, &layer.descriptor).await?,
            };
            self.ask(number, content.root_hash()).await?;
            sealed.push(content);
        }
        Ok(sealed)
    }

    async fn layer(&self, layer: usize, descriptor: &Descriptor) -> Result<Arc<SealedLayer>, PullError> {
        let blob = self.client.blob(self.reference, descriptor).await;
        let blob = blob.map_err(|source| PullError::Fetch { layer, source })?;
        let content = Arc::new(self.seal(layer, blob).await?);
        self.puller.remember(descriptor.digest, &content);
        Ok(content)
    }

    /// Makes a layer of a blob while that arrives. The blob has its digest when this returns.
    async fn seal(&self, layer: usize, mut blob: Blob) -> Result<SealedLayer, PullError> {
        let (sender, received) = received::channel();
        let active = Arc::clone(&self.active);
        let sealing = tokio::task::spawn_blocking(move || {
            let sealed = SealedLayer::from_archive(received);
            drop(active);
            sealed
        });
        let sent = sender.send_all(&mut blob).await;
        let sealed = sealing.await.map_err(|_| PullError::GivenUp { layer })?;
        // The thread's error follows from the network's.
        sent.map_err(|source| PullError::Read { layer, source })?;
        let sealed = sealed.map_err(|source| PullError::Seal { layer, source })?;
        received::drain(&mut blob).await.map_err(|source| PullError::Read { layer, source })?;
        Ok(sealed)
    }

    /// Asks the policy before more is fetched.
    async fn ask(&self, layer: usize, root_hash: RootHash) -> Result<(), PullError> {
        let answer = self.worker.run(move |guest: &mut Guest| guest.would_mount(root_hash)).await?;
        answer.map_err(|source| PullError::Layer { layer, source })
    }
}
