//! `COSE_Key` (RFC 9053, 7; RFC 8230, 4): public keys of ledgers.

use super::algorithm::Algorithm;
use crate::cbor::{Item, Map};
use crate::public_key::{Curve, KeyError, PublicKey};

const KEY_TYPE: i64 = 1;
const KEY_ID: i64 = 2;
const ALGORITHM: i64 = 3;
const OPERATIONS: i64 = 4;
const KEY_TYPE_EC2: i128 = 2;
const KEY_TYPE_RSA: i128 = 3;
const OPERATION_VERIFY: i128 = 2;
/// Curve of an EC2 key, modulus of an RSA key.
const FIRST: i64 = -1;
/// X coordinate, or exponent.
const SECOND: i64 = -2;
/// Y coordinate.
const THIRD: i64 = -3;

/// Why a `COSE_Key` is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoseKeyError {
    /// Not a map with the parameters of its type.
    #[error("the COSE_Key lacks {0}, or it is malformed")]
    Parameter(&'static str),
    /// For something else than verifying the signatures here.
    #[error("the COSE_Key is for another use")]
    Use,
    /// The numbers are no key.
    #[error("the COSE_Key holds no usable key")]
    Key(#[from] KeyError),
}

/// Reads one public key and its identifier.
pub(crate) fn read_key<'a>(item: &Item<'a>) -> Result<(&'a [u8], PublicKey), CoseKeyError> {
    let map = item.as_map().ok_or(CoseKeyError::Parameter("its map"))?;
    let id = map.number(KEY_ID).and_then(Item::as_bytes).filter(|id| !id.is_empty());
    let id = id.ok_or(CoseKeyError::Parameter("kid"))?;
    check_use(map)?;
    let bytes = |label: i64, name: &'static str| {
        map.number(label).and_then(Item::as_bytes).ok_or(CoseKeyError::Parameter(name))
    };
    let key = match map.number(KEY_TYPE).and_then(Item::as_integer) {
        Some(KEY_TYPE_EC2) => {
            let curve = match map.number(FIRST).and_then(Item::as_integer) {
                Some(1) => Curve::P256,
                Some(2) => Curve::P384,
                Some(3) => Curve::P521,
                _ => return Err(CoseKeyError::Key(KeyError::Algorithm)),
            };
            let (x, y) = (bytes(SECOND, "x")?, bytes(THIRD, "y")?);
            if x.len() != curve.coordinate_len() || y.len() != curve.coordinate_len() {
                return Err(CoseKeyError::Parameter("coordinates of the curve's length"));
            }
            PublicKey::ec(curve, &[&[4], x, y].concat())?
        }
        Some(KEY_TYPE_RSA) => PublicKey::rsa_numbers(bytes(FIRST, "n")?, bytes(SECOND, "e")?)?,
        _ => return Err(CoseKeyError::Key(KeyError::Algorithm)),
    };
    Ok((id, key))
}

fn check_use(map: &Map<'_>) -> Result<(), CoseKeyError> {
    if let Some(operations) = map.number(OPERATIONS) {
        let operations = operations.as_array().ok_or(CoseKeyError::Parameter("key_ops"))?;
        if !operations.iter().any(|operation| operation.as_integer() == Some(OPERATION_VERIFY)) {
            return Err(CoseKeyError::Use);
        }
    }
    match map.number(ALGORITHM) {
        Some(algorithm) if algorithm.as_integer().and_then(Algorithm::from_number).is_none() => {
            Err(CoseKeyError::Use)
        }
        _ => Ok(()),
    }
}
