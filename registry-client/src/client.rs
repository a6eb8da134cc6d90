//! What a registry is asked for: manifests and blobs.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};

use crate::authority::Authority;
use crate::blob::{Blob, BlobError};
use crate::config::ClientConfig;
use crate::credentials::Credentials;
use crate::digest::Digest;
use crate::exchange::{Answer, Body, BodyError, Exchange, ExchangeError};
use crate::image::{Descriptor, Document, Image, ImageError, MANIFEST_TYPES, Platform, choose};
use crate::reference::Reference;
use crate::tls::ConfigError;
use crate::token::AuthenticateError;
use crate::url::Url;

/// The most bytes of a manifest, an index or a configuration (OCI Distribution Specification 1.1, "Pushing manifests").
const MAX_DOCUMENT_BYTES: u64 = 4 << 20;
/// The most documents from the reference to a manifest: two indexes.
const MAX_DEPTH: usize = 3;
/// The most repositories whose authorization is remembered.
const MAX_AUTHORIZATIONS: usize = 64;

/// Why something of a registry cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is no answer.
    #[error("cannot ask the registry")]
    Exchange(#[source] ExchangeError),
    /// It wants to know who asks.
    #[error("cannot authenticate to the registry")]
    Authenticate(#[source] AuthenticateError),
    /// It refuses whoever this is.
    #[error("the registry refuses these credentials")]
    Unauthorized,
    /// It does not have it, or does not say so.
    #[error("the registry has nothing of that name")]
    NotFound,
    /// It answers otherwise.
    #[error("the registry answers with status {0}")]
    Status(StatusCode),
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The registry does not serve a document.
    #[error("cannot fetch {0}")]
    Fetch(String, #[source] FetchError),
    /// The document does not arrive.
    #[error("cannot read {0}")]
    Read(String, #[source] BodyError),
    /// The document is another than was asked for.
    #[error("the registry serves something else as {0}")]
    Digest(Digest),
    /// The document does not have the size that was named.
    #[error("the document has {actual_bytes} bytes instead of {expected_bytes}")]
    Size {
        /// What came.
        actual_bytes: u64,
        /// What was named.
        expected_bytes: u64,
    },
    /// The document is larger than any that is taken.
    #[error("the document has {0} bytes")]
    TooLarge(u64),
    /// Indexes in indexes.
    #[error("indexes are nested too deeply")]
    TooDeep,
    /// The document describes no image that can be used.
    #[error("{0} is no image that can be used")]
    Image(String, #[source] ImageError),
}

/// A client of registries. It keeps no connection; it remembers tokens.
#[derive(Debug)]
pub struct Client {
    exchange: Exchange,
    credentials: BTreeMap<Authority, Credentials>,
    /// What authorizes, by registry and repository.
    authorizations: Mutex<BTreeMap<(Authority, String), HeaderValue>>,
}

impl Client {
    /// A client that behaves so.
    ///
    /// # Errors
    /// When certificates are malformed, or the processor lacks what TLS needs.
    pub fn new(config: ClientConfig) -> Result<Self, ConfigError> {
        let exchange = Exchange::new(&config)?;
        Ok(Self { exchange, credentials: config.credentials, authorizations: Mutex::default() })
    }

    /// The image of a reference for a platform. Of an index it is the first that fits.
    ///
    /// # Errors
    /// When the registry does not serve it, or serves something else.
    pub async fn manifest(&self, reference: &Reference, platform: &Platform) -> Result<Image, ManifestError> {
        let name = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or_default().to_owned(),
        };
        let (mut text, media_type) = self.document(reference, "manifests", &name, None).await?;
        let mut digest = match reference.digest() {
            Some(digest) if digest.is_of(&text) => *digest,
            Some(digest) => return Err(ManifestError::Digest(*digest)),
            None => Digest::sha256(&text),
        };
        let mut media_type = media_type;
        for _ in 0..MAX_DEPTH {
            let unusable = |error| ManifestError::Image(digest.to_string(), error);
            match Document::parse(&text, media_type.as_deref()).map_err(unusable)? {
                Document::Index(entries) => {
                    let chosen = choose(&entries, platform).map_err(unusable)?;
                    text = self.named_document(reference, "manifests", &chosen).await?;
                    digest = chosen.digest;
                    media_type = Some(chosen.media_type);
                }
                Document::Manifest(manifest) => {
                    let config = self.named_document(reference, "blobs", &manifest.config).await?;
                    let max_layer_bytes = self.exchange.limits.max_layer_bytes;
                    return manifest.into_image(digest, &config, platform, max_layer_bytes).map_err(unusable);
                }
            }
        }
        Err(ManifestError::TooDeep)
    }

    /// The bytes of a blob of the reference's repository.
    ///
    /// # Errors
    /// When the registry does not serve it. What it serves is verified while it is read.
    pub async fn blob(&self, reference: &Reference, descriptor: &Descriptor) -> Result<Blob, BlobError> {
        let expected_bytes = descriptor.size_bytes;
        let path = format!("blobs/{}", descriptor.digest);
        let answer = self.fetch(reference, &path, &[]).await.map_err(BlobError::Fetch)?;
        if let Some(announced_bytes) =
            announced_bytes(&answer).filter(|&announced| announced != expected_bytes)
        {
            return Err(BlobError::Announced { announced_bytes, expected_bytes });
        }
        let body = Body::new(answer, &self.exchange.limits, expected_bytes);
        Ok(Blob::new(body, descriptor.digest, expected_bytes))
    }

    /// A document that is named by its digest, and has it.
    async fn named_document(
        &self,
        reference: &Reference,
        kind: &str,
        descriptor: &Descriptor,
    ) -> Result<Vec<u8>, ManifestError> {
        let expected_bytes = descriptor.size_bytes;
        if expected_bytes > MAX_DOCUMENT_BYTES {
            return Err(ManifestError::TooLarge(expected_bytes));
        }
        let name = descriptor.digest.to_string();
        let (text, _) = self.document(reference, kind, &name, Some(expected_bytes)).await?;
        let actual_bytes = text.len() as u64;
        if actual_bytes != expected_bytes {
            return Err(ManifestError::Size { actual_bytes, expected_bytes });
        }
        if !descriptor.digest.is_of(&text) {
            return Err(ManifestError::Digest(descriptor.digest));
        }
        Ok(text)
    }

    /// A document of whatever content, and the media type that the registry gives it.
    async fn document(
        &self,
        reference: &Reference,
        kind: &str,
        name: &str,
        size_bytes: Option<u64>,
    ) -> Result<(Vec<u8>, Option<String>), ManifestError> {
        let accept = if kind == "manifests" { MANIFEST_TYPES } else { &[] };
        let answer = self.fetch(reference, &format!("{kind}/{name}"), accept).await;
        let answer = answer.map_err(|error| ManifestError::Fetch(name.to_owned(), error))?;
        let media_type = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.map(|value| value.split(';').next().unwrap_or(value).trim().to_owned());
        let limit_bytes = size_bytes.unwrap_or(MAX_DOCUMENT_BYTES);
        let text = Body::new(answer, &self.exchange.limits, limit_bytes).read_all(limit_bytes).await;
        Ok((text.map_err(|error| ManifestError::Read(name.to_owned(), error))?, media_type))
    }

    /// Asks the registry, and once more with what it wants to know.
    async fn fetch(
        &self,
        reference: &Reference,
        path: &str,
        accept: &[&'static str],
    ) -> Result<Answer, FetchError> {
        let host = reference.api_host();
        let scheme = self.exchange.scheme_for(&host);
        let url = Url::new(scheme, host, &format!("/v2/{}/{path}", reference.repository()));
        let url = url.map_err(|error| FetchError::Exchange(ExchangeError::Url(error)))?;
        let remembered = self.remembered(reference);
        let answer = self.get(&url, accept, remembered.as_ref()).await?;
        if answer.status != StatusCode::UNAUTHORIZED || !answer.is_direct {
            return finished(answer);
        }
        let anonymous = Credentials::Anonymous;
        let credentials = self.credentials.get(reference.registry()).unwrap_or(&anonymous);
        let authorization =
            self.exchange.authorize(&url, reference.repository(), credentials, &answer.headers);
        let authorization = authorization.await.map_err(FetchError::Authenticate)?;
        let answer = self.get(&url, accept, Some(&authorization)).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(FetchError::Unauthorized);
        }
        self.remember(reference, authorization);
        finished(answer)
    }

    async fn get(
        &self,
        url: &Url,
        accept: &[&'static str],
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, FetchError> {
        self.exchange.get(url, accept, authorization).await.map_err(FetchError::Exchange)
    }

    fn remembered(&self, reference: &Reference) -> Option<HeaderValue> {
        let authorizations = self.authorizations.lock().unwrap_or_else(PoisonError::into_inner);
        authorizations.get(&repository_key(reference)).cloned()
    }

    fn remember(&self, reference: &Reference, authorization: HeaderValue) {
        let mut authorizations = self.authorizations.lock().unwrap_or_else(PoisonError::into_inner);
        if authorizations.len() >= MAX_AUTHORIZATIONS {
            authorizations.clear();
        }
        authorizations.insert(repository_key(reference), authorization);
    }
}

fn repository_key(reference: &Reference) -> (Authority, String) {
    (reference.registry().clone(), reference.repository().to_owned())
}

/// The answer with what was asked for.
fn finished(answer: Answer) -> Result<Answer, FetchError> {
    match answer.status {
        StatusCode::OK => Ok(answer),
        StatusCode::NOT_FOUND => Err(FetchError::NotFound),
        StatusCode::UNAUTHORIZED => Err(FetchError::Unauthorized),
        status => Err(FetchError::Status(status)),
    }
}

/// How many bytes the answer says that its body has.
fn announced_bytes(answer: &Answer) -> Option<u64> {
    hyper::body::Body::size_hint(&answer.body).exact()
}
