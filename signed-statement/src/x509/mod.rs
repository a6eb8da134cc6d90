//! X.509 certificates and paths of them (RFC 5280), without a clock.

mod certificate;
mod extensions;
mod name_constraints;
mod path;
mod profile;

pub use certificate::{Certificate, IssueError, ParseCertificateError};
pub(crate) use extensions::names;
pub use path::{CHAIN_LEN_MAX, PathError, Rules, validate};
