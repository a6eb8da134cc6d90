//! A client of image registries (OCI Distribution Specification 1.1) for networks that lie.
//!
//! An answer counts when it has the digest that was asked for, and where only a tag was given, the digest that it has is
//! told. Everything is bounded: sizes, the number of redirects and layers, and how long anybody waits. Bytes travel over
//! TLS, by whatever connection [`Connect`] opens; plain HTTP goes to loopback addresses alone, and only when asked for.
#![forbid(unsafe_code)]

mod authority;
mod blob;
mod challenge;
mod client;
mod config;
mod connect;
mod credentials;
mod digest;
mod exchange;
mod image;
mod logins;
mod reference;
mod tls;
mod token;
mod url;

pub use authority::{Authority, ParseAuthorityError};
pub use blob::{Blob, BlobError, ReadError};
pub use challenge::{Challenge, ParseChallengeError, parse_challenges};
pub use client::{Client, FetchError, ManifestError};
pub use config::{ClientConfig, Limits};
#[cfg(feature = "tcp")]
pub use connect::Tcp;
pub use connect::{Connect, ConnectError, HttpProxy, Stream};
pub use credentials::{Credentials, Secret};
pub use digest::{Digest, ParseDigestError};
pub use exchange::{BodyError, ExchangeError};
pub use image::{Compression, Descriptor, Image, ImageConfig, ImageError, Layer, Platform, ProcessConfig};
pub use logins::{Logins, LoginsError};
pub use reference::{ParseReferenceError, Reference};
pub use tls::{ConfigError, TrustAnchors};
pub use token::AuthenticateError;
pub use url::ParseUrlError;
