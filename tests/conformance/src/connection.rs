//! ttrpc in frames of the caller's making: a client that can be wrong in every way a peer can.

use std::io::{self, Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

use proto::kata::FRAME_PAYLOAD_MAX_BYTES;
use proto::kata::address::ServerAddress;
use protobuf::Message as _;
use ttrpc::Code;
use ttrpc::proto::{
    MESSAGE_HEADER_LENGTH, MESSAGE_TYPE_REQUEST, MESSAGE_TYPE_RESPONSE, MessageHeader, Request, Response,
};

/// How long an answer may take. An agent that takes longer for a refusal hangs.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Stream id of the first call of a connection; a client's ids are odd.
pub const FIRST_STREAM_ID: u32 = 1;

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// These frames are sent over Unix sockets only.
    #[error("the agent's address {0} is no Unix socket")]
    Transport(ServerAddress),
    /// Nobody listens.
    #[error("connecting failed")]
    Connect(#[source] io::Error),
    /// The peer does not take what is sent.
    #[error("sending failed")]
    Send(#[source] io::Error),
    /// The peer closed the connection.
    #[error("the agent closed the connection")]
    Closed,
    /// Nothing came in time.
    #[error("no answer within {} s", ANSWER_LIMIT.as_secs())]
    TimedOut,
    /// Reading failed for another reason.
    #[error("receiving failed")]
    Receive(#[source] io::Error),
    /// The answer is longer than ttrpc allows.
    #[error("an answer of {0} bytes")]
    TooLong(u32),
    /// The answer is not a response frame.
    #[error("a frame of type {0} where a response was due")]
    NotAResponse(u8),
    /// The response is for another call.
    #[error("a response for stream {got} where {due} was due")]
    OtherStream {
        /// The stream id of the response.
        got: u32,
        /// The stream id of the call.
        due: u32,
    },
    /// The response cannot be decoded.
    #[error("the response is malformed")]
    Malformed(#[source] protobuf::Error),
    /// The response has a status that gRPC does not know.
    #[error("the response has the unknown status {0}")]
    UnknownStatus(i32),
}

/// A frame with a header that need not fit it.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The header sent; its length is what the peer is told.
    pub header: MessageHeader,
    /// The bytes that follow it.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A well-formed call.
    #[must_use]
    pub fn request(stream_id: u32, request: &Request) -> Self {
        // Encoding into memory fails only for messages over 2 GiB.
        Self::of_type(MESSAGE_TYPE_REQUEST, stream_id, request.write_to_bytes().unwrap_or_default())
    }

    /// A frame of any type whose header fits its payload.
    #[must_use]
    pub fn of_type(type_: u8, stream_id: u32, payload: Vec<u8>) -> Self {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        Self { header: MessageHeader { length, stream_id, type_, flags: 0 }, payload }
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.header.into();
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// A call of `method` of `service`.
#[must_use]
pub fn request(service: &str, method: &str, payload: &[u8]) -> Request {
    Request {
        service: service.to_owned(),
        method: method.to_owned(),
        payload: payload.to_vec(),
        ..Default::default()
    }
}

/// What an agent answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub code: Code,
    /// Its message.
    pub message: String,
    /// The response message, encoded.
    pub payload: Vec<u8>,
}

/// A connection to an agent; reads and writes are bounded by [`ANSWER_LIMIT`].
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens, or the address is no Unix socket.
    pub fn open(address: &ServerAddress) -> Result<Self, ConnectionError> {
        let connected = match address {
            ServerAddress::UnixPath(path) => UnixStream::connect(path),
            ServerAddress::UnixAbstract(name) => {
                SocketAddr::from_abstract_name(name).and_then(|name| UnixStream::connect_addr(&name))
            }
            ServerAddress::Vsock { .. } => return Err(ConnectionError::Transport(address.clone())),
        };
        let stream = connected.map_err(ConnectionError::Connect)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT)).map_err(ConnectionError::Connect)?;
        stream.set_write_timeout(Some(ANSWER_LIMIT)).map_err(ConnectionError::Connect)?;
        Ok(Self { stream })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the peer does not take them.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.stream.write_all(bytes).map_err(ConnectionError::Send)
    }

    /// Receives the response for a stream.
    ///
    /// # Errors
    /// When none comes, or what comes is no response for it.
    pub fn receive(&mut self, stream_id: u32) -> Result<Answer, ConnectionError> {
        match self.receive_any()? {
            (got, answer) if got == stream_id => Ok(answer),
            (got, _) => Err(ConnectionError::OtherStream { got, due: stream_id }),
        }
    }

    /// Receives the next response, with its stream.
    ///
    /// # Errors
    /// When none comes, or what comes is no response.
    pub fn receive_any(&mut self) -> Result<(u32, Answer), ConnectionError> {
        let mut header = [0; MESSAGE_HEADER_LENGTH];
        self.read_exact(&mut header)?;
        let header = MessageHeader::from(header);
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        if length > FRAME_PAYLOAD_MAX_BYTES {
            return Err(ConnectionError::TooLong(header.length));
        }
        let mut payload = vec![0; length];
        self.read_exact(&mut payload)?;
        if header.type_ != MESSAGE_TYPE_RESPONSE {
            return Err(ConnectionError::NotAResponse(header.type_));
        }
        let response = Response::parse_from_bytes(&payload).map_err(ConnectionError::Malformed)?;
        let status = response.status.unwrap_or_default();
        let code = status.code.enum_value().map_err(ConnectionError::UnknownStatus)?;
        Ok((header.stream_id, Answer { code, message: status.message, payload: response.payload }))
    }

    /// Sends a frame and receives the response for its stream.
    ///
    /// # Errors
    /// When there is none.
    pub fn exchange(&mut self, frame: &Frame) -> Result<Answer, ConnectionError> {
        self.send(&frame.to_bytes())?;
        self.receive(frame.header.stream_id)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), ConnectionError> {
        self.stream.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => ConnectionError::Closed,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ConnectionError::TimedOut,
            _ => ConnectionError::Receive(error),
        })
    }
}

/// One call on a connection of its own.
///
/// # Errors
/// When there is no answer.
pub fn call(address: &ServerAddress, request: &Request) -> Result<Answer, ConnectionError> {
    Connection::open(address)?.exchange(&Frame::request(FIRST_STREAM_ID, request))
}
