//! The contract between Kata's shim on the host and the agent in the guest: `grpc.AgentService` and `grpc.Health`,
//! unary calls over ttrpc.

pub mod address;
pub mod bounds;
pub mod messages;
mod methods;

pub use generated::{agent, agent_ttrpc, csi, health, health_ttrpc, oci, types};
pub use methods::{METHODS, Method};
pub use protobuf::well_known_types::empty::Empty;

/// Longest payload of a ttrpc frame, in bytes.
///
/// A peer that announces more is answered INVALID_ARGUMENT and its bytes are thrown away, in either direction; a
/// longer response is replaced by that status. The limit is on one frame: it bounds neither the number of requests
/// under way nor what a decoded message takes in memory; for that see [`bounds`].
pub const FRAME_PAYLOAD_MAX_BYTES: usize = 4 << 20;

#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::arithmetic_side_effects,
    clippy::missing_errors_doc,
    reason = "written by the code generators; sizes add up lengths of what is in memory, which cannot overflow"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/mod.rs"));
}

#[cfg(test)]
mod tests;
