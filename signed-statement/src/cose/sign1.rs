//! The structure of `COSE_Sign1` (RFC 9052, 4.2) and what its signature covers (4.4).

use super::headers::{HeaderError, Headers};
use crate::cbor::{self, CborError, Item, Map};

/// CBOR tag of a `COSE_Sign1`.
pub(crate) const TAG: u64 = 18;

/// Why bytes are not a `COSE_Sign1`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseSign1Error {
    /// Not CBOR.
    #[error("not acceptable CBOR")]
    Cbor(#[from] CborError),
    /// Not an array of four, under tag 18 or none.
    #[error("not an array of header, header, payload and signature")]
    Structure,
    /// The protected header is no CBOR map.
    #[error("the protected header is not acceptable CBOR")]
    Protected(#[source] CborError),
    /// A protected header is wrong.
    #[error("the protected header is not acceptable")]
    Header(#[from] HeaderError),
}

/// A parsed `COSE_Sign1`; the signature is not yet verified.
#[derive(Debug)]
pub(crate) struct Sign1<'a> {
    protected_bytes: &'a [u8],
    /// What the signer states.
    pub(crate) protected: Headers<'a>,
    /// What anybody on the way could put there.
    pub(crate) unprotected: Map<'a>,
    /// None when it is detached.
    pub(crate) payload: Option<&'a [u8]>,
    pub(crate) signature: &'a [u8],
}

impl<'a> Sign1<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ParseSign1Error> {
        let content = match cbor::read(bytes)? {
            Item::Tagged(TAG, content) => *content,
            other => other,
        };
        let Item::Array(items) = content else { return Err(ParseSign1Error::Structure) };
        let Ok([Item::Bytes(protected_bytes), Item::Map(unprotected), payload, Item::Bytes(signature)]) =
            <[Item<'_>; 4]>::try_from(items)
        else {
            return Err(ParseSign1Error::Structure);
        };
        let payload = match payload {
            Item::Bytes(payload) => Some(payload),
            Item::Null => None,
            _ => return Err(ParseSign1Error::Structure),
        };
        let protected = Headers::new(read_protected(protected_bytes)?)?;
        Ok(Self { protected_bytes, protected, unprotected, payload, signature })
    }

    /// `Sig_structure` over the protected header as it came, and `payload`.
    pub(crate) fn to_be_signed(&self, payload: &[u8]) -> Vec<u8> {
        to_be_signed(self.protected_bytes, payload)
    }

    /// The tagged envelope with an empty unprotected header: what a ledger registers.
    pub(crate) fn without_unprotected(&self) -> Vec<u8> {
        let mut out = Vec::new();
        cbor::tag(&mut out, TAG);
        cbor::array(&mut out, 4);
        cbor::bytes(&mut out, self.protected_bytes);
        cbor::map(&mut out, 0);
        match self.payload {
            Some(payload) => cbor::bytes(&mut out, payload),
            None => cbor::null(&mut out),
        }
        cbor::bytes(&mut out, self.signature);
        out
    }
}

/// `Sig_structure` of one signer, without further data (RFC 9052, 4.4).
pub(crate) fn to_be_signed(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    cbor::array(&mut out, 4);
    cbor::text(&mut out, "Signature1");
    cbor::bytes(&mut out, protected);
    cbor::bytes(&mut out, b"");
    cbor::bytes(&mut out, payload);
    out
}

/// No bytes stand for no headers.
fn read_protected(bytes: &[u8]) -> Result<Map<'_>, ParseSign1Error> {
    if bytes.is_empty() {
        return Ok(Map::default());
    }
    match cbor::read(bytes).map_err(ParseSign1Error::Protected)? {
        Item::Map(headers) => Ok(headers),
        _ => Err(ParseSign1Error::Structure),
    }
}
