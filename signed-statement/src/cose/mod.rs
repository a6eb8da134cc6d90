//! COSE (RFC 9052): `COSE_Sign1`, its headers, algorithms and keys.

mod algorithm;
mod headers;
mod key;
mod sign1;

pub use algorithm::Algorithm;
pub use headers::HeaderError;
pub(crate) use headers::label;
pub use key::CoseKeyError;
pub(crate) use key::read_key;
pub use sign1::ParseSign1Error;
pub(crate) use sign1::Sign1;
#[cfg(feature = "sign")]
pub(crate) use sign1::{TAG, to_be_signed};
