//! Protected headers. Unprotected ones are nobody's word, so nothing here reads them.

use super::algorithm::Algorithm;
use crate::cbor::{Item, Map};

/// Labels of headers (IANA, "COSE Header Parameters") and of CWT claims (RFC 8392).
pub(crate) mod label {
    pub(crate) const ALGORITHM: i64 = 1;
    pub(crate) const CRITICAL: i64 = 2;
    pub(crate) const CONTENT_TYPE: i64 = 3;
    pub(crate) const KEY_ID: i64 = 4;
    /// CWT claims in a header (RFC 9597).
    pub(crate) const CWT_CLAIMS: i64 = 15;
    pub(crate) const X5CHAIN: i64 = 33;
    /// Receipts of ledgers, in the unprotected header (RFC 9942).
    pub(crate) const RECEIPTS: i64 = 394;
    /// Which verifiable data structure a receipt is of.
    pub(crate) const DATA_STRUCTURE: i64 = 395;
    /// The proofs of a receipt, in its unprotected header.
    pub(crate) const PROOFS: i64 = 396;
    pub(crate) const CLAIM_ISSUER: i64 = 1;
    pub(crate) const CLAIM_SUBJECT: i64 = 2;
    /// Security version, a claim of confidential containers.
    pub(crate) const CLAIM_SVN: &str = "svn";
    pub(crate) const ISSUER: &str = "iss";
    pub(crate) const FEED: &str = "feed";
}

/// Headers that are understood here, so that a signer may call them critical.
const UNDERSTOOD: [i64; 5] =
    [label::ALGORITHM, label::CONTENT_TYPE, label::KEY_ID, label::CWT_CLAIMS, label::X5CHAIN];
const UNDERSTOOD_NAMES: [&str; 2] = [label::ISSUER, label::FEED];

/// Why a protected header is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Not of the type it must have.
    #[error("{0} has another type or value than it may have")]
    Malformed(&'static str),
    /// A signature algorithm that is not supported.
    #[error("signature algorithm {0} is not supported")]
    Algorithm(i128),
    /// A header that the signer wants to be understood is not.
    #[error("a critical header is not understood, or not there")]
    Critical,
    /// CWT claims and the older text headers say different things.
    #[error("the CWT claims and the text header {0} contradict each other")]
    Conflict(&'static str),
}

/// Who says it, about what, and in which version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) issuer: String,
    pub(crate) feed: String,
    pub(crate) svn: Option<u64>,
}

/// The protected headers of one structure.
#[derive(Debug)]
pub(crate) struct Headers<'a>(Map<'a>);

impl<'a> Headers<'a> {
    /// Takes the headers of a structure when those that are critical are understood (RFC 9052, 3.1).
    pub(super) fn new(map: Map<'a>) -> Result<Self, HeaderError> {
        if let Some(critical) = map.number(label::CRITICAL) {
            let labels = critical.as_array().filter(|labels| !labels.is_empty());
            let understood = labels.ok_or(HeaderError::Malformed("crit"))?.iter().all(|critical| {
                let known = match critical {
                    Item::Integer(number) => UNDERSTOOD.iter().any(|known| i128::from(*known) == *number),
                    Item::Text(name) => UNDERSTOOD_NAMES.contains(name),
                    _ => false,
                };
                known && map.get(critical).is_some()
            });
            if !understood {
                return Err(HeaderError::Critical);
            }
        }
        Ok(Self(map))
    }

    pub(crate) fn algorithm(&self) -> Result<Algorithm, HeaderError> {
        let number = self
            .0
            .number(label::ALGORITHM)
            .ok_or(HeaderError::Missing("alg"))?
            .as_integer()
            .ok_or(HeaderError::Malformed("alg"))?;
        Algorithm::from_number(number).ok_or(HeaderError::Algorithm(number))
    }

    /// The media type; a number of the CoAP registry is kept as its digits, which is no media type.
    pub(crate) fn content_type(&self) -> Result<Option<String>, HeaderError> {
        match self.0.number(label::CONTENT_TYPE) {
            None => Ok(None),
            Some(Item::Text(text)) => Ok(Some((*text).to_owned())),
            Some(Item::Integer(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(HeaderError::Malformed("content type")),
        }
    }

    pub(crate) fn key_id(&self) -> Result<&'a [u8], HeaderError> {
        let id = self.0.number(label::KEY_ID).ok_or(HeaderError::Missing("kid"))?;
        id.as_bytes().ok_or(HeaderError::Malformed("kid"))
    }

    pub(crate) fn data_structure(&self) -> Result<i128, HeaderError> {
        let number = self.0.number(label::DATA_STRUCTURE).ok_or(HeaderError::Missing("vds"))?;
        number.as_integer().ok_or(HeaderError::Malformed("vds"))
    }

    /// DER certificates, the signer's first: one byte string, or an array of them (RFC 9360, 2).
    pub(crate) fn certificates(&self) -> Result<Vec<&'a [u8]>, HeaderError> {
        const MALFORMED: HeaderError = HeaderError::Malformed("x5chain");
        match self.0.number(label::X5CHAIN).ok_or(HeaderError::Missing("x5chain"))? {
            Item::Bytes(certificate) => Ok(vec![certificate]),
            Item::Array(certificates) if !certificates.is_empty() => {
                certificates.iter().map(|certificate| certificate.as_bytes().ok_or(MALFORMED)).collect()
            }
            _ => Err(MALFORMED),
        }
    }

    /// Issuer, feed and security version: CWT claims, or the text headers that came before them. Both are accepted when
    /// they say the same; a reader of one must not be told something else than a reader of the other.
    pub(crate) fn claims(&self) -> Result<Claims, HeaderError> {
        let claims = match self.0.number(label::CWT_CLAIMS) {
            None => None,
            Some(Item::Map(claims)) => Some(claims),
            Some(_) => return Err(HeaderError::Malformed("CWT claims")),
        };
        let one = |number: i64, name: &'static str| {
            let claim = claims.and_then(|claims| claims.number(number));
            match (claim.map(Item::as_text), self.0.name(name).map(Item::as_text)) {
                (Some(None), _) | (_, Some(None)) => Err(HeaderError::Malformed(name)),
                (Some(Some(claim)), Some(Some(header))) if claim != header => {
                    Err(HeaderError::Conflict(name))
                }
                (Some(Some("")), _) | (None, Some(Some("")) | None) => Err(HeaderError::Missing(name)),
                (Some(Some(text)), _) | (None, Some(Some(text))) => Ok(text.to_owned()),
            }
        };
        let svn = match claims.and_then(|claims| claims.name(label::CLAIM_SVN)) {
            None => None,
            // As far as a 64-bit signed number goes: what the version is compared with is one.
            Some(Item::Integer(svn)) => {
                let svn = i64::try_from(*svn).ok().and_then(|svn| u64::try_from(svn).ok());
                Some(svn.ok_or(HeaderError::Malformed(label::CLAIM_SVN))?)
            }
            Some(_) => return Err(HeaderError::Malformed(label::CLAIM_SVN)),
        };
        Ok(Claims {
            issuer: one(label::CLAIM_ISSUER, label::ISSUER)?,
            feed: one(label::CLAIM_SUBJECT, label::FEED)?,
            svn,
        })
    }

    /// The issuer alone, of CWT claims alone: what a receipt has.
    pub(crate) fn claimed_issuer(&self) -> Result<&'a str, HeaderError> {
        self.0
            .number(label::CWT_CLAIMS)
            .and_then(Item::as_map)
            .and_then(|claims| claims.number(label::CLAIM_ISSUER))
            .and_then(Item::as_text)
            .ok_or(HeaderError::Missing("iss"))
    }
}
