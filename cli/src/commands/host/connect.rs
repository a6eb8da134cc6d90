//! The connection to an agent, and what can come of a call on it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use proto::kata::address::{ServerAddress, VSOCK_CID_ANY};
use proto::kata::agent_ttrpc::AgentServiceClient;
use proto::kata::health_ttrpc::HealthClient;
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};
use ttrpc::asynchronous::Client;
use ttrpc::asynchronous::transport::Socket;

/// Longest line a vsock forwarder answers with, in bytes: `OK`, a port and a line end.
const HANDSHAKE_MAX_BYTES: usize = 32;
/// Pause between two attempts to connect.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Where to reach an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AgentAddress {
    /// The address the agent itself listens on.
    Direct(ServerAddress),
    /// A Unix socket of the virtual machine monitor that forwards to a vsock port of the guest.
    Hybrid { socket: PathBuf, port: u32 },
}

impl FromStr for AgentAddress {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if let Some(fields) = text.strip_prefix("hvsock://") {
            let (socket, port) = fields.rsplit_once(':').context("hvsock address is not PATH:PORT")?;
            if socket.is_empty() {
                bail!("hvsock address has no path");
            }
            let port = port.parse().with_context(|| format!("hvsock port {port:?} is no number"))?;
            return Ok(Self::Hybrid { socket: socket.into(), port });
        }
        match text.parse()? {
            ServerAddress::Vsock { cid: VSOCK_CID_ANY, .. } => {
                bail!("to connect, a vsock address needs a context id")
            }
            address => Ok(Self::Direct(address)),
        }
    }
}

impl fmt::Display for AgentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct(address) => address.fmt(f),
            Self::Hybrid { socket, port } => write!(f, "hvsock://{}:{port}", socket.display()),
        }
    }
}

/// A connected agent.
pub(super) struct Agent {
    /// `grpc.AgentService`.
    pub(super) service: AgentServiceClient,
    /// `grpc.Health`.
    pub(super) health: HealthClient,
    /// The bare connection, for calls the contract does not have.
    pub(super) raw: Client,
    call_timeout: Duration,
}

/// The guest said no.
#[derive(Debug, Serialize)]
pub(super) struct Refusal {
    method: String,
    status: String,
    message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused {}: {}: {}", self.method, self.status, self.message)
    }
}

/// Why a call gave no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The guest answered with a status other than OK.
    #[error("{0}")]
    Refused(Refusal),
    /// The guest did not answer in time.
    #[error("{method} was not answered within {} ms", limit.as_millis())]
    TimedOut {
        /// The method called.
        method: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The connection failed, or what came back is not what the contract says.
    #[error("{method} failed")]
    Lost {
        /// The method called.
        method: String,
        /// What ttrpc reports.
        source: ttrpc::Error,
    },
    /// Something on this side of the connection.
    #[error(transparent)]
    Local(#[from] anyhow::Error),
}

/// What the server said. Of a method that it does not know, ttrpc repeats only the name.
fn in_words(method: &str, message: String) -> String {
    if message == format!("{method} method") { format!("there is no method {method}") } else { message }
}

impl CallError {
    /// The same refusal, or the same failure, as a response that was refused.
    fn from_ttrpc(method: &str, error: ttrpc::Error) -> Self {
        match error {
            ttrpc::Error::RpcStatus(status) => Self::Refused(Refusal {
                method: method.to_owned(),
                status: match status.code.enum_value() {
                    Ok(code) => format!("{code:?}"),
                    Err(number) => number.to_string(),
                },
                message: in_words(method, status.message),
            }),
            source => Self::Lost { method: method.to_owned(), source },
        }
    }

    /// Whether the guest refused with PERMISSION_DENIED.
    pub(super) fn is_permission_denied(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.status == "PERMISSION_DENIED")
    }
}

impl Agent {
    /// Awaits a call for at most the time limit of calls.
    ///
    /// The limit is kept on this side only: a limit sent along would make the guest drop the request half-way.
    pub(super) async fn call<T>(
        &self,
        method: &str,
        response: impl Future<Output = ttrpc::Result<T>>,
    ) -> Result<T, CallError> {
        match timeout(self.call_timeout, response).await {
            Ok(result) => result.map_err(|error| CallError::from_ttrpc(method, error)),
            Err(_) => Err(CallError::TimedOut { method: method.to_owned(), limit: self.call_timeout }),
        }
    }

    /// Awaits a call that the guest answers when something happened, however long that takes.
    pub(super) async fn poll<T>(
        &self,
        method: &str,
        response: impl Future<Output = ttrpc::Result<T>>,
    ) -> Result<T, CallError> {
        response.await.map_err(|error| CallError::from_ttrpc(method, error))
    }
}

/// Connects to an agent; tries again for `wait` when nobody is there yet.
///
/// # Errors
/// When there is no connection in the end.
pub(super) async fn connect(
    address: &AgentAddress,
    limit: Duration,
    wait: Duration,
) -> anyhow::Result<Agent> {
    let started = Instant::now();
    let socket = loop {
        let attempt = timeout(limit, open(address)).await.unwrap_or_else(|_| bail!("nobody answers"));
        match attempt {
            Ok(socket) => break socket,
            Err(_) if started.elapsed() < wait => sleep(RETRY_PAUSE).await,
            Err(error) => return Err(error.context(format!("connecting to {address} failed"))),
        }
    };
    let raw = Client::new(socket);
    Ok(Agent {
        service: AgentServiceClient::new(raw.clone()),
        health: HealthClient::new(raw.clone()),
        raw,
        call_timeout: limit,
    })
}

async fn open(address: &AgentAddress) -> anyhow::Result<Socket> {
    match address {
        AgentAddress::Direct(address) => Ok(Socket::connect(address.to_string()).await?),
        AgentAddress::Hybrid { socket, port } => {
            let mut stream = UnixStream::connect(socket).await?;
            forward_to_port(&mut stream, *port).await?;
            Ok(Socket::new(stream))
        }
    }
}

/// Asks a vsock forwarder for a port of the guest. The answer is read byte by byte: what follows it is ttrpc's.
async fn forward_to_port(stream: &mut UnixStream, port: u32) -> anyhow::Result<()> {
    stream.write_all(format!("CONNECT {port}\n").as_bytes()).await?;
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await.context("the forwarder hung up: nobody listens on the port")? {
            b'\n' => break,
            _ if line.len() >= HANDSHAKE_MAX_BYTES => bail!("the forwarder's answer does not end"),
            byte => line.push(byte),
        }
    }
    if !line.starts_with(b"OK ") {
        bail!("the forwarder answered {:?}", String::from_utf8_lossy(&line));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse() {
        let parse = |text: &str| text.parse::<AgentAddress>();
        assert_eq!(
            parse("hvsock:///run/vm:1/v.sock:1024").unwrap(),
            AgentAddress::Hybrid { socket: "/run/vm:1/v.sock".into(), port: 1024 }
        );
        assert_eq!(
            parse("vsock://3:1024").unwrap(),
            AgentAddress::Direct(ServerAddress::Vsock { cid: 3, port: 1024 })
        );
        for refused in ["vsock://-1:1024", "hvsock://:1", "hvsock:///a", "hvsock:///a:b", "tcp://1:2"] {
            assert!(parse(refused).is_err(), "{refused}");
        }
    }

    /// What [`forward_to_port`] makes of a forwarder that answers so, and what it left unread.
    async fn handshake(answer: &[u8]) -> (anyhow::Result<()>, Vec<u8>) {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        far.write_all(answer).await.unwrap();
        far.shutdown().await.unwrap();
        let result = forward_to_port(&mut near, 1024).await;
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.unwrap();
        (result, rest)
    }

    #[tokio::test]
    async fn the_handshake_takes_its_line_and_no_more() {
        let (result, rest) = handshake(b"OK 1073741824\nrest").await;
        result.unwrap();
        assert_eq!(rest, b"rest");
    }

    #[tokio::test]
    async fn a_handshake_that_is_not_ok_fails() {
        for answer in [b"".as_slice(), b"OK", b"ERR 1\n", b"OK 11111111111111111111111111111111111111\n"] {
            assert!(handshake(answer).await.0.is_err(), "{answer:?}");
        }
    }
}
