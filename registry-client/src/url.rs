//! Where requests go: `http` and `https` URLs and what redirects make of them (RFC 3986, 5).

use std::fmt;

use hyper::http::uri::PathAndQuery;

use crate::authority::{Authority, ParseAuthorityError};

/// The most bytes of a URL. Signed ones of object stores have about 2 KiB.
const MAX_BYTES: usize = 8 * 1024;

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A URL without user and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    pub(crate) path: PathAndQuery,
}

/// Why a text is no URL that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseUrlError {
    /// Too long, or with other characters than visible ASCII ones.
    #[error("the URL is longer than {MAX_BYTES} bytes or has characters that no URL has")]
    Characters,
    /// Neither `http` nor `https`.
    #[error("the URL is neither of http nor of https")]
    Scheme,
    /// The host is malformed.
    #[error("the host of the URL is malformed")]
    Authority(#[source] ParseAuthorityError),
    /// The path is malformed, or relative to another.
    #[error("the path of the URL is malformed")]
    Path,
}

impl Url {
    /// The URL of a path of a host.
    pub(crate) fn new(scheme: Scheme, authority: Authority, path: &str) -> Result<Self, ParseUrlError> {
        let path = PathAndQuery::try_from(path).map_err(|_| ParseUrlError::Path)?;
        Ok(Self { scheme, authority, path })
    }

    /// An absolute URL.
    pub(crate) fn parse(text: &str) -> Result<Self, ParseUrlError> {
        let text = checked(text)?;
        let (scheme, rest) = text.split_once("://").ok_or(ParseUrlError::Scheme)?;
        let scheme = match scheme {
            _ if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
            _ if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
            _ => return Err(ParseUrlError::Scheme),
        };
        Self::of_authority(scheme, rest)
    }

    /// What this URL's answer means by `location`: another URL, or a path of the same host.
    pub(crate) fn join(&self, location: &str) -> Result<Self, ParseUrlError> {
        let location = checked(location)?;
        match location.strip_prefix("//") {
            Some(rest) => Self::of_authority(self.scheme, rest),
            None if location.starts_with('/') => Self::new(self.scheme, self.authority.clone(), location),
            None => Self::parse(location),
        }
    }

    /// The URL with what follows `https://`.
    fn of_authority(scheme: Scheme, rest: &str) -> Result<Self, ParseUrlError> {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let authority = authority.parse().map_err(ParseUrlError::Authority)?;
        let slash = if path.starts_with('/') { "" } else { "/" };
        Self::new(scheme, authority, &format!("{slash}{path}"))
    }

    /// The port, also where it is the usual one.
    pub(crate) fn port(&self) -> u16 {
        self.authority.port().unwrap_or(self.scheme.default_port())
    }

    /// Whether both name one server: scheme, host and port (RFC 6454).
    pub(crate) fn has_origin_of(&self, other: &Self) -> bool {
        let origin = |url: &Self| (url.scheme, url.authority.host().to_owned(), url.port());
        origin(self) == origin(other)
    }
}

/// The text up to the fragment, which stays with who asks.
fn checked(text: &str) -> Result<&str, ParseUrlError> {
    if text.len() > MAX_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(ParseUrlError::Characters);
    }
    Ok(text.split('#').next().unwrap_or(text))
}

impl fmt::Display for Url {
    /// Without the query, which may carry a signature that is as good as a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}{}", self.authority, self.path.path())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn locations_are_joined() {
        let base = url("https://registry.example:5000/v2/app/blobs/x?y=z");
        for (location, expected, query) in [
            ("https://cdn.example/blob?sign=1#part", "https://cdn.example/blob", Some("sign=1")),
            ("HTTP://cdn.example", "http://cdn.example/", None),
            ("//cdn.example?a", "https://cdn.example/", Some("a")),
            ("/v2/other", "https://registry.example:5000/v2/other", None),
        ] {
            let joined = base.join(location).unwrap();
            assert_eq!((joined.to_string().as_str(), joined.path.query()), (expected, query));
        }
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        use ParseUrlError as Error;
        let long = format!("/{}", "a".repeat(MAX_BYTES));
        for (location, expected) in [
            ("ftp://host/x", Error::Scheme),
            ("blob", Error::Scheme),
            ("", Error::Scheme),
            ("https://user:password@host/", Error::Authority(ParseAuthorityError::Port)),
            ("https://user@host/", Error::Authority(ParseAuthorityError::Host)),
            ("https:///x", Error::Authority(ParseAuthorityError::Host)),
            ("/a b", Error::Characters),
            ("/a\r\nHost: b", Error::Characters),
            ("/é", Error::Characters),
            ("/\\evil", Error::Characters),
            (&long, Error::Characters),
        ] {
            assert_eq!(url("https://host/").join(location), Err(expected), "{location}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let base = url("https://host/a");
        assert!(base.has_origin_of(&url("https://HOST:443/b")));
        for other in ["http://host/a", "https://host:444/a", "https://a.host/a"] {
            assert!(!base.has_origin_of(&url(other)), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_location_does_harm(location in "\\PC{0,60}|(https?:)?/{0,2}[a-z.:@/?#\\[\\]%-]{0,40}") {
            if let Ok(joined) = url("https://host/").join(&location) {
                prop_assert!(joined.path.as_str().starts_with('/'));
            }
        }
    }
}
