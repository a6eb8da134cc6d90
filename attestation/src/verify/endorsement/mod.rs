//! Endorsements of guest images: a `COSE_Sign1` in which the image's maker says "this launch measurement is ours"
//! (Azure's reference information for confidential containers).

#[cfg(test)]
mod tests;

use signed_statement::{Envelope, ParseEnvelopeError, VerifyError};

use crate::report::{Measurement, ParseHexError};

/// Longest endorsement that is read, in bytes; real ones have 11 KiB.
pub const MAX_ENDORSEMENT_LEN: usize = 64 * 1024;
/// The media type of the payload.
const CONTENT_TYPE: &str = "application/json";

/// Whose endorsements of which product a caller believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedEndorser {
    /// `did:x509` of the signer.
    pub issuer: String,
    /// The product.
    pub feed: String,
    /// The oldest security version that is good enough: a host may launch an old image with a hole, and its endorsement
    /// holds for ever.
    pub minimum_security_version: u64,
}

impl TrustedEndorser {
    /// Microsoft, for the utility VM of confidential containers on Azure, whatever the version.
    #[must_use]
    pub fn azure_confidential_containers() -> Self {
        Self {
            issuer: "did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s\
                     ::eku:1.3.6.1.4.1.311.76.59.1.2"
                .to_owned(),
            feed: "ContainerPlat-AMD-UVM".to_owned(),
            minimum_security_version: 0,
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
    /// Not the envelope of a statement.
    #[error("the endorsement is not a signed statement")]
    Parse(#[from] ParseEnvelopeError),
    /// Chain, signature or issuer do not hold.
    #[error("the endorsement does not hold")]
    Verify(#[from] VerifyError),
    /// The signer is nobody that the caller trusts.
    #[error("issuer {issuer} with feed {feed} is not trusted")]
    Untrusted {
        /// Issuer given.
        issuer: String,
        /// Feed given.
        feed: String,
    },
    /// Another payload.
    #[error("content type {given:?} is not supported ({CONTENT_TYPE:?} is)")]
    ContentType {
        /// Media type given.
        given: Option<String>,
    },
    /// The payload is not the JSON of an endorsement.
    #[error("the endorsement's payload is malformed")]
    Payload(#[source] serde_json::Error),
    /// The measurement in the payload is malformed.
    #[error("the endorsement's measurement is malformed")]
    Measurement(#[from] ParseHexError),
    /// The security version in the payload is not a number.
    #[error("the endorsement's security version is malformed")]
    SecurityVersion(#[source] std::num::ParseIntError),
    /// The image is older than the caller wants.
    #[error("the endorsed image has security version {given}, at least {minimum} is wanted")]
    TooOld {
        /// Security version given.
        given: u64,
        /// The oldest that is good enough.
        minimum: u64,
    },
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
#[derive(serde::Deserialize, serde::Serialize)]
struct Payload {
    #[serde(rename = "x-ms-sevsnpvm-guestsvn")]
    guest_svn: String,
    #[serde(rename = "x-ms-sevsnpvm-launchmeasurement")]
    launch_measurement: String,
}

impl Endorsement {
    /// The payload of an endorsement, for who signs one.
    #[must_use]
    pub fn payload(measurement: Measurement, security_version: u64) -> Vec<u8> {
        let payload =
            Payload { guest_svn: security_version.to_string(), launch_measurement: measurement.to_string() };
        // Two texts: nothing of it can fail.
        serde_json::to_vec(&payload).unwrap_or_default()
    }

    /// Reads an endorsement and verifies signature, chain, and that a trusted endorser made it of an image that is new
    /// enough.
    ///
    /// Signing certificates live a year and images longer, so validity dates are not judged.
    ///
    /// # Errors
    /// When any of it does not hold.
    pub fn verify(bytes: &[u8], trusted: &[TrustedEndorser]) -> Result<Self, EndorsementError> {
        if bytes.len() > MAX_ENDORSEMENT_LEN {
            return Err(EndorsementError::TooLong { given: bytes.len() });
        }
        let statement = Envelope::parse(bytes)?.verify()?;
        let (issuer, feed) = (statement.issuer().to_owned(), statement.feed().to_owned());
        let Some(endorser) =
            trusted.iter().find(|endorser| endorser.issuer == issuer && endorser.feed == feed)
        else {
            return Err(EndorsementError::Untrusted { issuer, feed });
        };
        if statement.content_type() != Some(CONTENT_TYPE) {
            let given = statement.content_type().map(str::to_owned);
            return Err(EndorsementError::ContentType { given });
        }
        let payload: Payload =
            serde_json::from_slice(statement.payload()).map_err(EndorsementError::Payload)?;
        let security_version = payload.guest_svn.parse().map_err(EndorsementError::SecurityVersion)?;
        if security_version < endorser.minimum_security_version {
            let minimum = endorser.minimum_security_version;
            return Err(EndorsementError::TooOld { given: security_version, minimum });
        }
        Ok(Self { issuer, feed, measurement: payload.launch_measurement.parse()?, security_version })
    }
}
