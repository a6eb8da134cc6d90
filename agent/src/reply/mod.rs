//! From outcomes to what the host is told: one total mapping.

mod stats;

use std::error::Error;

use executor::container::{ExecError, PauseError, StartContainerError};
use executor::layers::{MountDeviceError, SealLayerError};
use policy_engine::Refusal;
use ttrpc::{Code, get_status};

use crate::decision::{OperationError, Overloaded};
use crate::pull::PullError;
use crate::request::RequestError;

pub(crate) use stats::stats_response;

/// The longest message to the host, in bytes.
const MESSAGE_MAX_BYTES: usize = 2048;

/// Everything that a method can fail with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The message is not a request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The request was refused, or its effect failed.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// Too much is under way.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The image was not pulled.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// Reading or writing stdio failed.
    #[error("cannot relay the stream")]
    Stdio(#[source] executor::stdio::StdioError),
}

impl Failure {
    /// The gRPC code: who has to do what about it.
    fn code(&self) -> Code {
        match self {
            Self::Request(RequestError::Driver { .. }) => Code::UNIMPLEMENTED,
            Self::Request(_) => Code::INVALID_ARGUMENT,
            Self::Operation(error) => operation_code(error),
            Self::Overloaded(_) => Code::RESOURCE_EXHAUSTED,
            Self::Pull(error) => pull_code(error),
            Self::Stdio(executor::stdio::StdioError::Denied) => Code::PERMISSION_DENIED,
            Self::Stdio(_) => Code::INTERNAL,
        }
    }
}

fn refusal_code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::Denied(_) => Code::PERMISSION_DENIED,
        Refusal::Poisoned => Code::FAILED_PRECONDITION,
        Refusal::Busy => Code::UNAVAILABLE,
    }
}

fn pull_code(error: &PullError) -> Code {
    match error {
        PullError::NoRoute => Code::UNIMPLEMENTED,
        PullError::TooMany | PullError::Overloaded(_) => Code::RESOURCE_EXHAUSTED,
        PullError::Timeout => Code::DEADLINE_EXCEEDED,
        PullError::Layer { source, .. } => operation_code(source),
        // What an archive is like is the registry's doing.
        PullError::Seal { source: SealLayerError::Build(_) | SealLayerError::Read(_), .. } => {
            Code::FAILED_PRECONDITION
        }
        PullError::Seal { .. } | PullError::GivenUp { .. } => Code::INTERNAL,
        PullError::Manifest(_) | PullError::Fetch { .. } | PullError::Read { .. } => Code::UNAVAILABLE,
    }
}

fn operation_code(error: &OperationError) -> Code {
    match error {
        OperationError::Refused(refusal) => refusal_code(refusal),
        // Kata's shims tell a process that is gone from a container that never was by these two.
        OperationError::NotFound { what: "container" } => Code::INVALID_ARGUMENT,
        OperationError::NotFound { .. } => Code::NOT_FOUND,
        OperationError::Exists { .. }
        | OperationError::LayerConflict(_)
        | OperationError::VolumeConflict(_) => Code::ALREADY_EXISTS,
        OperationError::State { .. }
        | OperationError::Start(StartContainerError::Started)
        | OperationError::Exec(ExecError::NotRunning | ExecError::Paused)
        | OperationError::Pause(PauseError::NotRunning | PauseError::Paused | PauseError::NotPaused)
        // What the limits are is the host's doing.
        | OperationError::Update(_) => Code::FAILED_PRECONDITION,
        OperationError::MountDevice { source: MountDeviceError::RootHashMismatch(_), .. } => Code::DATA_LOSS,
        // What a disk looks like is the host's doing.
        OperationError::MountDevice { .. } => Code::FAILED_PRECONDITION,
        OperationError::UnmountDevice(_)
        | OperationError::ScratchMount(_)
        | OperationError::ScratchUnmount(_)
        | OperationError::MountOverlay(_)
        | OperationError::UnmountOverlay(_)
        | OperationError::MountVolume(_)
        | OperationError::UnmountVolume(_)
        | OperationError::Users(_)
        | OperationError::Create(_)
        | OperationError::Start(StartContainerError::Execute(_))
        | OperationError::Exec(_)
        | OperationError::Pause(_)
        | OperationError::Signal(_)
        | OperationError::Stats(_)
        | OperationError::Remove(_) => Code::INTERNAL,
    }
}

impl From<Failure> for ttrpc::Error {
    fn from(failure: Failure) -> Self {
        Self::RpcStatus(get_status(failure.code(), chain(&failure)))
    }
}

/// An error and its causes in one line, each said once, bounded in length.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    let end =
        text.char_indices().map(|(start, _)| start).take_while(|start| *start <= MESSAGE_MAX_BYTES).last();
    if text.len() > MESSAGE_MAX_BYTES {
        text.truncate(end.unwrap_or(0));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_says_each_cause_once_and_ends() {
        let failure = Failure::from(OperationError::NotFound { what: "process" });
        assert_eq!(chain(&failure), "there is no such process");
        let long = RequestError::Driver { driver: "ü".repeat(4000), reason: "it is not known" };
        assert!(chain(&long).len() <= MESSAGE_MAX_BYTES);
    }

    #[test]
    fn a_denial_is_permission_denied() {
        let engine = policy_engine::Engine::load(b"package policy\napi_version := \"0.10.0\"\n").unwrap();
        let denied =
            engine.decide(policy_engine::request::UnmountOverlay { target: "/run/x".parse().unwrap() });
        if let Err(refusal) = denied {
            assert_eq!(Failure::from(OperationError::from(refusal)).code(), Code::PERMISSION_DENIED);
        }
    }
}
