//! From wire messages to the vocabulary of [`policy_engine::request`].
//!
//! Pure: no policy, no kernel. A field that the guest does not honour is an error when it is set, because
//! the host could otherwise believe, or make a reader of its logs believe, that it took effect.

mod control;
mod create_container;
mod process;
mod resources;
mod sandbox;
mod seccomp;
mod storage;

use policy_engine::name::ParseNameError;
use policy_engine::path::ParsePathError;
use policy_engine::{ContainerId, ExecId};
use proto::kata::agent;

pub(crate) use control::{pause, resume, update};
pub(crate) use create_container::ContainerPlan;
pub(crate) use process::{exec, terminal_size};
pub(crate) use sandbox::SandboxPlan;
pub(crate) use storage::{RootFilesystem, RootLayers, VolumePlan};

/// Why a message is not a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// An id that is not one.
    #[error("{field} is not an id")]
    Name {
        field: &'static str,
        #[source]
        source: ParseNameError,
    },
    /// A path that is not canonical, or leaves its place.
    #[error("{field} is not a path that the guest accepts")]
    Path {
        field: &'static str,
        #[source]
        source: ParsePathError,
    },
    /// A field that must be present.
    #[error("{field} is missing")]
    Missing { field: &'static str },
    /// A value outside its range or form.
    #[error("{field} is not valid: {expected}")]
    Value { field: &'static str, expected: &'static str },
    /// Something of the contract that this guest does not do, so that it must not be asked for.
    #[error("{field} is set, which this guest refuses: {reason}")]
    Refused { field: &'static str, reason: &'static str },
    /// The name of an image that is none.
    #[error("storages.source is not the name of an image")]
    Image {
        #[source]
        source: registry_client::ParseReferenceError,
    },
    /// A storage driver that the guest does not have.
    #[error("storage driver {driver:?} is not offered by this guest: {reason}")]
    Driver { driver: String, reason: &'static str },
    /// A storage option that the guest does not know.
    #[error("storage option {option:?} is not known for {driver}")]
    Option { driver: &'static str, option: String },
}

impl RequestError {
    /// Shortens what a host sent before it is sent back: an error is never longer than a line.
    fn excerpt(text: &str) -> String {
        text.chars().filter(|character| !character.is_control()).take(64).collect()
    }
}

/// The container of a message.
pub(crate) fn container_id(text: &str) -> Result<ContainerId, RequestError> {
    text.parse().map_err(|source| RequestError::Name { field: "container_id", source })
}

/// The process of a message; `None` for a container's init, which Kata spells as an empty id or as the
/// container's own.
pub(crate) fn exec_id(text: &str, container: &ContainerId) -> Result<Option<ExecId>, RequestError> {
    if text.is_empty() || text == container.as_str() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|source| RequestError::Name { field: "exec_id", source })
}

/// Refuses `field` when it `is_set`.
fn refuse(is_set: bool, field: &'static str, reason: &'static str) -> Result<(), RequestError> {
    if is_set { Err(RequestError::Refused { field, reason }) } else { Ok(()) }
}

/// Refuses Kata's extra stdio connections.
fn refuse_stdio_ports(stdin: u32, stdout: u32, stderr: u32) -> Result<(), RequestError> {
    refuse(
        stdin != 0 || stdout != 0 || stderr != 0,
        "stdin_port",
        "stdio goes over the agent's own connection",
    )
}

/// Refuses a user by name outside the process's own user.
fn refuse_string_user(user: Option<&agent::StringUser>) -> Result<(), RequestError> {
    refuse(user.is_some(), "string_user", "users are given by number, where policy can judge them")
}

#[cfg(test)]
mod tests;
