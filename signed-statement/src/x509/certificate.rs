//! One certificate, read so that every byte counts.

use rsa::pkcs1::{RsaPssParams, TrailerField};
use x509_cert::Certificate as Syntax;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::oid::AssociatedOid as _;
use x509_cert::der::{self, Decode as _, Encode as _, Reader as _, SliceReader};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::extensions;
use crate::public_key::{Hash, KeyError, PublicKey, Scheme, SignatureError};

const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const SHA384_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const SHA512_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_WITH_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");

/// Why bytes are not an acceptable certificate.
#[derive(Debug, thiserror::Error)]
pub enum ParseCertificateError {
    /// Not DER, or not a certificate.
    #[error("not a DER certificate")]
    Der(#[from] der::Error),
    /// Another encoding of the same certificate, or bytes after it.
    #[error("not the canonical encoding")]
    NotCanonical,
    /// The unsigned algorithm identifier differs from the signed one.
    #[error("the outer signature algorithm differs from the signed one")]
    AlgorithmMismatch,
    /// An extension stands there twice.
    #[error("the extension {0} is there twice")]
    DuplicateExtension(ObjectIdentifier),
    /// A critical extension that the caller does not interpret.
    #[error("the critical extension {0} is not supported")]
    CriticalExtension(ObjectIdentifier),
}

/// Why a certificate was not issued by another.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The issuer's name is not the one in the certificate.
    #[error("the issuer's name differs")]
    Name,
    /// The issuer may not sign certificates.
    #[error("the issuer is not a certification authority")]
    NotAuthority,
    /// More authorities below the issuer than it allows.
    #[error("the issuer's path length is exceeded")]
    PathLength,
    /// The issuer's key is not supported.
    #[error("the issuer's key is not usable")]
    Key(#[source] KeyError),
    /// Another signature algorithm.
    #[error("the signature algorithm {0} or its parameters are not supported")]
    Algorithm(ObjectIdentifier),
    /// An extension is malformed.
    #[error("a malformed extension")]
    Extension(#[from] der::Error),
    /// The signature is wrong.
    #[error("the signature does not hold")]
    Signature(#[source] SignatureError),
}

/// A certificate and the exact bytes that its issuer signed.
#[derive(Clone, Debug)]
pub struct Certificate {
    der: Vec<u8>,
    signed: Vec<u8>,
    syntax: Syntax,
}

impl Certificate {
    /// Reads one certificate. Nothing is believed.
    ///
    /// # Errors
    /// When the bytes are not the one encoding of a certificate.
    pub fn parse(der: Vec<u8>) -> Result<Self, ParseCertificateError> {
        let syntax = Syntax::from_der(&der)?;
        if syntax.to_der()? != der {
            return Err(ParseCertificateError::NotCanonical);
        }
        if syntax.signature_algorithm != syntax.tbs_certificate.signature {
            return Err(ParseCertificateError::AlgorithmMismatch);
        }
        if let Some(twice) = extensions::duplicate(&syntax.tbs_certificate) {
            return Err(ParseCertificateError::DuplicateExtension(twice));
        }
        let signed = SliceReader::new(&der)?.sequence(|certificate| {
            let signed = certificate.tlv_bytes()?.to_vec();
            let remaining = certificate.remaining_len();
            certificate.read_slice(remaining)?;
            Ok(signed)
        })?;
        Ok(Self { der, signed, syntax })
    }

    /// All bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The parsed content.
    #[must_use]
    pub fn content(&self) -> &x509_cert::TbsCertificate {
        &self.syntax.tbs_certificate
    }

    /// The public key.
    ///
    /// # Errors
    /// When it is of an algorithm that is not supported, or malformed.
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        PublicKey::from_spki(&self.content().subject_public_key_info)
    }

    /// The encoded public key, with its algorithm.
    ///
    /// # Errors
    /// When it cannot be encoded again.
    pub fn public_key_der(&self) -> Result<Vec<u8>, der::Error> {
        self.content().subject_public_key_info.to_der()
    }

    /// Whether subject and issuer are the same.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.content().subject == self.content().issuer
    }

    /// Whether the signature algorithm is RSASSA-PSS with SHA-384 throughout and 48 bytes of salt.
    #[must_use]
    pub fn is_signed_with_pss_sha384(&self) -> bool {
        scheme(&self.syntax.signature_algorithm) == Some((Scheme::Pss { salt_len: 48 }, Hash::Sha384))
    }

    /// Whether this certificate may sign certificates.
    ///
    /// # Errors
    /// When an extension is malformed.
    pub fn is_authority(&self) -> Result<bool, der::Error> {
        let constraints = self.content().get::<BasicConstraints>()?;
        let usage = self.content().get::<KeyUsage>()?;
        Ok(constraints.is_some_and(|(_, c)| c.ca) && usage.is_some_and(|(_, u)| u.key_cert_sign()))
    }

    /// Refuses critical extensions other than basic constraints and the two key usages: for callers that know each
    /// certificate they will meet.
    ///
    /// # Errors
    /// Naming the extension.
    pub fn check_no_unusual_critical_extension(&self) -> Result<(), ParseCertificateError> {
        let usual = [BasicConstraints::OID, KeyUsage::OID, extensions::EXTENDED_KEY_USAGE];
        let extensions = self.content().extensions.as_deref().unwrap_or_default();
        match extensions.iter().find(|extension| extension.critical && !usual.contains(&extension.extn_id)) {
            Some(unusual) => Err(ParseCertificateError::CriticalExtension(unusual.extn_id)),
            None => Ok(()),
        }
    }

    /// Whether the key may sign something else than certificates.
    pub(crate) fn allows_signatures(&self) -> Result<bool, der::Error> {
        Ok(self.content().get::<KeyUsage>()?.is_none_or(|(_, usage)| usage.digital_signature()))
    }

    /// Whether an extension is critical that `did:x509` does not let be critical.
    pub(crate) fn has_unsupported_critical_extension(&self) -> bool {
        extensions::has_unsupported_critical(self.content())
    }

    /// Checks that `issuer` signed this certificate and was allowed to, with `authorities_between` intermediate
    /// authorities below the issuer. Validity dates take no part: no clock is trusted.
    ///
    /// # Errors
    /// When it did not, or was not.
    pub fn check_issued_by(&self, issuer: &Self, authorities_between: u8) -> Result<(), IssueError> {
        if self.content().issuer != issuer.content().subject {
            return Err(IssueError::Name);
        }
        if !issuer.is_authority()? {
            return Err(IssueError::NotAuthority);
        }
        let constraints = issuer.content().get::<BasicConstraints>()?;
        let limit = constraints.and_then(|(_, constraints)| constraints.path_len_constraint);
        if limit.is_some_and(|limit| authorities_between > limit) {
            return Err(IssueError::PathLength);
        }
        self.check_signature(&issuer.public_key().map_err(IssueError::Key)?)
    }

    /// Checks that the key made the signature of this certificate.
    pub(super) fn check_signature(&self, key: &PublicKey) -> Result<(), IssueError> {
        let algorithm = &self.syntax.signature_algorithm;
        let (scheme, hash) = scheme(algorithm).ok_or(IssueError::Algorithm(algorithm.oid))?;
        let signature =
            self.syntax.signature.as_bytes().ok_or(IssueError::Signature(SignatureError::Wrong))?;
        key.verify(scheme, hash, &self.signed, signature).map_err(IssueError::Signature)
    }

    /// Whether the signature algorithm is one of the kind of key.
    pub(super) fn is_signed_by_key_like(&self, key: &PublicKey) -> bool {
        match scheme(&self.syntax.signature_algorithm) {
            Some((Scheme::EcdsaDer | Scheme::EcdsaFixed, _)) => key.curve().is_some(),
            Some(_) => key.rsa_len().is_some(),
            None => true,
        }
    }
}

/// How a certificate is signed. SHA-1 and older are none of them.
fn scheme(algorithm: &AlgorithmIdentifierOwned) -> Option<(Scheme, Hash)> {
    match algorithm.oid {
        SHA256_WITH_RSA => Some((Scheme::Pkcs1, Hash::Sha256)),
        SHA384_WITH_RSA => Some((Scheme::Pkcs1, Hash::Sha384)),
        SHA512_WITH_RSA => Some((Scheme::Pkcs1, Hash::Sha512)),
        ECDSA_WITH_SHA256 => Some((Scheme::EcdsaDer, Hash::Sha256)),
        ECDSA_WITH_SHA384 => Some((Scheme::EcdsaDer, Hash::Sha384)),
        ECDSA_WITH_SHA512 => Some((Scheme::EcdsaDer, Hash::Sha512)),
        RSA_PSS => pss(algorithm),
        _ => None,
    }
}

/// The parameters of RSASSA-PSS (RFC 4055, 3.1): one hash function throughout.
fn pss(algorithm: &AlgorithmIdentifierOwned) -> Option<(Scheme, Hash)> {
    let parameters = algorithm.parameters.as_ref().and_then(|any| any.to_der().ok())?;
    let parameters = RsaPssParams::from_der(&parameters).ok()?;
    let hash = match parameters.hash.oid {
        SHA256 => Hash::Sha256,
        SHA384 => Hash::Sha384,
        SHA512 => Hash::Sha512,
        _ => return None,
    };
    let mask = parameters.mask_gen.parameters.is_some_and(|mask| mask.oid == parameters.hash.oid);
    let supported = mask && parameters.mask_gen.oid == MGF1 && parameters.trailer_field == TrailerField::BC;
    supported.then_some((Scheme::Pss { salt_len: parameters.salt_len.into() }, hash))
}
