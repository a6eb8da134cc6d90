//! Endorsements of guest images: a `COSE_Sign1` in which the image's maker says "this launch measurement is ours"
//! (Azure's reference information for confidential containers).

mod did_x509;
mod sign1;
#[cfg(test)]
mod tests;

use sha2::Digest as _;

use did_x509::Issuer;
pub use did_x509::ParseIssuerError;
pub use sign1::ParseSign1Error;
use sign1::Sign1;

use super::certificate::{Certificate, IssueError, ParseCertificateError};
use crate::report::{Measurement, ParseHexError};

/// Longest endorsement that is read, in bytes; real ones have 11 KiB.
pub const MAX_ENDORSEMENT_LEN: usize = 64 * 1024;
/// The signing certificate, two authorities, and some to spare.
const MAX_CHAIN_LEN: usize = 10;

/// Whose endorsements of which product a caller believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedEndorser {
    /// `did:x509` of the signer.
    pub issuer: String,
    /// The product.
    pub feed: String,
}

impl TrustedEndorser {
    /// Microsoft, for the utility VM of confidential containers on Azure.
    #[must_use]
    pub fn azure_confidential_containers() -> Self {
        Self {
            issuer: "did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s\
                     ::eku:1.3.6.1.4.1.311.76.59.1.2"
                .to_owned(),
            feed: "ContainerPlat-AMD-UVM".to_owned(),
        }
    }
}

/// Why an endorsement does not hold.
#[derive(Debug, thiserror::Error)]
pub enum EndorsementError {
    /// More than [`MAX_ENDORSEMENT_LEN`] bytes.
    #[error("the endorsement has {given} bytes, at most {MAX_ENDORSEMENT_LEN} are read")]
    TooLong {
        /// Bytes given.
        given: usize,
    },
    /// Not the `COSE_Sign1` of an endorsement.
    #[error("not a COSE_Sign1 endorsement")]
    Parse(#[from] ParseSign1Error),
    /// No chain, or too long a one.
    #[error("the endorsement carries {given} certificates, expected 2 to {MAX_CHAIN_LEN}")]
    ChainLength {
        /// Certificates given.
        given: usize,
    },
    /// A certificate is wrong.
    #[error("certificate {number} of the endorsement is not acceptable")]
    Certificate {
        /// Which, from 1, the signer's first.
        number: usize,
        /// What is wrong.
        source: ParseCertificateError,
    },
    /// A certificate was not issued by the next.
    #[error("certificate {number} of the endorsement was not issued by the next")]
    Link {
        /// Which, from 1, the signer's first.
        number: usize,
        /// What is wrong.
        source: IssueError,
    },
    /// The signer's key is unusable.
    #[error("the endorsement's signing key is not usable")]
    Key(#[source] x509_cert::spki::Error),
    /// The signature is wrong.
    #[error("the endorsement's signature is wrong")]
    Signature(#[source] rsa::signature::Error),
    /// The signer is nobody that the caller trusts.
    #[error("issuer {issuer} with feed {feed} is not trusted")]
    Untrusted {
        /// Issuer given.
        issuer: String,
        /// Feed given.
        feed: String,
    },
    /// The issuer's name cannot be read.
    #[error("the issuer is not a supported did:x509")]
    Issuer(#[from] ParseIssuerError),
    /// The certificates are not the ones that the issuer's name tells of.
    #[error("the certificates do not prove the issuer {0}")]
    OtherIssuer(String),
    /// The payload is not the JSON of an endorsement.
    #[error("the endorsement's payload is malformed")]
    Payload(#[source] serde_json::Error),
    /// The measurement in the payload is malformed.
    #[error("the endorsement's measurement is malformed")]
    Measurement(#[from] ParseHexError),
    /// The security version in the payload is not a number.
    #[error("the endorsement's security version is malformed")]
    SecurityVersion(#[source] std::num::ParseIntError),
}

/// What the signer says. Unsigned parts of the envelope, such as time stamps, take no part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endorsement {
    /// `did:x509` of the signer.
    pub issuer: String,
    /// The product.
    pub feed: String,
    /// The endorsed launch measurement.
    pub measurement: Measurement,
    /// The image's security version; greater is newer.
    pub security_version: u64,
}

/// The payload, with numbers as text.
#[derive(serde::Deserialize)]
struct Payload {
    #[serde(rename = "x-ms-sevsnpvm-guestsvn")]
    guest_svn: String,
    #[serde(rename = "x-ms-sevsnpvm-launchmeasurement")]
    launch_measurement: String,
}

impl Endorsement {
    /// Reads an endorsement and verifies signature, chain and that a trusted endorser made it.
    ///
    /// Signing certificates live a year and images longer, so validity dates are not judged.
    ///
    /// # Errors
    /// When any of it does not hold.
    pub fn verify(bytes: &[u8], trusted: &[TrustedEndorser]) -> Result<Self, EndorsementError> {
        if bytes.len() > MAX_ENDORSEMENT_LEN {
            return Err(EndorsementError::TooLong { given: bytes.len() });
        }
        let sign1 = Sign1::parse(bytes)?;
        let chain = verify_chain(sign1.chain.clone())?;
        let [signer, authorities @ ..] = chain.as_slice() else {
            return Err(EndorsementError::ChainLength { given: 0 });
        };
        let key = signer.rsa_key().map_err(EndorsementError::Key)?;
        sign1.verify_signature(key).map_err(EndorsementError::Signature)?;
        check_issuer(&sign1, signer, authorities)?;
        let endorser = TrustedEndorser { issuer: sign1.issuer, feed: sign1.feed };
        if !trusted.contains(&endorser) {
            return Err(EndorsementError::Untrusted { issuer: endorser.issuer, feed: endorser.feed });
        }
        let payload: Payload = serde_json::from_slice(&sign1.payload).map_err(EndorsementError::Payload)?;
        Ok(Self {
            issuer: endorser.issuer,
            feed: endorser.feed,
            measurement: payload.launch_measurement.parse()?,
            security_version: payload.guest_svn.parse().map_err(EndorsementError::SecurityVersion)?,
        })
    }
}

/// Verifies the certificates by their own signatures, up to the last one, which must be self-signed.
fn verify_chain(ders: Vec<Vec<u8>>) -> Result<Vec<Certificate>, EndorsementError> {
    if !(2..=MAX_CHAIN_LEN).contains(&ders.len()) {
        return Err(EndorsementError::ChainLength { given: ders.len() });
    }
    let chain = ders
        .into_iter()
        .zip(1..)
        .map(|(der, number)| {
            Certificate::parse(der).map_err(|source| EndorsementError::Certificate { number, source })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let issuers = chain.iter().skip(1).chain(chain.last());
    for ((certificate, issuer), position) in chain.iter().zip(issuers).zip(0_u8..) {
        // The signer itself is no authority; the self-signed root does not count below itself.
        let is_root = std::ptr::eq(certificate, issuer);
        let authorities_between = if is_root { 0 } else { position };
        certificate.check_issued_by(issuer, authorities_between).map_err(|source| {
            EndorsementError::Link { number: usize::from(position).saturating_add(1), source }
        })?;
    }
    Ok(chain)
}

/// The issuer's name must tell of these very certificates.
fn check_issuer(
    sign1: &Sign1,
    signer: &Certificate,
    authorities: &[Certificate],
) -> Result<(), EndorsementError> {
    let issuer: Issuer = sign1.issuer.parse()?;
    let purposes = signer
        .extended_key_usage()
        .map_err(|source| EndorsementError::Certificate { number: 1, source: source.into() })?;
    let has_authority = authorities
        .iter()
        .any(|authority| issuer.authority_sha256[..] == sha2::Sha256::digest(authority.der())[..]);
    if has_authority && purposes.contains(&issuer.purpose) {
        Ok(())
    } else {
        Err(EndorsementError::OtherIssuer(sign1.issuer.clone()))
    }
}
