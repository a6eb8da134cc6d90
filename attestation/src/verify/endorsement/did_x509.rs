//! The one form of `did:x509` that endorsers use: an authority's SHA-256 and a key purpose of the signer
//! (<https://github.com/microsoft/did-x509/blob/main/specification.md>).

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use x509_cert::der::asn1::ObjectIdentifier;

/// Why an issuer's name is not supported.
#[derive(Debug, thiserror::Error)]
pub enum ParseIssuerError {
    /// Another DID method, version, hash or predicate.
    #[error("expected did:x509:0:sha256:FINGERPRINT::eku:OID")]
    Form,
    /// The fingerprint is malformed.
    #[error("the fingerprint is not 32 bytes in base64url")]
    Fingerprint,
    /// The key purpose is malformed.
    #[error("the key purpose is not an object identifier")]
    Purpose,
}

/// A signer's name.
pub(super) struct Issuer {
    /// SHA-256 of an authority above the signer.
    pub(super) authority_sha256: [u8; 32],
    /// A key purpose that the signer's certificate has.
    pub(super) purpose: ObjectIdentifier,
}

impl FromStr for Issuer {
    type Err = ParseIssuerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (fingerprint, purpose) = text
            .strip_prefix("did:x509:0:sha256:")
            .and_then(|rest| rest.split_once("::eku:"))
            .ok_or(ParseIssuerError::Form)?;
        let authority_sha256 = URL_SAFE_NO_PAD
            .decode(fingerprint)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(ParseIssuerError::Fingerprint)?;
        let purpose = ObjectIdentifier::new(purpose).map_err(|_| ParseIssuerError::Purpose)?;
        Ok(Self { authority_sha256, purpose })
    }
}
