//! Resolution: from a name and a chain to a document, or the reason why not (specification, "DID Resolution").

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use x509_cert::der;
use x509_cert::der::asn1::ObjectIdentifier;

use super::document::DidDocument;
use super::leaf::Leaf;
use super::predicate;
use super::syntax::Did;
use crate::public_key::KeyError;
use crate::x509::{self, Certificate, ParseCertificateError, PathError, Rules};

/// Why a name does not resolve, or does not match. The messages are those of the method's public test vectors, which
/// compare them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DidError {
    /// Fewer than two certificates.
    #[error("Certificate chain must contain at least two certificates.")]
    ChainTooShort,
    /// A certificate cannot be read.
    #[error("Certificate cannot be read.")]
    Certificate(#[source] ParseCertificateError),
    /// An extension stands twice in a certificate.
    #[error("Certificate contains a duplicate {0} extension.")]
    DuplicateExtension(ObjectIdentifier),
    /// The certificates are a path in another order, or only some of them are.
    #[error("Supplied chain does not match the verified chain.")]
    ChainOrder,
    /// The chain is no valid path.
    #[error("Certificate chain verification failed: {0}.")]
    Chain(#[source] PathError),
    /// A critical extension that may not be critical.
    #[error("Certificate contains an unsupported critical extension.")]
    CriticalExtension,
    /// A critical extension of Fulcio.
    #[error("Certificate contains a critical Fulcio extension.")]
    CriticalFulcio,
    /// An extension of Fulcio that is not UTF-8.
    #[error("Certificate contains an invalid Fulcio extension.")]
    FulcioValue,
    /// An attribute stands twice in a name.
    #[error("Certificate name contains duplicate attributes.")]
    DuplicateAttribute,
    /// An attribute whose value is no text.
    #[error("Certificate name contains a value that is not text.")]
    NameValue,
    /// An alternative name of a type that has no place in the model.
    #[error("Certificate contains an unsupported SAN type.")]
    AlternativeName,
    /// A general name of a type that is not read.
    #[error("Certificate contains an unsupported general name type.")]
    GeneralName,
    /// A value that should be one UTF8String.
    #[error("Value is not a primitive DER UTF8String.")]
    Utf8String,
    /// An extension is malformed.
    #[error("Certificate contains a malformed extension.")]
    Extension(#[from] der::Error),
    /// Another method or version.
    #[error("DID prefix is invalid.")]
    Prefix,
    /// A path after the name.
    #[error("DID URL paths are not supported.")]
    Path,
    /// A query after the name.
    #[error("DID URL queries are not supported.")]
    Query,
    /// Not one hash function and one fingerprint.
    #[error("DID must contain one fingerprint algorithm and one fingerprint.")]
    Authority,
    /// Another hash function.
    #[error("Fingerprint algorithm is not supported.")]
    Hash,
    /// No predicate.
    #[error("DID must contain at least one predicate.")]
    NoPredicate,
    /// A predicate without value, or with characters that must be encoded.
    #[error("DID contains an invalid predicate value.")]
    PredicateValue,
    /// Another predicate.
    #[error("DID contains an unknown predicate.")]
    UnknownPredicate,
    /// A decoded value that is not UTF-8.
    #[error("Percent-encoded value is not valid UTF-8.")]
    Utf8,
    /// No authority of the chain has the fingerprint.
    #[error("CA fingerprint does not match the certificate chain.")]
    Fingerprint,
    /// `subject`: an odd number of parts.
    #[error("Subject predicate requires key-value pairs.")]
    SubjectPairs,
    /// `subject`: a key stands twice.
    #[error("Subject predicate contains duplicate fields.")]
    SubjectDuplicate,
    /// `subject`: the certificate has no such attribute.
    #[error("Subject predicate contains an unknown key.")]
    SubjectKey,
    /// `subject`: another value.
    #[error("Subject predicate does not match the certificate.")]
    Subject,
    /// `san`: not a type and a value.
    #[error("SAN predicate requires exactly one type and value.")]
    NameParts,
    /// `san:othername`: not an object identifier and a value.
    #[error("OtherName SAN predicate requires exactly one type, OID and value.")]
    OtherNameParts,
    /// `san:othername`: another type.
    #[error("OtherName SAN predicate contains an unsupported type OID.")]
    OtherNameType,
    /// `san`: the certificate has no alternative names.
    #[error("Certificate does not contain a SAN extension.")]
    NoAlternativeName,
    /// `san`: not among them.
    #[error("SAN predicate does not match the certificate.")]
    Name,
    /// `eku`: the certificate has no purposes.
    #[error("Certificate does not contain an EKU extension.")]
    NoPurpose,
    /// `eku`: not among them.
    #[error("EKU predicate does not match the certificate.")]
    Purpose,
    /// `fulcio-issuer`: the certificate names none.
    #[error("Certificate does not contain a Fulcio issuer extension.")]
    NoFulcioIssuer,
    /// `fulcio-issuer`: another one.
    #[error("Fulcio issuer predicate does not match the certificate.")]
    FulcioIssuer,
    /// `fulcio`: not a field and a value.
    #[error("Fulcio predicate requires exactly one field and value.")]
    FulcioParts,
    /// `fulcio`: another field.
    #[error("Fulcio predicate contains an unknown field.")]
    FulcioField,
    /// `fulcio`: the certificate does not have it.
    #[error("Certificate does not contain the requested Fulcio extension.")]
    NoFulcio,
    /// `fulcio`: another value.
    #[error("Fulcio predicate does not match the certificate.")]
    Fulcio,
    /// The signer's key is for neither signatures nor key agreement.
    #[error("Leaf certificate key usage does not support DID operations.")]
    KeyUsage,
    /// The signer's key is not supported.
    #[error("Leaf certificate key is not supported.")]
    Key(#[source] KeyError),
}

impl Did {
    /// Checks that this name is one of the signer of `chain`, which was validated: an authority in it has the
    /// fingerprint, and the signer's certificate is as each predicate demands.
    ///
    /// # Errors
    /// Naming the first demand that is not met.
    pub fn matches(&self, chain: &[Certificate]) -> Result<(), DidError> {
        let (signer, authorities) = chain.split_first().ok_or(DidError::ChainTooShort)?;
        self.matches_facts(&Leaf::read(signer)?, authorities)
    }

    fn matches_facts(&self, leaf: &Leaf, authorities: &[Certificate]) -> Result<(), DidError> {
        if !authorities.iter().any(|authority| self.fingerprint_of(authority) == self.fingerprint) {
            return Err(DidError::Fingerprint);
        }
        self.predicates.iter().try_for_each(|(name, value)| predicate::check(name, value, leaf))
    }

    fn fingerprint_of(&self, certificate: &Certificate) -> String {
        let der = certificate.der();
        URL_SAFE_NO_PAD.encode(match &*self.hash {
            "sha384" => Sha384::digest(der).to_vec(),
            "sha512" => Sha512::digest(der).to_vec(),
            _ => Sha256::digest(der).to_vec(),
        })
    }
}

/// Resolves `did` with `chain`, DER certificates of which the signer's comes first.
///
/// # Errors
/// Naming the first step that fails, in the order of the specification.
pub fn resolve(did: &str, chain: &[Vec<u8>]) -> Result<DidDocument, DidError> {
    if chain.len() < 2 {
        return Err(DidError::ChainTooShort);
    }
    let chain = chain
        .iter()
        .map(|der| match Certificate::parse(der.clone()) {
            Err(ParseCertificateError::DuplicateExtension(id)) => Err(DidError::DuplicateExtension(id)),
            other => other.map_err(DidError::Certificate),
        })
        .collect::<Result<Vec<_>, _>>()?;
    x509::validate(&chain, Rules::DidX509).map_err(|error| match error {
        PathError::Order => DidError::ChainOrder,
        other => DidError::Chain(other),
    })?;
    let facts = chain
        .iter()
        .map(|certificate| {
            if certificate.has_unsupported_critical_extension() {
                return Err(DidError::CriticalExtension);
            }
            Leaf::read(certificate)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let (Some(leaf), Some((signer, authorities))) = (facts.first(), chain.split_first()) else {
        return Err(DidError::ChainTooShort);
    };
    let did: Did = did.parse()?;
    did.matches_facts(leaf, authorities)?;
    DidDocument::new(&did, signer)
}
