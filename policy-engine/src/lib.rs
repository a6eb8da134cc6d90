//! The policy engine: judges what an untrusted host asks of the guest against the tenant's policy.
//!
//! A request of the host becomes one value of the closed vocabulary in [`request`]. [`Engine::decide`]
//! evaluates the tenant's Rego policy over it. An allow is a [`Permit`]: it owns the request *as policy
//! amended it*, cannot be built elsewhere, cannot be copied, and must be settled. The crate that touches
//! the kernel takes permits by value, so an unjudged action does not compile.
//!
//! The crate has no I/O, no `unsafe` and no platform code: it builds wherever `regorus` builds.

#![forbid(unsafe_code)]

mod amendment;
pub mod authority;
pub mod denial;
pub mod digest;
pub mod engine;
mod evaluator;
pub mod explanation;
pub mod fragment;
pub mod kata;
pub mod lint;
pub mod name;
mod native;
mod opa;
pub mod path;
mod pattern;
pub mod permit;
mod question;
pub mod replay;
pub mod request;

pub use denial::{Denial, Refusal};
pub use digest::{PolicyDigest, RootHash};
pub use engine::Engine;
pub use evaluator::limits;
pub use evaluator::{
    EvaluationError, EvaluatorKind, LoadError, PolicySummary, RecursionError, ScanError, Session, Snapshot,
};
pub use name::{ContainerId, ExecId, SandboxId};
pub use path::GuestPath;
pub use permit::{Grant, Permit};
