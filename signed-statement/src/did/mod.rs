//! `did:x509`, version 0: names of signers by an authority above them and by what their certificates say
//! (<https://github.com/microsoft/did-x509/blob/main/specification.md>).

mod document;
#[cfg(feature = "sign")]
mod issuer;
mod leaf;
mod predicate;
mod resolve;
mod syntax;
#[cfg(test)]
mod tests;

pub use document::{DidDocument, Jwk, VerificationMethod};
#[cfg(feature = "sign")]
pub use issuer::issuer_of;
pub use resolve::{DidError, resolve};
pub use syntax::Did;
