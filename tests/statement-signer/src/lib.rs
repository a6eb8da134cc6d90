//! Signs for tests what nobody should believe: certificates, statements, receipts and trust lists, from keys that are
//! numbers. Every part can be made wrong on purpose.
//!
//! It encodes DER and CBOR by itself, so that what reads them is not tested against itself.

#![forbid(unsafe_code)]

mod cbor;
mod certificate;
mod der;
mod key;
mod ledger;
mod pem;
mod statement;

pub use cbor::Cbor;
pub use certificate::{CertificateSpec, Extension, Identity, Usage};
pub use key::{Curve, Key};
pub use ledger::{Ledger, trust_list};
pub use pem::pem;
pub use statement::{StatementSpec, protected_header, sign1};
