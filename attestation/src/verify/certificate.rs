//! X.509 certificates, read so that every byte counts (RFC 5280).

use rsa::pkcs1::{RsaPssParams, TrailerField};
use rsa::pkcs8::DecodePublicKey as _;
use rsa::sha2::{Sha256, Sha384, Sha512};
use rsa::signature::Verifier as _;
use rsa::{RsaPublicKey, pkcs1v15, pss};
use x509_cert::Certificate as Syntax;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{self, Decode, Encode as _, Reader as _, SliceReader};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};
use x509_cert::spki::AlgorithmIdentifierOwned;

const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const SHA384_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const SHA512_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const PSS_SALT_LEN: u8 = 48;

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
    /// A critical extension that we do not interpret.
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
    /// The issuer's key is not an RSA key of at most 4096 bits.
    #[error("the issuer's key is not usable")]
    Key(#[source] x509_cert::spki::Error),
    /// Another signature algorithm.
    #[error("the signature algorithm {0} or its parameters are not supported")]
    Algorithm(ObjectIdentifier),
    /// An extension is malformed.
    #[error("a malformed extension")]
    Extension(#[from] der::Error),
    /// The signature is wrong.
    #[error("the signature is wrong")]
    Signature(#[source] rsa::signature::Error),
}

/// A certificate and the exact bytes that its issuer signed.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    der: Vec<u8>,
    signed: Vec<u8>,
    syntax: Syntax,
}

impl Certificate {
    /// Reads one certificate.
    pub(super) fn parse(der: Vec<u8>) -> Result<Self, ParseCertificateError> {
        let syntax = Syntax::from_der(&der)?;
        if syntax.to_der()? != der {
            return Err(ParseCertificateError::NotCanonical);
        }
        if syntax.signature_algorithm != syntax.tbs_certificate.signature {
            return Err(ParseCertificateError::AlgorithmMismatch);
        }
        check_extensions(&syntax)?;
        let signed = SliceReader::new(&der)?.sequence(|certificate| {
            let signed = certificate.tlv_bytes()?.to_vec();
            let remaining = certificate.remaining_len();
            certificate.read_slice(remaining)?;
            Ok(signed)
        })?;
        Ok(Self { der, signed, syntax })
    }

    /// All bytes.
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    /// The parsed content.
    pub(super) fn content(&self) -> &x509_cert::TbsCertificate {
        &self.syntax.tbs_certificate
    }

    /// The encoded public key, with its algorithm.
    pub(super) fn public_key_der(&self) -> Result<Vec<u8>, der::Error> {
        self.content().subject_public_key_info.to_der()
    }

    /// Whether subject and issuer are the same.
    pub(super) fn is_self_issued(&self) -> bool {
        self.content().subject == self.content().issuer
    }

    /// The RSA key.
    pub(super) fn rsa_key(&self) -> Result<RsaPublicKey, x509_cert::spki::Error> {
        RsaPublicKey::from_public_key_der(&self.public_key_der()?)
    }

    /// The signature algorithm is RSASSA-PSS with SHA-384 throughout and 48 bytes of salt.
    pub(super) fn is_signed_with_pss_sha384(&self) -> bool {
        is_pss_sha384(&self.syntax.signature_algorithm)
    }

    /// Whether this certificate may sign certificates.
    pub(super) fn is_authority(&self) -> Result<bool, der::Error> {
        let constraints = self.content().get::<BasicConstraints>()?;
        let usage = self.content().get::<KeyUsage>()?;
        Ok(constraints.is_some_and(|(_, c)| c.ca) && usage.is_some_and(|(_, u)| u.key_cert_sign()))
    }

    /// The purposes in the extended key usage.
    pub(super) fn extended_key_usage(&self) -> Result<Vec<ObjectIdentifier>, der::Error> {
        Ok(self.content().get::<ExtendedKeyUsage>()?.map(|(_, usage)| usage.0).unwrap_or_default())
    }

    /// Checks that `issuer` signed this certificate and was allowed to, with `authorities_between` intermediate
    /// authorities below the issuer. Validity dates take no part: no clock is trusted.
    pub(super) fn check_issued_by(&self, issuer: &Self, authorities_between: u8) -> Result<(), IssueError> {
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
        self.check_signature(issuer.rsa_key().map_err(IssueError::Key)?)
    }

    fn check_signature(&self, key: RsaPublicKey) -> Result<(), IssueError> {
        let algorithm = &self.syntax.signature_algorithm;
        let signature = self
            .syntax
            .signature
            .as_bytes()
            .ok_or_else(|| IssueError::Signature(rsa::signature::Error::new()))?;
        let checked = if is_pss_sha384(algorithm) {
            pss::Signature::try_from(signature)
                .and_then(|signature| pss::VerifyingKey::<Sha384>::new(key).verify(&self.signed, &signature))
        } else {
            let signature = pkcs1v15::Signature::try_from(signature).map_err(IssueError::Signature)?;
            match algorithm.oid {
                SHA256_WITH_RSA => {
                    pkcs1v15::VerifyingKey::<Sha256>::new(key).verify(&self.signed, &signature)
                }
                SHA384_WITH_RSA => {
                    pkcs1v15::VerifyingKey::<Sha384>::new(key).verify(&self.signed, &signature)
                }
                SHA512_WITH_RSA => {
                    pkcs1v15::VerifyingKey::<Sha512>::new(key).verify(&self.signed, &signature)
                }
                other => return Err(IssueError::Algorithm(other)),
            }
        };
        checked.map_err(IssueError::Signature)
    }
}

fn check_extensions(certificate: &Syntax) -> Result<(), ParseCertificateError> {
    let interpreted = [BasicConstraints::OID, KeyUsage::OID, ExtendedKeyUsage::OID];
    let extensions = certificate.tbs_certificate.extensions.as_deref().unwrap_or_default();
    let mut seen = Vec::new();
    for extension in extensions {
        if seen.contains(&extension.extn_id) {
            return Err(ParseCertificateError::DuplicateExtension(extension.extn_id));
        }
        if extension.critical && !interpreted.contains(&extension.extn_id) {
            return Err(ParseCertificateError::CriticalExtension(extension.extn_id));
        }
        seen.push(extension.extn_id);
    }
    Ok(())
}

fn is_pss_sha384(algorithm: &AlgorithmIdentifierOwned) -> bool {
    let parameters = algorithm.parameters.as_ref().and_then(|any| any.to_der().ok());
    let Some(parameters) = parameters else { return false };
    RsaPssParams::from_der(&parameters).is_ok_and(|parameters| {
        algorithm.oid == RSA_PSS
            && parameters.hash.oid == SHA384
            && parameters.mask_gen.oid == MGF1
            && parameters.mask_gen.parameters.is_some_and(|hash| hash.oid == SHA384)
            && parameters.salt_len == PSS_SALT_LEN
            && parameters.trailer_field == TrailerField::BC
    })
}
