//! The report's own signature: ECDSA P-384 with SHA-384, R and S little-endian (AMD 56860, table 145).

use p384::ecdsa::signature::Verifier as _;
use p384::ecdsa::{Signature, VerifyingKey};

use crate::report::layout::SIGNATURE_INTEGER_LEN;
use crate::report::{Report, SigningKey};

/// Length of a scalar of P-384, in bytes.
const SCALAR_LEN: usize = 48;
/// `SIGNATURE_ALGO` of ECDSA P-384 with SHA-384.
const ECDSA_P384_SHA384: u32 = 1;

/// Why a report's signature does not hold.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// Another algorithm.
    #[error("signature algorithm {0} is not supported")]
    Algorithm(u32),
    /// The report says that another kind of key signed it, or none.
    #[error("the report is signed by {0:?}, not by a VCEK")]
    SigningKey(SigningKey),
    /// Bytes that the signature does not use are not zero.
    #[error("the padding of the signature is not zero")]
    Padding,
    /// R or S is out of range.
    #[error("the signature is malformed")]
    Malformed(#[source] p384::ecdsa::Error),
    /// The signature is wrong.
    #[error("the signature is wrong")]
    Wrong(#[source] p384::ecdsa::Error),
}

/// Checks the signature over the bytes as they came.
pub(super) fn check(report: &Report, key: &VerifyingKey) -> Result<(), SignatureError> {
    if report.signature_algorithm() != ECDSA_P384_SHA384 {
        return Err(SignatureError::Algorithm(report.signature_algorithm()));
    }
    match report.key_info().signing_key() {
        SigningKey::Vcek => {}
        other => return Err(SignatureError::SigningKey(other)),
    }
    let (r, rest) = report.signature_bytes().split_at(SIGNATURE_INTEGER_LEN);
    let (s, rest) = rest.split_at(SIGNATURE_INTEGER_LEN);
    if rest.iter().any(|byte| *byte != 0) {
        return Err(SignatureError::Padding);
    }
    let signature = Signature::from_scalars(scalar(r)?, scalar(s)?).map_err(SignatureError::Malformed)?;
    key.verify(report.signed_bytes(), &signature).map_err(SignatureError::Wrong)
}

/// The big-endian scalar in a little-endian, zero-padded integer.
fn scalar(integer: &[u8]) -> Result<[u8; SCALAR_LEN], SignatureError> {
    let (used, padding) = integer.split_first_chunk::<SCALAR_LEN>().ok_or(SignatureError::Padding)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(SignatureError::Padding);
    }
    let mut big_endian = *used;
    big_endian.reverse();
    Ok(big_endian)
}
