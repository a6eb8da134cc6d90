//! Envelopes and statements: from bytes that anybody may have made to what a named issuer said.

use sha2::{Digest as _, Sha256};

use crate::cose::{Algorithm, HeaderError, ParseSign1Error, Sign1, label};
use crate::did::{Did, DidError};
use crate::public_key::{KeyError, SignatureError};
use crate::receipt::{ParseReceiptError, RECEIPTS_MAX, Receipt};
use crate::x509::{self, CHAIN_LEN_MAX, Certificate, ParseCertificateError, PathError, Rules};

/// The longest envelope, in bytes: a fragment as large as the largest policy, and its signatures.
pub const ENVELOPE_LEN_MAX: usize = 9 << 20;

/// Why bytes are not an envelope of a statement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseEnvelopeError {
    /// More than [`ENVELOPE_LEN_MAX`] bytes.
    #[error("the envelope has {given} bytes, at most {ENVELOPE_LEN_MAX} are read")]
    TooLong {
        /// Bytes given.
        given: usize,
    },
    /// Not a `COSE_Sign1`.
    #[error("not an acceptable COSE_Sign1")]
    Cose(#[from] ParseSign1Error),
    /// A header that every statement has is missing or wrong.
    #[error("the protected header is not one of a statement")]
    Header(#[from] HeaderError),
    /// The statement is somewhere else.
    #[error("the payload is detached")]
    Detached,
    /// More than [`CHAIN_LEN_MAX`] certificates.
    #[error("the envelope has {given} certificates, at most {CHAIN_LEN_MAX} are read")]
    ChainLength {
        /// Certificates given.
        given: usize,
    },
    /// A certificate cannot be read.
    #[error("certificate {number} is not acceptable")]
    Certificate {
        /// Which, from 1, the signer's first.
        number: usize,
        /// What is wrong.
        source: ParseCertificateError,
    },
    /// The receipts are no list of receipts, or more than [`RECEIPTS_MAX`].
    #[error("the receipts are not a list of at most {RECEIPTS_MAX} byte strings")]
    Receipts,
    /// A receipt cannot be read.
    #[error("receipt {number} is not acceptable")]
    Receipt {
        /// Which, from 1.
        number: usize,
        /// What is wrong.
        source: ParseReceiptError,
    },
}

/// Why an envelope is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The certificates are no valid path.
    #[error("the certificates are not a valid chain")]
    Chain(#[from] PathError),
    /// The signer's key is not supported.
    #[error("the signer's key is not usable")]
    Key(#[from] KeyError),
    /// The signer's key is for something else than signatures.
    #[error("the signer's certificate does not allow signatures")]
    KeyUsage,
    /// The signature does not hold.
    #[error("the signature does not hold")]
    Signature(#[from] SignatureError),
    /// The issuer's name is malformed, or another's.
    #[error("the certificates do not prove the issuer {issuer}")]
    Issuer {
        /// The name in the envelope.
        issuer: String,
        /// What does not match.
        source: DidError,
    },
}

/// A parsed envelope. Nobody vouches for anything in it yet.
#[derive(Debug)]
pub struct Envelope {
    statement: VerifiedStatement,
    algorithm: Algorithm,
    chain: Vec<Certificate>,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

impl Envelope {
    /// Reads an envelope. Of the unprotected headers only the receipts are read, which prove themselves.
    ///
    /// # Errors
    /// When the bytes are not the one acceptable form of an envelope.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseEnvelopeError> {
        if bytes.len() > ENVELOPE_LEN_MAX {
            return Err(ParseEnvelopeError::TooLong { given: bytes.len() });
        }
        let sign1 = Sign1::parse(bytes)?;
        let headers = &sign1.protected;
        let algorithm = headers.algorithm()?;
        let claims = headers.claims()?;
        let content_type = headers.content_type()?;
        let payload = sign1.payload.ok_or(ParseEnvelopeError::Detached)?;
        Ok(Self {
            algorithm,
            chain: read_chain(&headers.certificates()?)?,
            signed: sign1.to_be_signed(payload),
            signature: sign1.signature.to_vec(),
            statement: VerifiedStatement {
                issuer: claims.issuer,
                feed: claims.feed,
                svn: claims.svn,
                content_type,
                payload: payload.to_vec(),
                registered_sha256: Sha256::digest(sign1.without_unprotected()).into(),
                receipts: read_receipts(&sign1)?,
            },
        })
    }

    /// Believes the envelope when its chain is a valid path, its signature is of the chain's first certificate, and its
    /// issuer's `did:x509` is a name of that chain. Which issuers count is for the caller to say.
    ///
    /// # Errors
    /// When any of it does not hold.
    pub fn verify(self) -> Result<VerifiedStatement, VerifyError> {
        x509::validate(&self.chain, Rules::Statement)?;
        let signer = self.chain.first().ok_or(PathError::Length { given: 0 })?;
        if !signer.allows_signatures().map_err(PathError::from)? {
            return Err(VerifyError::KeyUsage);
        }
        self.algorithm.verify(&signer.public_key()?, &self.signed, &self.signature)?;
        let issuer = &self.statement.issuer;
        // A statement is about a signer, not about a part of the document that a name resolves to.
        let whole = |did: Did| if did.as_str() == issuer { Ok(did) } else { Err(DidError::Prefix) };
        issuer
            .parse::<Did>()
            .and_then(whole)
            .and_then(|did| did.matches(&self.chain))
            .map_err(|source| VerifyError::Issuer { issuer: issuer.clone(), source })?;
        Ok(self.statement)
    }
}

fn read_chain(ders: &[&[u8]]) -> Result<Vec<Certificate>, ParseEnvelopeError> {
    if ders.len() > CHAIN_LEN_MAX {
        return Err(ParseEnvelopeError::ChainLength { given: ders.len() });
    }
    let read = |(der, number): (&&[u8], usize)| {
        Certificate::parse(der.to_vec()).map_err(|source| ParseEnvelopeError::Certificate { number, source })
    };
    ders.iter().zip(1..).map(read).collect()
}

/// Receipts of other kinds of ledgers are left out: a statement may be in several, and none proves anything by itself.
fn read_receipts(sign1: &Sign1<'_>) -> Result<Vec<Receipt>, ParseEnvelopeError> {
    let Some(receipts) = sign1.unprotected.number(label::RECEIPTS) else { return Ok(Vec::new()) };
    let receipts = receipts.as_array().filter(|receipts| receipts.len() <= RECEIPTS_MAX);
    let mut read = Vec::new();
    for (receipt, number) in receipts.ok_or(ParseEnvelopeError::Receipts)?.iter().zip(1..) {
        match Receipt::parse(receipt.as_bytes().ok_or(ParseEnvelopeError::Receipts)?) {
            Ok(receipt) => read.push(receipt),
            Err(source) if source.is_of_another_kind() => {}
            Err(source) => return Err(ParseEnvelopeError::Receipt { number, source }),
        }
    }
    Ok(read)
}

/// What an issuer said. Only [`Envelope::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedStatement {
    issuer: String,
    feed: String,
    svn: Option<u64>,
    content_type: Option<String>,
    payload: Vec<u8>,
    registered_sha256: [u8; 32],
    receipts: Vec<Receipt>,
}

impl VerifiedStatement {
    /// `did:x509` of the issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What the statement is about: the product, the CWT subject.
    #[must_use]
    pub fn feed(&self) -> &str {
        &self.feed
    }

    /// The security version in the header; greater is newer.
    #[must_use]
    pub fn svn(&self) -> Option<u64> {
        self.svn
    }

    /// The media type of the payload.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The statement itself.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Receipts that came along. Each proves something only against [`TrustedLedgers`](crate::TrustedLedgers).
    #[must_use]
    pub fn receipts(&self) -> &[Receipt] {
        &self.receipts
    }

    /// SHA-256 of the envelope as a ledger registers it: tagged, without unprotected headers.
    #[must_use]
    pub fn registered_sha256(&self) -> &[u8; 32] {
        &self.registered_sha256
    }
}
