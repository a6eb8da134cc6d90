#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod cbor;
mod cose;
pub mod did;
mod public_key;
mod receipt;
#[cfg(feature = "sign")]
pub mod sign;
mod statement;
#[cfg(test)]
mod tests;
mod trust_list;
pub mod x509;

pub use cbor::CborError;
pub use cose::{Algorithm, CoseKeyError, HeaderError, ParseSign1Error};
pub use public_key::{Curve, KeyError, KeyNumbers, PublicKey, SignatureError};
pub use receipt::{ParseProofError, ParseReceiptError, RECEIPTS_MAX, Receipt, ReceiptError};
pub use statement::{ENVELOPE_LEN_MAX, Envelope, ParseEnvelopeError, VerifiedStatement, VerifyError};
pub use trust_list::{
    KEYS_MAX, KeySet, ParseTrustListError, TrustList, TrustListError, TrustedLedgers, VerifiedReceipt,
};

/// Media types of the statements that a confidential container group is given.
pub mod media_type {
    /// A fragment of a policy: Rego. What no content type says is this.
    pub const FRAGMENT: &str = "application/cose-x509+rego";
    /// A list of ledgers whose receipts count.
    pub const TRUST_LIST: &str = "application/vnd.transparency-trust-list.v1+cose";
}
