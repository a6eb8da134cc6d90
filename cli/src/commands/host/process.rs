//! Following one process of a container to its end.

use std::io::{self, Write};

use proto::kata::agent::{ReadStreamRequest, WaitProcessRequest};
use ttrpc::context::Context;

use super::connect::{Agent, CallError};

/// Most bytes asked for in one read.
const READ_MAX_BYTES: u32 = 64 << 10;

/// How a process ended and what it wrote; `None` where the guest lets nobody read.
pub(super) struct Ended {
    /// Exit code, or 128 + signal number.
    pub(super) exit_code: i32,
    /// Standard output.
    pub(super) stdout: Option<Vec<u8>>,
    /// Standard error.
    pub(super) stderr: Option<Vec<u8>>,
}

#[derive(Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

/// Reads both output streams to their ends, copying them to our own when `live`, then takes the exit code.
///
/// # Errors
/// When the guest refuses to say how the process ended, or the connection is lost.
pub(super) async fn follow(
    agent: &Agent,
    container_id: &str,
    exec_id: &str,
    live: bool,
) -> Result<Ended, CallError> {
    let (stdout, stderr) = tokio::join!(
        read_to_end(agent, container_id, exec_id, Stream::Stdout, live),
        read_to_end(agent, container_id, exec_id, Stream::Stderr, live),
    );
    let (stdout, stderr) = (stdout?, stderr?);
    let request = WaitProcessRequest {
        container_id: container_id.to_owned(),
        exec_id: exec_id.to_owned(),
        ..Default::default()
    };
    let response =
        agent.poll("WaitProcess", agent.service.wait_process(Context::default(), &request)).await?;
    Ok(Ended { exit_code: response.status, stdout, stderr })
}

async fn read_to_end(
    agent: &Agent,
    container_id: &str,
    exec_id: &str,
    stream: Stream,
    live: bool,
) -> Result<Option<Vec<u8>>, CallError> {
    let request = ReadStreamRequest {
        container_id: container_id.to_owned(),
        exec_id: exec_id.to_owned(),
        len: READ_MAX_BYTES,
        ..Default::default()
    };
    let mut output = Vec::new();
    loop {
        let context = Context::default();
        let response = match stream {
            Stream::Stdout => agent.poll("ReadStdout", agent.service.read_stdout(context, &request)).await,
            Stream::Stderr => agent.poll("ReadStderr", agent.service.read_stderr(context, &request)).await,
        };
        match response {
            Ok(piece) if piece.data.is_empty() => return Ok(Some(output)),
            Ok(piece) => {
                if live {
                    show(stream, &piece.data);
                }
                output.extend_from_slice(&piece.data);
            }
            // A policy may keep the streams from the host; the process runs all the same.
            Err(error) if error.is_permission_denied() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// Copies output to ours. Nobody has to read it: a closed stream changes nothing about the process in the guest.
fn show(stream: Stream, data: &[u8]) {
    let _ = match stream {
        Stream::Stdout => {
            let mut out = io::stdout().lock();
            out.write_all(data).and_then(|()| out.flush())
        }
        Stream::Stderr => io::stderr().lock().write_all(data),
    };
}
