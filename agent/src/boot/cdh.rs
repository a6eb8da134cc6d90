//! What a tenant says in initdata about pulls: `cdh.toml`, the configuration of the confidential data hub of CoCo's
//! guests, whose part in pulling images this agent has itself.
//!
//! What is not followed keeps the door shut. Attack: a tenant who asked for a check, and a guest that makes none.

use std::collections::BTreeMap;

use proto::kata::address::ServerAddress;
use registry_client::{Authority, Credentials, Logins, LoginsError, TrustAnchors};
use toml::{Table, Value};

use super::policy::line_of;
use crate::pull::PullConfig;

/// Its name in initdata.
const FILE: &str = "cdh.toml";
/// Where Kata's guests keep files of initdata.
const INITDATA_FOLDER: &str = "file:///run/confidential-containers/initdata/";

/// Keys of CoCo's hub that are not followed, and why.
const NOT_FOLLOWED: [(&str, &str); 11] = [
    ("credentials", NO_KEYS),
    ("image.anonymous_fallback_on_unauthorized", "a registry that refuses is not asked again"),
    ("image.image_pull_proxy.http_proxy", "registries are spoken to over TLS alone"),
    ("image.image_pull_proxy.no_proxy", NO_NETWORK),
    ("image.image_security_policy", NO_SIGNATURES),
    ("image.image_security_policy_uri", NO_SIGNATURES),
    ("image.registry_config", NO_MIRRORS),
    ("image.registry_configuration_uri", NO_MIRRORS),
    ("image.sigstore_config", NO_SIGNATURES),
    ("image.sigstore_config_uri", NO_SIGNATURES),
    ("image.skip_proxy_ips", NO_NETWORK),
];
const NO_KEYS: &str = "no key service is asked for anything";
const NO_MIRRORS: &str = "images are taken from the registry that they are named after";
const NO_NETWORK: &str = "the guest has no way to a registry but through its proxy";
const NO_SIGNATURES: &str =
    "images are judged by the policy's root hashes, and their signatures are not looked at";

/// What initdata says about pulls.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PullSettings {
    proxy: Option<ServerAddress>,
    /// Certificates of further authorities: texts in PEM.
    authorities: Vec<Vec<u8>>,
    credentials: BTreeMap<Authority, Credentials>,
}

/// Why what initdata says about pulls cannot be followed. No message repeats a value: there may be logins in it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CdhError {
    #[error("{FILE} is not TOML at line {line}")]
    Parse { line: usize },
    #[error("{FILE} has the unknown key `{0}`")]
    Unknown(String),
    #[error("{FILE} has `{key}`, but {reason}")]
    NotFollowed { key: String, reason: &'static str },
    #[error("`{key}` in {FILE} is not {expected}")]
    Value { key: &'static str, expected: &'static str },
    #[error("{FILE} names another proxy than the command line")]
    OtherProxy,
    #[error("initdata has no file {0:?} with logins")]
    NoLogins(String),
    #[error("the logins in initdata cannot be used")]
    Logins(#[source] LoginsError),
}

impl PullSettings {
    /// Reads the settings among files of initdata; without the file there are none.
    pub(super) fn of_initdata(files: &BTreeMap<String, String>) -> Result<Self, CdhError> {
        let Some(text) = files.get(FILE) else { return Ok(Self::default()) };
        let hub: Table = text
            .parse()
            .map_err(|error: toml::de::Error| CdhError::Parse { line: line_of(text.as_bytes(), &error) })?;
        let mut settings = Self::default();
        for (key, value) in &hub {
            match (key.as_str(), value) {
                ("image", Value::Table(image)) => settings.read_image(image, files)?,
                ("image", _) => return Err(CdhError::Value { key: "image", expected: "a table" }),
                ("credentials", Value::Array(credentials)) if credentials.is_empty() => {}
                // Who releases keys, and where the hub serves: neither is asked for anything here.
                ("kbc" | "socket", _) => {}
                (key, _) => return Err(not_followed(key.to_owned())),
            }
        }
        Ok(settings)
    }

    fn read_image(&mut self, image: &Table, files: &BTreeMap<String, String>) -> Result<(), CdhError> {
        for (key, value) in image {
            match key.as_str() {
                "extra_root_certificates" => self.authorities = authorities(value)?,
                "image_pull_proxy" => self.proxy = proxy(value)?,
                "authenticated_registry_credentials_uri" => self.credentials = credentials(value, files)?,
                // Layers are fetched one after the other, which every bound allows.
                "max_concurrent_layer_downloads_per_image" if value.as_integer() > Some(0) => {}
                "max_concurrent_layer_downloads_per_image" => {
                    let key = "image.max_concurrent_layer_downloads_per_image";
                    return Err(CdhError::Value { key, expected: "a number above 0" });
                }
                key => return Err(not_followed(format!("image.{key}"))),
            }
        }
        Ok(())
    }

    /// The way to registries that these settings and what was measured at launch make together.
    pub(super) fn complete(self, measured: Option<PullConfig>) -> Result<Option<PullConfig>, CdhError> {
        let mut config = match (measured, self.proxy) {
            (Some(measured), Some(other)) if measured.proxy != other => return Err(CdhError::OtherProxy),
            (Some(measured), _) => measured,
            (None, Some(proxy)) => PullConfig::through(proxy),
            (None, None) => return Ok(None),
        };
        config.credentials.extend(self.credentials);
        if !self.authorities.is_empty() {
            config.trust_anchors = TrustAnchors::MozillaAnd(self.authorities);
        }
        Ok(Some(config))
    }
}

fn not_followed(key: String) -> CdhError {
    match NOT_FOLLOWED.iter().find(|(known, _)| *known == key) {
        Some((_, reason)) => CdhError::NotFollowed { key, reason },
        None => CdhError::Unknown(key),
    }
}

fn authorities(value: &Value) -> Result<Vec<Vec<u8>>, CdhError> {
    let texts = value
        .as_array()
        .map(|texts| texts.iter().map(|text| text.as_str().map(|text| text.as_bytes().to_vec())).collect());
    let expected = "an array of certificates in PEM";
    texts.flatten().ok_or(CdhError::Value { key: "image.extra_root_certificates", expected })
}

/// CoCo's name for the proxy is that of the protocol that is carried.
fn proxy(value: &Value) -> Result<Option<ServerAddress>, CdhError> {
    let wrong = |key, expected| CdhError::Value { key, expected };
    let table = value.as_table().ok_or(wrong("image.image_pull_proxy", "a table"))?;
    if let Some(other) = table.keys().find(|key| *key != "https_proxy") {
        return Err(not_followed(format!("image.image_pull_proxy.{other}")));
    }
    let Some(proxy) = table.get("https_proxy") else { return Ok(None) };
    match proxy.as_str().and_then(|address| address.parse().ok()) {
        Some(address @ ServerAddress::Vsock { .. }) => Ok(Some(address)),
        _ => Err(wrong("image.image_pull_proxy.https_proxy", "`vsock://CID:PORT`")),
    }
}

/// Logins are in a file of initdata, which the host reads: they keep nothing from it. Those that do come with a key.
fn credentials(
    value: &Value,
    files: &BTreeMap<String, String>,
) -> Result<BTreeMap<Authority, Credentials>, CdhError> {
    let key = "image.authenticated_registry_credentials_uri";
    let uri = value.as_str().unwrap_or_default();
    if uri.starts_with("kbs://") {
        return Err(CdhError::NotFollowed { key: key.to_owned(), reason: NO_KEYS });
    }
    let expected = "`file:///run/confidential-containers/initdata/FILE` or `kbs://` and a resource";
    let name = uri.strip_prefix(INITDATA_FOLDER).ok_or(CdhError::Value { key, expected })?;
    let text = files.get(name).ok_or_else(|| CdhError::NoLogins(name.to_owned()))?;
    Logins::parse(text).and_then(|logins| logins.all()).map_err(CdhError::Logins)
}

#[cfg(test)]
mod tests;
