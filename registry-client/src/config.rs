//! How a client behaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::authority::Authority;
use crate::connect::Connect;
use crate::credentials::Credentials;
use crate::tls::TrustAnchors;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// How bytes reach registries, over TLS.
    pub connector: Arc<dyn Connect>,
    /// How bytes reach registries on loopback addresses over plain HTTP; none means TLS for these too. It must lead to
    /// this machine: nothing else protects what is sent.
    pub plain_loopback: Option<Arc<dyn Connect>>,
    /// Who certifies registries.
    pub trust_anchors: TrustAnchors,
    /// What each registry may know, by its name in references.
    pub credentials: BTreeMap<Authority, Credentials>,
    /// How much is taken, and how long is waited.
    pub limits: Limits,
}

impl ClientConfig {
    /// A client of what Mozilla trusts, without credentials or plain HTTP.
    #[must_use]
    pub fn new(connector: Arc<dyn Connect>) -> Self {
        Self {
            connector,
            plain_loopback: None,
            trust_anchors: TrustAnchors::Mozilla,
            credentials: BTreeMap::new(),
            limits: Limits::default(),
        }
    }
}

/// How much is taken, and how long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a connection, with TLS.
    pub connect_timeout: Duration,
    /// For the head of an answer.
    pub answer_timeout: Duration,
    /// For the next bytes of a body.
    pub stall_timeout: Duration,
    /// For all bytes of a body, besides what [`min_bytes_per_second`](Self::min_bytes_per_second) grants. Only waiting
    /// counts, not what the reader does between.
    pub body_timeout: Duration,
    /// The speed of bodies that grants them more time.
    pub min_bytes_per_second: u64,
    /// The most bytes of a layer as it is stored.
    pub max_layer_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(60),
            min_bytes_per_second: 32 * 1024,
            max_layer_bytes: 64 << 30,
        }
    }
}

impl Limits {
    /// How long is waited for all bytes of a body of this size.
    pub(crate) fn patience(&self, size_bytes: u64) -> Duration {
        let granted = size_bytes.checked_div(self.min_bytes_per_second).unwrap_or(0);
        self.body_timeout.saturating_add(Duration::from_secs(granted))
    }
}
