//! Frames that are not what ttrpc says.

use std::thread::sleep;
use std::time::{Duration, Instant};

use proto::kata::FRAME_PAYLOAD_MAX_BYTES;
use proto::kata::address::ServerAddress;
use ttrpc::Code;
use ttrpc::proto::{MESSAGE_TYPE_DATA, MESSAGE_TYPE_RESPONSE};

use super::{Deviation, HEALTH, Outcome, answered, expect_alive, expect_code};
use crate::connection::{ANSWER_LIMIT, Connection, ConnectionError, FIRST_STREAM_ID, Frame, request};

/// Payload of the request that is too long: 5 MiB.
const OVERSIZED_BYTES: usize = 5 << 20;
const _: () = assert!(OVERSIZED_BYTES > FRAME_PAYLOAD_MAX_BYTES);
/// Connections opened at once by [`many_connections`].
const MANY: usize = 300;
const RETRY_PAUSE: Duration = Duration::from_millis(50);

fn health_check(stream_id: u32) -> Frame {
    Frame::request(stream_id, &request(HEALTH, "Check", b""))
}

fn open(case: &str, address: &ServerAddress) -> Result<Connection, Deviation> {
    Connection::open(address).map_err(|source| Deviation::NoAnswer { case: case.to_owned(), source })
}

/// Stops in the middle of a frame, at several places, and hangs up. Others are served on.
///
/// # Errors
/// When they are not.
pub fn truncated_frames(address: &ServerAddress) -> Outcome {
    let whole = health_check(FIRST_STREAM_ID).to_bytes();
    for sent in [1, 4, 9, 10, 11, whole.len().saturating_sub(1)] {
        let case = format!("a frame cut after {sent} bytes");
        let mut connection = open(&case, address)?;
        answered_or_closed(connection.send(whole.get(..sent).unwrap_or(&whole)));
        drop(connection);
        expect_alive(&case, address)?;
    }
    let mut announced = health_check(FIRST_STREAM_ID);
    for length in [u32::try_from(FRAME_PAYLOAD_MAX_BYTES).unwrap_or(u32::MAX), u32::MAX] {
        announced.header.length = length;
        let case = format!("a frame that announces {length} bytes and ends early");
        let mut connection = open(&case, address)?;
        answered_or_closed(connection.send(&announced.to_bytes()));
        // Still open: the agent serves others while it waits for the rest.
        expect_alive(&case, address)?;
    }
    Ok(())
}

/// A request of 5 MiB is refused with INVALID_ARGUMENT; or the connection ends, as long as others are served.
///
/// # Errors
/// When it is answered otherwise, or the agent is gone.
pub fn oversized_request(address: &ServerAddress) -> Outcome {
    let case = "a request of 5 MiB";
    let mut connection = open(case, address)?;
    let oversized = vec![0; OVERSIZED_BYTES];
    let frame = Frame::request(FIRST_STREAM_ID, &request("grpc.AgentService", "SetPolicy", &oversized));
    match connection.exchange(&frame) {
        Err(ConnectionError::Closed | ConnectionError::Send(_)) => {}
        answer => {
            expect_code(case, answer, &[Code::INVALID_ARGUMENT])?;
            let next = FIRST_STREAM_ID.saturating_add(2);
            expect_code("the call after it", connection.exchange(&health_check(next)), &[Code::OK])?;
        }
    }
    expect_alive(case, address)
}

/// A call with an even stream id, which is a server's, is refused with INVALID_ARGUMENT.
///
/// # Errors
/// When it is answered otherwise.
pub fn even_stream_id(address: &ServerAddress) -> Outcome {
    for stream_id in [0, 2, u32::MAX - 1] {
        let case = format!("a call with stream id {stream_id}");
        let answer = open(&case, address)?.exchange(&health_check(stream_id));
        expect_code(&case, answer, &[Code::INVALID_ARGUMENT])?;
    }
    expect_alive("even stream ids", address)
}

/// Frames of other types than a request do no harm, on a connection that is used on.
///
/// # Errors
/// When a call on the same connection, or on another, is not served.
pub fn stray_frames(address: &ServerAddress) -> Outcome {
    for type_ in [0, MESSAGE_TYPE_RESPONSE, 4, 255] {
        let case = format!("the call after a frame of type {type_}");
        let mut connection = open(&case, address)?;
        let stray = Frame::of_type(type_, FIRST_STREAM_ID, b"stray".to_vec());
        answered(
            &case,
            connection
                .send(&stray.to_bytes())
                .and_then(|()| connection.exchange(&health_check(FIRST_STREAM_ID.saturating_add(2)))),
        )?;
    }
    let data = Frame::of_type(MESSAGE_TYPE_DATA, FIRST_STREAM_ID, b"stray".to_vec());
    let case = "data for a stream that was never opened";
    expect_code(case, open(case, address)?.exchange(&data), &[Code::INVALID_ARGUMENT])?;
    expect_alive("stray frames", address)
}

/// Bytes that are no frames at all do no harm.
///
/// # Errors
/// When the agent is gone.
pub fn garbage(address: &ServerAddress) -> Outcome {
    for bytes in [b"GET / HTTP/1.1\r\nHost: guest\r\n\r\n".as_slice(), &[0xff; 4096], &[0; 4096]] {
        let mut connection = open("garbage", address)?;
        answered_or_closed(connection.send(bytes));
        drop(connection);
        expect_alive("garbage", address)?;
    }
    Ok(())
}

/// A host that opens many connections and says nothing on them gets them refused or served; it does not stop the
/// agent from serving once they are closed.
///
/// # Errors
/// When the agent is gone.
pub fn many_connections(address: &ServerAddress) -> Outcome {
    let silent: Vec<_> = std::iter::repeat_with(|| Connection::open(address)).take(MANY).collect();
    drop(silent);
    // The agent may bound its connections, and notices only in time that these have ended.
    let begin = Instant::now();
    loop {
        match expect_alive("300 connections", address) {
            Err(Deviation::NoAnswer {
                source: ConnectionError::Closed | ConnectionError::Send(_), ..
            }) if begin.elapsed() < ANSWER_LIMIT => sleep(RETRY_PAUSE),
            outcome => return outcome,
        }
    }
}

/// Whether the agent took all of it is its own affair: it may hang up on nonsense.
fn answered_or_closed(_: Result<(), ConnectionError>) {}
