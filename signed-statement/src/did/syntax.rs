//! The text of a name (specification, "DID Syntax").

use std::fmt;
use std::str::FromStr;

use super::resolve::DidError;

const PREFIX: &str = "did:x509:0:";
/// The hash functions of fingerprints.
const HASHES: [&str; 3] = ["sha256", "sha384", "sha512"];

/// A name of a signer. It says nothing until it was matched with a validated chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Did {
    text: String,
    pub(super) hash: String,
    pub(super) fingerprint: String,
    pub(super) predicates: Vec<(String, String)>,
}

impl Did {
    /// The text, without a fragment.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Did {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FromStr for Did {
    type Err = DidError;

    /// Reads a name. A fragment (`#..`) belongs to the document that the name resolves to, and is cut off.
    fn from_str(text: &str) -> Result<Self, DidError> {
        let text = text.split_once('#').map_or(text, |(name, _)| name);
        let rest = text.strip_prefix(PREFIX).ok_or(DidError::Prefix)?;
        match text.chars().find(|sign| matches!(sign, '/' | '?')) {
            Some('/') => return Err(DidError::Path),
            Some(_) => return Err(DidError::Query),
            None => {}
        }
        let mut parts = rest.split("::");
        let (hash, fingerprint) = parts
            .next()
            .and_then(|authority| authority.split_once(':'))
            .filter(|(_, fingerprint)| !fingerprint.contains(':'))
            .ok_or(DidError::Authority)?;
        if !HASHES.contains(&hash) {
            return Err(DidError::Hash);
        }
        let predicates: Vec<_> = parts.collect();
        if predicates.is_empty() {
            return Err(DidError::NoPredicate);
        }
        let predicates = predicates
            .into_iter()
            .map(|predicate| {
                let (name, value) = predicate.split_once(':').ok_or(DidError::PredicateValue)?;
                if is_value(value) {
                    Ok((name.to_owned(), value.to_owned()))
                } else {
                    Err(DidError::PredicateValue)
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            hash: hash.to_owned(),
            fingerprint: fingerprint.to_owned(),
            predicates,
        })
    }
}

/// `*(1*idchar ":") 1*idchar`
fn is_value(value: &str) -> bool {
    value.split(':').all(|part| !part.is_empty() && decode(part.as_bytes()).is_some())
}

/// Takes percent-encoding off, once (RFC 3986, 2.1); none for characters that must be encoded and are not.
pub(super) fn decode(encoded: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::new();
    let mut rest = encoded;
    while let Some((first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                decoded.push(digit(*high)? << 4 | digit(*low)?);
                after
            }
            _ if is_plain(*first) => {
                decoded.push(*first);
                after
            }
            _ => return None,
        };
    }
    Some(decoded)
}

/// Puts percent-encoding on, as [`decode`] takes it off.
#[cfg(feature = "sign")]
pub(super) fn encode(text: &str) -> String {
    let encode = |byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}

/// `idchar` but for encoded ones.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}
