//! OPA's meaning of builtin functions, where the interpreter's own differs.
//!
//! Policies are written for OPA. A version or a number that the interpreter refuses and OPA accepts would deny
//! what the policy allows, and one that only the interpreter accepts would be a decision that nobody tested.

mod number;
mod semver;

pub(crate) use number::to_number;
pub(crate) use semver::Version;
