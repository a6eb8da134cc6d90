//! References to images: `host[:port]/repository[:tag][@digest]`, with the short names of Docker Hub
//! (the grammar is that of the distribution project's `reference` package).

use std::fmt;
use std::str::FromStr;

use crate::authority::{Authority, ParseAuthorityError};
use crate::digest::{Digest, ParseDigestError};

/// The most bytes of host and repository together.
const MAX_NAME_BYTES: usize = 255;
/// The most bytes of a tag.
const MAX_TAG_BYTES: usize = 128;
/// The registry of names that have none.
pub(crate) const DOCKER_HUB: &str = "docker.io";
/// An older name of it.
pub(crate) const DOCKER_HUB_INDEX: &str = "index.docker.io";
/// Where its images are.
pub(crate) const DOCKER_HUB_API: &str = "registry-1.docker.io";
/// Where the images of Docker Hub are that belong to nobody.
const DOCKER_HUB_LIBRARY: &str = "library/";

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: Authority,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is no reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseReferenceError {
    /// The text is empty.
    #[error("there is no repository")]
    Empty,
    /// Host and repository are too long.
    #[error("host and repository have more than {MAX_NAME_BYTES} bytes")]
    TooLong,
    /// The first part looks like a host and is none.
    #[error("the registry is malformed")]
    Registry(#[source] ParseAuthorityError),
    /// A path component is not lower-case letters and digits with single separators between.
    #[error("the repository is malformed")]
    Repository,
    /// A short name that cannot be told from the id of an image.
    #[error("64 hexadecimal digits are no repository")]
    LooksLikeId,
    /// The tag has other characters than letters, digits, `_`, `.` and `-`, or too many.
    #[error("the tag is malformed")]
    Tag,
    /// The digest is malformed or of another algorithm.
    #[error("the digest is malformed")]
    Digest(#[source] ParseDigestError),
}

impl Reference {
    /// The registry.
    #[must_use]
    pub const fn registry(&self) -> &Authority {
        &self.registry
    }

    /// The repository in the registry: path components with `/` between.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` where neither a tag nor a digest was given.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest that the manifest must have.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same image, named by the digest of its manifest alone.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The host that serves the registry's interface.
    pub(crate) fn api_host(&self) -> Authority {
        match self.registry.host() {
            DOCKER_HUB if self.registry.port().is_none() => {
                DOCKER_HUB_API.parse().unwrap_or_else(|_| self.registry.clone())
            }
            _ => self.registry.clone(),
        }
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (text, digest) = match text.split_once('@') {
            Some((text, digest)) => (text, Some(digest.parse().map_err(ParseReferenceError::Digest)?)),
            None => (text, None),
        };
        // The port of a registry is followed by a path, a tag by nothing.
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (text, None),
        };
        if name.is_empty() {
            return Err(ParseReferenceError::Empty);
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(ParseReferenceError::TooLong);
        }
        let (registry, repository) = split_name(name)?;
        // What a short name stands for counts: it is what is written again.
        if format!("{registry}/{repository}").len() > MAX_NAME_BYTES {
            return Err(ParseReferenceError::TooLong);
        }
        if !repository.split('/').all(is_path_component) {
            return Err(ParseReferenceError::Repository);
        }
        let tag = match (tag, digest) {
            (Some(tag), _) if is_tag(tag) => Some(tag.to_owned()),
            (Some(_), _) => return Err(ParseReferenceError::Tag),
            (None, None) => Some("latest".to_owned()),
            (None, Some(_)) => None,
        };
        Ok(Self { registry, repository, tag, digest })
    }
}

/// The registry and the repository of a name, of which Docker Hub's may be short.
fn split_name(name: &str) -> Result<(Authority, String), ParseReferenceError> {
    // Others take capitals for a sign of a host, too. In lower case, as hosts are compared, it would be another name.
    let looks_like_host = |first: &str| first.contains(['.', ':', '[']) || first == "localhost";
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if looks_like_host(first) => {
            (first.parse::<Authority>().map_err(ParseReferenceError::Registry)?, path)
        }
        _ => (DOCKER_HUB.parse().map_err(ParseReferenceError::Registry)?, name),
    };
    let is_hub = matches!(registry.host(), DOCKER_HUB | DOCKER_HUB_INDEX) && registry.port().is_none();
    if !is_hub {
        return Ok((registry, path.to_owned()));
    }
    let is_id = path.len() == 64 && path.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_id {
        return Err(ParseReferenceError::LooksLikeId);
    }
    let library = if path.contains('/') { "" } else { DOCKER_HUB_LIBRARY };
    let registry = DOCKER_HUB.parse().map_err(ParseReferenceError::Registry)?;
    Ok((registry, format!("{library}{path}")))
}

/// Whether it is lower-case letters and digits, with one of `.`, `_`, `__` or dashes between.
fn is_path_component(component: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends_in_words =
        |bytes: &[u8]| bytes.first().is_some_and(is_word) && bytes.last().is_some_and(is_word);
    let mut separators = component.as_bytes().split(is_word);
    ends_in_words(component.as_bytes())
        && separators.all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|&byte| byte == b'-')
        })
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=MAX_TAG_BYTES).contains(&tag.len())
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
