//! What every agent owes a host, however it behaves. Each check opens connections of its own.

mod framing;
mod requests;

pub use framing::{
    even_stream_id, garbage, many_connections, oversized_request, stray_frames, truncated_frames,
};
pub use requests::{
    cancelled_call, empty_requests, health, hostile_container_ids, hostile_sandbox_ids, many_parts,
    undecodable_requests, unknown_method, unknown_service,
};

use proto::kata::address::ServerAddress;
use ttrpc::Code;
use ttrpc::proto::Request;

use crate::connection::{Answer, ConnectionError, call};

/// The agent's service.
const AGENT: &str = "grpc.AgentService";
/// The health service.
const HEALTH: &str = "grpc.Health";

/// How an agent failed a check.
#[derive(Debug, thiserror::Error)]
pub enum Deviation {
    /// It did not answer.
    #[error("{case}: no answer")]
    NoAnswer {
        /// What was sent.
        case: String,
        /// What happened instead.
        #[source]
        source: ConnectionError,
    },
    /// It answered something else.
    #[error("{case}: answered {got:?} ({message:?}) instead of {expected}")]
    Answer {
        /// What was sent.
        case: String,
        /// The status of the answer.
        got: Code,
        /// Its message.
        message: String,
        /// What was expected.
        expected: String,
    },
}

/// The outcome of a check.
pub type Outcome = Result<(), Deviation>;

/// A check of the agent at an address.
pub type Check = fn(&ServerAddress) -> Outcome;

/// Every check, by name.
pub const ALL: [(&str, Check); 15] = [
    ("health", health),
    ("unknown_method", unknown_method),
    ("unknown_service", unknown_service),
    ("truncated_frames", truncated_frames),
    ("oversized_request", oversized_request),
    ("even_stream_id", even_stream_id),
    ("stray_frames", stray_frames),
    ("garbage", garbage),
    ("many_connections", many_connections),
    ("empty_requests", empty_requests),
    ("hostile_container_ids", hostile_container_ids),
    ("hostile_sandbox_ids", hostile_sandbox_ids),
    ("undecodable_requests", undecodable_requests),
    ("many_parts", many_parts),
    ("cancelled_call", cancelled_call),
];

/// An answer, or the deviation that there is none.
fn answered(case: &str, answer: Result<Answer, ConnectionError>) -> Result<Answer, Deviation> {
    answer.map_err(|source| Deviation::NoAnswer { case: case.to_owned(), source })
}

/// Demands one of these codes.
fn expect_code(case: &str, answer: Result<Answer, ConnectionError>, expected: &[Code]) -> Outcome {
    let answer = answered(case, answer)?;
    if expected.contains(&answer.code) {
        return Ok(());
    }
    Err(Deviation::Answer {
        case: case.to_owned(),
        got: answer.code,
        message: answer.message,
        expected: format!("{expected:?}"),
    })
}

/// Demands one of these codes for a call on a connection of its own.
fn expect_call(case: &str, address: &ServerAddress, request: &Request, expected: &[Code]) -> Outcome {
    expect_code(case, call(address, request), expected)
}

/// Demands that a new connection is served: what happened before did the agent no harm.
fn expect_alive(after: &str, address: &ServerAddress) -> Outcome {
    let request = crate::connection::request(HEALTH, "Check", b"");
    expect_call(&format!("health check after {after}"), address, &request, &[Code::OK])
}

#[cfg(test)]
mod tests;
