//! Receipts: a ledger's word that a statement is registered (RFC 9942), in the profile of CCF ledgers
//! (draft-ietf-scitt-receipts-ccf-profile).

use sha2::{Digest as _, Sha256};

use crate::cbor::{self, CborError, Item};
use crate::cose::{Algorithm, HeaderError, ParseSign1Error, Sign1, label};
use crate::public_key::{PublicKey, SignatureError};

/// The most receipts of one statement.
pub const RECEIPTS_MAX: usize = 32;
/// The most proofs in one receipt.
const PROOFS_MAX: usize = 8;
/// The longest way from a leaf to the root: a tree of more leaves than a ledger can have.
const PATH_LEN_MAX: usize = 64;
/// The longest evidence that a leaf was committed, in bytes.
const EVIDENCE_LEN_MAX: usize = 1024;
/// `vds` of CCF ledgers with SHA-256.
const CCF_LEDGER_SHA256: i128 = 2;
/// Proofs of inclusion among the proofs.
const INCLUSION: i64 = -1;
const PROOF_LEAF: i64 = 1;
const PROOF_PATH: i64 = 2;

type Sha256Digest = [u8; 32];

/// Why bytes are not a receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseReceiptError {
    /// Not a `COSE_Sign1`.
    #[error("not an acceptable COSE_Sign1")]
    Cose(#[from] ParseSign1Error),
    /// A header that every receipt has is missing or wrong.
    #[error("the protected header is not one of a receipt")]
    Header(#[from] HeaderError),
    /// Of another kind of ledger.
    #[error("verifiable data structure {0} is not supported (2, CCF ledgers, is)")]
    DataStructure(i128),
    /// The root must be computed, not told.
    #[error("the payload is not detached")]
    NotDetached,
    /// No proofs of inclusion, or too many.
    #[error("not between 1 and {PROOFS_MAX} proofs of inclusion")]
    Proofs,
    /// A proof is malformed.
    #[error("a proof of inclusion is malformed")]
    Proof(#[from] ParseProofError),
}

impl ParseReceiptError {
    /// Whether it may well be a receipt, of a ledger that is not supported.
    pub(crate) fn is_of_another_kind(&self) -> bool {
        matches!(self, Self::DataStructure(_) | Self::Header(HeaderError::Algorithm(_)))
    }
}

/// Why bytes are not a proof of inclusion.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseProofError {
    /// Not CBOR.
    #[error("not acceptable CBOR")]
    Cbor(#[from] CborError),
    /// The leaf is not transaction hash, evidence and data hash.
    #[error("the leaf is malformed")]
    Leaf,
    /// The path is not between one and 64 steps of side and hash.
    #[error("the path is malformed")]
    Path,
}

/// Why a receipt does not prove that a statement is registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The receipt is of something else.
    #[error("the receipt is of another statement")]
    OtherStatement,
    /// The root that follows from the proof is not the one that the ledger signed.
    #[error("the ledger's signature does not hold")]
    Signature(#[from] SignatureError),
}

/// A parsed receipt. It proves nothing until its ledger's key was found and its proofs were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    ledger: String,
    key_id: Vec<u8>,
    proofs: Vec<SignedProof>,
    algorithm: Algorithm,
    signature: Vec<u8>,
}

/// A proof, and the bytes that the ledger signed if it is right.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SignedProof {
    statement_sha256: Sha256Digest,
    signed: Vec<u8>,
}

impl Receipt {
    /// Reads a receipt.
    ///
    /// # Errors
    /// When the bytes are not a receipt of the supported profile.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseReceiptError> {
        let sign1 = Sign1::parse(bytes)?;
        let headers = &sign1.protected;
        match headers.data_structure()? {
            CCF_LEDGER_SHA256 => {}
            other => return Err(ParseReceiptError::DataStructure(other)),
        }
        if sign1.payload.is_some() {
            return Err(ParseReceiptError::NotDetached);
        }
        let proofs = sign1
            .unprotected
            .number(label::PROOFS)
            .and_then(Item::as_map)
            .and_then(|proofs| proofs.number(INCLUSION))
            .and_then(Item::as_array)
            .filter(|proofs| (1..=PROOFS_MAX).contains(&proofs.len()))
            .ok_or(ParseReceiptError::Proofs)?;
        let proofs = proofs
            .iter()
            .map(|proof| {
                let proof = InclusionProof::parse(proof.as_bytes().ok_or(ParseReceiptError::Proofs)?)?;
                let signed = sign1.to_be_signed(&proof.root());
                Ok(SignedProof { statement_sha256: proof.statement_sha256, signed })
            })
            .collect::<Result<_, ParseReceiptError>>()?;
        Ok(Self {
            ledger: headers.claimed_issuer()?.to_owned(),
            key_id: headers.key_id()?.to_vec(),
            proofs,
            algorithm: headers.algorithm()?,
            signature: sign1.signature.to_vec(),
        })
    }

    /// The ledger that the receipt claims to be of.
    #[must_use]
    pub fn ledger(&self) -> &str {
        &self.ledger
    }

    /// Which of the ledger's keys the receipt claims to be signed with.
    #[must_use]
    pub fn key_id(&self) -> &[u8] {
        &self.key_id
    }

    /// Checks each proof: of this statement, and leading to a root that `key` signed.
    pub(crate) fn verify(&self, statement: &Sha256Digest, key: &PublicKey) -> Result<(), ReceiptError> {
        for proof in &self.proofs {
            if proof.statement_sha256 != *statement {
                return Err(ReceiptError::OtherStatement);
            }
            self.algorithm.verify(key, &proof.signed, &self.signature)?;
        }
        Ok(())
    }
}

/// A leaf and its way to the root of the Merkle tree.
struct InclusionProof {
    leaf: Sha256Digest,
    statement_sha256: Sha256Digest,
    /// Whether the neighbour stands left, and its hash.
    path: Vec<(bool, Sha256Digest)>,
}

impl InclusionProof {
    fn parse(bytes: &[u8]) -> Result<Self, ParseProofError> {
        let item = cbor::read(bytes)?;
        let proof = item.as_map().ok_or(ParseProofError::Leaf)?;
        let leaf = proof.number(PROOF_LEAF).and_then(Item::as_array).ok_or(ParseProofError::Leaf)?;
        let [Item::Bytes(transaction), Item::Text(evidence), Item::Bytes(data)] = leaf else {
            return Err(ParseProofError::Leaf);
        };
        let transaction = <&Sha256Digest>::try_from(*transaction).map_err(|_| ParseProofError::Leaf)?;
        let statement_sha256 = Sha256Digest::try_from(*data).map_err(|_| ParseProofError::Leaf)?;
        if !(1..=EVIDENCE_LEN_MAX).contains(&evidence.len()) {
            return Err(ParseProofError::Leaf);
        }
        let evidence: Sha256Digest = Sha256::digest(evidence).into();
        let path = proof
            .number(PROOF_PATH)
            .and_then(Item::as_array)
            .filter(|path| (1..=PATH_LEN_MAX).contains(&path.len()))
            .ok_or(ParseProofError::Path)?;
        let step = |step: &Item<'_>| match step.as_array() {
            Some([Item::Bool(left), Item::Bytes(hash)]) => {
                Sha256Digest::try_from(*hash).ok().map(|hash| (*left, hash))
            }
            _ => None,
        };
        Ok(Self {
            leaf: Sha256::digest([*transaction, evidence, statement_sha256].concat()).into(),
            statement_sha256,
            path: path.iter().map(step).collect::<Option<_>>().ok_or(ParseProofError::Path)?,
        })
    }

    fn root(&self) -> Sha256Digest {
        self.path.iter().fold(self.leaf, |hash, (left, neighbour)| {
            let pair = if *left { [*neighbour, hash] } else { [hash, *neighbour] };
            Sha256::digest(pair.concat()).into()
        })
    }
}
