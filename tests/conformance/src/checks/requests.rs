//! Well-framed calls with content that is not what the contract says.

use proto::kata::address::ServerAddress;
use proto::kata::health::VersionCheckResponse;
use proto::kata::{FRAME_PAYLOAD_MAX_BYTES, METHODS, Method};
use protobuf::Message as _;
use ttrpc::Code;

use super::{AGENT, Deviation, HEALTH, Outcome, answered, expect_alive, expect_call, expect_code};
use crate::connection::{Connection, ConnectionError, FIRST_STREAM_ID, Frame, call, request};

/// Methods whose request has `container_id` as field 1 and which act on that container.
pub(super) const BY_CONTAINER: [&str; 15] = [
    "CreateContainer",
    "StartContainer",
    "RemoveContainer",
    "ExecProcess",
    "SignalProcess",
    "WaitProcess",
    "UpdateContainer",
    "StatsContainer",
    "PauseContainer",
    "ResumeContainer",
    "WriteStdin",
    "ReadStdout",
    "ReadStderr",
    "CloseStdin",
    "TtyWinResize",
];

/// Codes that say what is wrong with a request, or that nothing is. INTERNAL and UNKNOWN say nothing: they are
/// what a fault of the agent looks like.
const TYPED: [Code; 8] = [
    Code::OK,
    Code::INVALID_ARGUMENT,
    Code::NOT_FOUND,
    Code::ALREADY_EXISTS,
    Code::PERMISSION_DENIED,
    Code::FAILED_PRECONDITION,
    Code::RESOURCE_EXHAUSTED,
    Code::UNIMPLEMENTED,
];

/// Ids that are none, and what is wrong with each.
fn hostile_ids() -> [(&'static str, String); 11] {
    [
        ("an empty id", String::new()),
        ("an id with a slash", "a/b".to_owned()),
        ("an absolute path", "/etc".to_owned()),
        ("the parent directory", "..".to_owned()),
        ("a path out of the directory", "../../etc".to_owned()),
        ("the directory itself", ".".to_owned()),
        ("an id of 300 bytes", "a".repeat(300)),
        ("an id with a NUL", "abc\0def".to_owned()),
        ("an id with a line end", "abc\ndef".to_owned()),
        ("an option", "-rf".to_owned()),
        ("an id with a letter beyond ASCII", "abc\u{e9}".to_owned()),
    ]
}

/// A message with one string field. Numbers below 16 and lengths below 2^14 only, which is all that is sent.
fn string_field(number: u8, text: &str) -> Vec<u8> {
    let length = text.len();
    let mut message = vec![number.wrapping_shl(3) | 2];
    if length >= 128 {
        message.push(u8::try_from(length % 128).unwrap_or_default() | 128);
        message.push(u8::try_from(length / 128).unwrap_or_default());
    } else {
        message.push(u8::try_from(length).unwrap_or_default());
    }
    message.extend_from_slice(text.as_bytes());
    message
}

/// The health service answers, with a version.
///
/// # Errors
/// When it does not.
pub fn health(address: &ServerAddress) -> Outcome {
    expect_alive("nothing", address)?;
    let case = "Version";
    let answer = answered(case, call(address, &request(HEALTH, "Version", b"")))?;
    match VersionCheckResponse::parse_from_bytes(&answer.payload) {
        Ok(version) if answer.code == Code::OK && !version.agent_version.is_empty() => Ok(()),
        _ => Err(Deviation::Answer {
            case: case.to_owned(),
            got: answer.code,
            message: answer.message,
            expected: "a version".to_owned(),
        }),
    }
}

/// Methods that the contract does not have are UNIMPLEMENTED.
///
/// # Errors
/// When they are answered otherwise.
pub fn unknown_method(address: &ServerAddress) -> Outcome {
    for method in ["PullImage", "", "createContainer", "CreateContainer\0", "../Check"] {
        let case = format!("method {method:?}");
        expect_call(&case, address, &request(AGENT, method, b""), &[Code::UNIMPLEMENTED])?;
    }
    expect_alive("unknown methods", address)
}

/// Services that the contract does not have are refused with INVALID_ARGUMENT.
///
/// # Errors
/// When they are answered otherwise.
pub fn unknown_service(address: &ServerAddress) -> Outcome {
    for service in ["grpc.Nobody", "", "AgentService", "grpc.agentservice"] {
        let case = format!("service {service:?}");
        expect_call(&case, address, &request(service, "CreateContainer", b""), &[Code::INVALID_ARGUMENT])?;
    }
    expect_alive("unknown services", address)
}

/// Each method answers an empty request in time and with a status that says something. `DestroySandbox`, which
/// may end the agent, comes last; `GetOOMEvent` may wait for its event.
///
/// # Errors
/// When one does not.
pub fn empty_requests(address: &ServerAddress) -> Outcome {
    let (last, others): (Vec<&Method>, Vec<_>) =
        METHODS.iter().partition(|method| method.name == "DestroySandbox");
    for method in others.into_iter().chain(last) {
        let case = format!("an empty request for {}", method.name);
        match call(address, &request(method.service, method.name, b"")) {
            Err(ConnectionError::TimedOut) if method.name == "GetOOMEvent" => {}
            answer => expect_code(&case, answer, &TYPED)?,
        }
    }
    Ok(())
}

/// Container ids that could be taken for something else are refused with INVALID_ARGUMENT by every method; a
/// method that is not served at all may say so.
///
/// # Errors
/// When they are answered otherwise.
pub fn hostile_container_ids(address: &ServerAddress) -> Outcome {
    for method in BY_CONTAINER {
        for (fault, id) in hostile_ids() {
            let case = format!("{method} with {fault}");
            let request = request(AGENT, method, &string_field(1, &id));
            expect_call(&case, address, &request, &[Code::INVALID_ARGUMENT, Code::UNIMPLEMENTED])?;
        }
    }
    expect_alive("hostile container ids", address)
}

/// The same for the id of a sandbox.
///
/// # Errors
/// When they are answered otherwise.
pub fn hostile_sandbox_ids(address: &ServerAddress) -> Outcome {
    for (fault, id) in hostile_ids() {
        let case = format!("CreateSandbox with {fault}");
        let request = request(AGENT, "CreateSandbox", &string_field(5, &id));
        expect_call(&case, address, &request, &[Code::INVALID_ARGUMENT])?;
    }
    expect_alive("hostile sandbox ids", address)
}

/// An envelope, or a request in it, that is no message is refused. ttrpc's own decoder says UNKNOWN for the latter.
///
/// # Errors
/// When it is accepted, or the agent is gone.
pub fn undecodable_requests(address: &ServerAddress) -> Outcome {
    let no_message = b"\x0a\xff\xff\xff\xff\x0f";
    let envelope = Frame::of_type(ttrpc::proto::MESSAGE_TYPE_REQUEST, FIRST_STREAM_ID, no_message.to_vec());
    let case = "an envelope that is no message";
    let answer = Connection::open(address).and_then(|mut connection| connection.exchange(&envelope));
    expect_code(case, answer, &[Code::INVALID_ARGUMENT])?;
    for method in BY_CONTAINER {
        let case = format!("{method} with bytes that are no message");
        let refused = [Code::INVALID_ARGUMENT, Code::UNKNOWN, Code::UNIMPLEMENTED];
        expect_call(&case, address, &request(AGENT, method, no_message), &refused)?;
    }
    expect_alive("undecodable requests", address)
}

/// A container request of two million empty storages, which decodes to some hundred times its 4 MiB, is refused.
///
/// # Errors
/// When it is accepted, or the agent is gone.
pub fn many_parts(address: &ServerAddress) -> Outcome {
    // What the envelope around it takes stays below 64 bytes.
    let storages = FRAME_PAYLOAD_MAX_BYTES.saturating_sub(64) / 2;
    let request = request(AGENT, "CreateContainer", &[0x2a, 0].repeat(storages));
    let case = "a container request of two million storages";
    expect_call(case, address, &request, &[Code::INVALID_ARGUMENT, Code::RESOURCE_EXHAUSTED])?;
    expect_alive(case, address)
}

/// Calls whose time limit passes at once are answered, whatever became of them, and the agent serves on.
///
/// # Errors
/// When it does not.
pub fn cancelled_call(address: &ServerAddress) -> Outcome {
    for method in BY_CONTAINER {
        for timeout_nano in [1, i64::MAX, -1] {
            let case = format!("{method} with a time limit of {timeout_nano} ns");
            let mut request = request(AGENT, method, &string_field(1, "nobody"));
            request.timeout_nano = timeout_nano;
            answered(&case, call(address, &request))?;
        }
    }
    expect_alive("cancelled calls", address)
}
