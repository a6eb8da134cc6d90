//! The policy engine: judges what an untrusted host asks of the guest against the tenant's policy.
//!
//! A policy is the Rego text that `az confcom` writes: it lists objects (containers, fragments, ...) and points its
//! rules at a framework, which the engine supplies and which is the specification (`rego/framework.rego`).
//!
//! # Judging requests
//!
//! A request of the host becomes one value of the closed vocabulary in [`request`]. [`Engine::decide`]
//! evaluates the tenant's policy over it. An allow is a [`Permit`]: it owns the request *as policy
//! amended it*, cannot be built elsewhere, cannot be copied, and must be settled: the policy's state changes
//! when the effect is done and not before. The crate that touches the kernel takes permits by value, so an
//! unjudged action does not compile.
//!
//! ```
//! use policy_engine::request::{HashTree, LayerFilesystem, MountDevice};
//! use policy_engine::{Engine, Refusal, RootHash};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let layer = "01".repeat(32);
//! let policy = format!(
//!     r#"package policy
//! api_version := "0.12.0"
//! framework_version := "0.5.0"
//! containers := [{{"layers": ["{layer}"]}}]
//! mount_device := data.framework.mount_device
//! reason := {{"errors": data.framework.errors}}"#
//! );
//! let engine = Engine::load(policy.as_bytes())?;
//! let mount = |root_hash: [u8; 32]| -> Result<MountDevice, Box<dyn std::error::Error>> {
//!     Ok(MountDevice {
//!         target: "/run/mounts/scsi/m0".parse()?,
//!         root_hash: RootHash::from(root_hash),
//!         source: "/dev/vda".parse()?,
//!         partition: None,
//!         hash_tree: HashTree::BEHIND_FILESYSTEM,
//!         filesystem: LayerFilesystem::Ext4,
//!     })
//! };
//!
//! // A layer that no container of the policy has.
//! let Err(Refusal::Denied(denial)) = engine.decide(mount([2; 32])?) else { panic!("allowed") };
//! assert_eq!(denial.reasons, ["deviceHash not found"]);
//!
//! // Carried out: the mount point is taken from now on.
//! let permit = engine.decide(mount([1; 32])?)?;
//! permit.done();
//! let Err(Refusal::Denied(denial)) = engine.decide(mount([1; 32])?) else { panic!("allowed") };
//! assert_eq!(denial.reasons, ["device already mounted at path"]);
//! # Ok(())
//! # }
//! ```
//!
//! # Testing policies
//!
//! A [`Session`] asks a policy's rules directly, with JSON in and out, and keeps the state that follows.
//!
//! ```
//! use policy_engine::{EvaluatorKind, Session};
//! use serde_json::{Map, json};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let policy = br#"package policy
//! api_version := "0.12.0"
//! framework_version := "0.5.0"
//! allowed_log_providers := ["App-Events"]
//! log_provider := data.framework.log_provider
//! reason := {"errors": data.framework.errors}"#;
//! let mut session = Session::load(policy, Map::new(), EvaluatorKind::Interpreter)?;
//!
//! let known = session.query("data.policy.log_provider", &json!({"providers": ["app-events"]}))?;
//! assert_eq!(known, json!({"allowed": true, "providers_to_keep": ["app-events"]}));
//!
//! let other = json!({"providers": ["Security"], "rule": "log_provider"});
//! assert_eq!(session.query("data.policy.log_provider", &other)?["allowed"], json!(false));
//! let reason = session.query("data.policy.reason", &other)?;
//! assert_eq!(reason["errors"], json!(["log provider not allowed by policy"]));
//! # Ok(())
//! # }
//! ```
//!
//! The data beside a policy (default mounts, prefixes of mount sources, `operatingsystem`) is the second argument;
//! a policy for Windows guests is tested with `"operatingsystem": "windows"`.
//!
//! # Where it builds
//!
//! The crate has no I/O, no `unsafe`, no threads and no platform code, and takes no dependency that does more: it
//! builds wherever `regorus` builds. On `wasm32-unknown-unknown` two things of its dependencies show. `regorus` links
//! a source of random numbers, which no policy can ask for one here: the build chooses a backend for `getrandom`, as
//! `--cfg getrandom_backend="unsupported"` in this workspace. And evaluations are timed with
//! [`std::time::Instant`], which panics there; targets with a clock, such as `wasm32-wasip1`, have no such concern.
//!
//! # Limits
//!
//! What a request may cost is bounded by the constants in [`limits`]. They hold against the host for any policy that
//! loads. A policy's own text is trusted to the extent that it was measured: between two looks at the clock an
//! author can still make one step long, such as by arithmetic on numbers of a million digits.

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
