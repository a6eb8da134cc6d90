//! Making signed statements: the other end of [`Envelope::verify`].

use p256::pkcs8::DecodePrivateKey as _;
use p384::ecdsa::signature::Signer as _;
use x509_cert::Certificate;
use x509_cert::der::Encode as _;

use crate::cbor;
use crate::cose::{TAG, label, to_be_signed};
use crate::{Envelope, ParseEnvelopeError, VerifyError};

/// What is to be said.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    /// `did:x509` of who says it; it must name the chain.
    pub issuer: &'a str,
    /// What it is about.
    pub feed: &'a str,
    /// The security version; greater is newer.
    pub svn: Option<u32>,
    /// The media type of the payload.
    pub content_type: &'a str,
    /// The statement itself.
    pub payload: &'a [u8],
}

/// Why a statement was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A private key is no ECDSA key of a supported curve.
    #[error("not a PKCS #8 or SEC 1 private key of P-256, P-384 or P-521 in PEM")]
    Key,
    /// The certificates are none.
    #[error("not certificates in PEM")]
    Chain(#[source] x509_cert::der::Error),
    /// What would be signed could not be read by anybody.
    #[error("the statement would not be readable")]
    Unreadable(#[source] ParseEnvelopeError),
    /// Key, chain and issuer do not belong together, or the chain is not a valid one.
    #[error("the statement would not be believed")]
    Unbelievable(#[source] VerifyError),
}

/// A private key. It is not shown, and zeroed when it is dropped.
pub struct SigningKey(Key);

enum Key {
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Reads a key in PEM: PKCS #8 (RFC 5958) or SEC 1 (RFC 5915), not encrypted.
    ///
    /// # Errors
    /// [`SignError::Key`].
    pub fn from_pem(pem: &str) -> Result<Self, SignError> {
        macro_rules! read {
            ($curve:ident, $variant:ident) => {
                let secret = $curve::SecretKey::from_pkcs8_pem(pem).ok();
                if let Some(secret) = secret.or_else(|| $curve::SecretKey::from_sec1_pem(pem).ok())
                    && let Ok(key) = $curve::ecdsa::SigningKey::from_bytes(&secret.to_bytes())
                {
                    return Ok(Self(Key::$variant(key)));
                }
            };
        }
        read!(p256, P256);
        read!(p384, P384);
        read!(p521, P521);
        Err(SignError::Key)
    }

    /// The number of its algorithm in COSE (RFC 9053, 2.1).
    fn algorithm(&self) -> i64 {
        match self.0 {
            Key::P256(_) => -7,
            Key::P384(_) => -35,
            Key::P521(_) => -36,
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.0 {
            Key::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Key::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Key::P521(key) => {
                let signature: p521::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
        }
    }
}

/// Reads a chain in PEM, the signer's certificate first.
///
/// # Errors
/// [`SignError::Chain`].
pub fn chain_from_pem(pem: &str) -> Result<Vec<Vec<u8>>, SignError> {
    let chain = Certificate::load_pem_chain(pem.as_bytes()).map_err(SignError::Chain)?;
    chain.iter().map(|certificate| certificate.to_der().map_err(SignError::Chain)).collect()
}

/// Signs a statement with `key`, whose certificate is the first of `chain` (DER, root last). The same input gives the same
/// bytes. What is returned has been verified as anybody would.
///
/// # Errors
/// [`SignError`]: nobody would believe it.
pub fn sign(statement: &Statement<'_>, chain: &[Vec<u8>], key: &SigningKey) -> Result<Vec<u8>, SignError> {
    let protected = protected_header(statement, chain, key);
    let signature = key.sign(&to_be_signed(&protected, statement.payload));
    let mut envelope = Vec::new();
    cbor::tag(&mut envelope, TAG);
    cbor::array(&mut envelope, 4);
    cbor::bytes(&mut envelope, &protected);
    cbor::map(&mut envelope, 0);
    cbor::bytes(&mut envelope, statement.payload);
    cbor::bytes(&mut envelope, &signature);
    let parsed = Envelope::parse(&envelope).map_err(SignError::Unreadable)?;
    parsed.verify().map_err(SignError::Unbelievable)?;
    Ok(envelope)
}

/// Issuer and feed stand twice: as CWT claims (RFC 9597), and as the text headers that older readers know.
fn protected_header(statement: &Statement<'_>, chain: &[Vec<u8>], key: &SigningKey) -> Vec<u8> {
    let mut header = Vec::new();
    cbor::map(&mut header, 6);
    cbor::integer(&mut header, label::ALGORITHM);
    cbor::integer(&mut header, key.algorithm());
    cbor::integer(&mut header, label::CONTENT_TYPE);
    cbor::text(&mut header, statement.content_type);
    cbor::integer(&mut header, label::CWT_CLAIMS);
    cbor::map(&mut header, if statement.svn.is_some() { 3 } else { 2 });
    cbor::integer(&mut header, label::CLAIM_ISSUER);
    cbor::text(&mut header, statement.issuer);
    cbor::integer(&mut header, label::CLAIM_SUBJECT);
    cbor::text(&mut header, statement.feed);
    if let Some(svn) = statement.svn {
        cbor::text(&mut header, label::CLAIM_SVN);
        cbor::integer(&mut header, svn.into());
    }
    cbor::integer(&mut header, label::X5CHAIN);
    cbor::array(&mut header, chain.len().try_into().unwrap_or(u64::MAX));
    for certificate in chain {
        cbor::bytes(&mut header, certificate);
    }
    cbor::text(&mut header, label::ISSUER);
    cbor::text(&mut header, statement.issuer);
    cbor::text(&mut header, label::FEED);
    cbor::text(&mut header, statement.feed);
    header
}

#[cfg(test)]
mod tests {
    use p384::pkcs8::{EncodePrivateKey as _, LineEnding};
    use statement_signer::{CertificateSpec, Curve, Identity, Key as KnownKey};

    use super::*;
    use crate::did::issuer_of;

    /// A signer of P-384 whose secret is 3, with its key in PEM.
    fn signer(name: &str) -> (Identity, String) {
        let root = Identity::root(&CertificateSpec::authority("Root"), KnownKey::new(Curve::P256, 1));
        let signer = root.issue(&CertificateSpec::signer(name), KnownKey::new(Curve::P384, 3));
        let mut secret = [0; 48];
        secret[47] = 3;
        let pem = p384::SecretKey::from_slice(&secret).unwrap().to_pkcs8_pem(LineEnding::LF).unwrap();
        (signer, pem.to_string())
    }

    fn statement<'a>(issuer: &'a str, payload: &'a [u8]) -> Statement<'a> {
        Statement { issuer, feed: "example.com/it", svn: Some(7), content_type: "application/json", payload }
    }

    #[test]
    fn what_is_signed_is_believed() {
        let (identity, pem) = signer("Some Signer: 1");
        let key = SigningKey::from_pem(&pem).unwrap();
        let issuer = issuer_of(&identity.chain).unwrap();
        assert!(issuer.ends_with("::subject:CN:Some%20Signer%3A%201"), "{issuer}");
        let envelope = sign(&statement(&issuer, b"{}"), &identity.chain, &key).unwrap();
        let verified = Envelope::parse(&envelope).unwrap().verify().unwrap();
        assert_eq!((verified.issuer(), verified.feed()), (issuer.as_str(), "example.com/it"));
        assert_eq!((verified.svn(), verified.payload()), (Some(7), &b"{}"[..]));
        assert_eq!(sign(&statement(&issuer, b"{}"), &identity.chain, &key).unwrap(), envelope);
    }

    #[test]
    fn what_nobody_would_believe_is_not_signed() {
        let (identity, pem) = signer("Signer");
        let key = SigningKey::from_pem(&pem).unwrap();
        let issuer = issuer_of(&identity.chain).unwrap();
        let other = issuer.replace("CN:Signer", "CN:Other");
        assert!(matches!(
            sign(&statement(&other, b""), &identity.chain, &key),
            Err(SignError::Unbelievable(VerifyError::Issuer { .. }))
        ));
        let reversed: Vec<_> = identity.chain.iter().rev().cloned().collect();
        assert!(matches!(sign(&statement(&issuer, b""), &reversed, &key), Err(SignError::Unbelievable(_))));
        let empty = Statement { feed: "", ..statement(&issuer, b"") };
        assert!(matches!(sign(&empty, &identity.chain, &key), Err(SignError::Unreadable(_))));
        assert!(matches!(SigningKey::from_pem("no key"), Err(SignError::Key)));
        assert!(chain_from_pem("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n").is_err());
    }
}
