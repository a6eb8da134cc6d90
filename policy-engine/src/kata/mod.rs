//! Kata's dialect: policies of `package agent_policy`, as genpolicy writes them.
//!
//! The rule `data.agent_policy.<request>` judges the request message of that name. Its input is the message with
//! the names of its contract (`type` is `type_`) and with every field: an absent message or optional value is
//! `null`, a number is a number, bytes and lists are lists. `CopyFileRequest` has `file_type` (`Regular`,
//! `Directory`, `Symlink` or `Unknown`) and `symlink_target` in place of its data. The answer is a truth value or
//! `{"allowed": bool, "ops": [...]}`, whose operations change `data.pstate`.
//!
//! What differs from the peer:
//!
//! - Operations take effect when their request was carried out, not when it was allowed; see [`Allowed`].
//! - An operation adds, replaces or removes one entry of `data.pstate`. The entry with the id of the request's
//!   container is the container's, every other is the sandbox's. A request whose container id is the name of an
//!   entry of the sandbox's is refused, as is an operation on another container's entry.
//! - A rule that is undefined, contradicts itself or takes too long denies.
//! - `AllowRequestsFailingPolicy` is not read: nothing turns a denial into an allow.
//! - `SetPolicyRequest` is allowed once, if the present policy allows it, and only before any other change. The
//!   new policy is loaded first; one that is refused leaves the present one in force.
//! - Nothing is printed.
//!
//! ```
//! use policy_engine::kata::{KataPolicy, Kind, Refusal};
//! use serde_json::json;
//!
//! let policy = KataPolicy::load(
//!     r#"
//!     package agent_policy
//!     import future.keywords.if
//!
//!     default CreateContainerRequest := false
//!
//!     CreateContainerRequest := {"allowed": true, "ops": ops} if {
//!         not data.pstate[input.container_id]
//!         input.OCI.Process.Args == ["/pause"]
//!         ops := [{"op": "add", "path": concat("/", ["/pstate", input.container_id]), "value": 0}]
//!     }
//!     "#,
//! )?;
//! let pause = || json!({ "container_id": "one", "OCI": { "Process": { "Args": ["/pause"] } } });
//!
//! // Allowed, but nothing came of it.
//! policy.judge(Kind::CreateContainerRequest, pause())?.untouched();
//! // Allowed and done; a second one of that name is not.
//! policy.judge(Kind::CreateContainerRequest, pause())?.done();
//! assert!(matches!(policy.judge(Kind::CreateContainerRequest, pause()), Err(Refusal::Denied { .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod builtins;
mod interpreter;
mod kind;
mod policy;
mod prints;
mod refusal;
mod state;

pub use interpreter::LoadError;
pub use kind::{Kind, UnknownKind};
pub use policy::{Allowed, KataPolicy};
pub use refusal::Refusal;
pub use state::StateError;
