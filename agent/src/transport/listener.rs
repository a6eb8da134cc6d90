//! Accepts connections, a bounded number of them.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{SocketAddr, UnixListener as StdUnixListener};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use proto::kata::address::ServerAddress;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_vsock::{VsockAddr, VsockListener};

use super::frames::{Frames, Room};

/// The most connections at once. A shim uses one; Kata's tools a few.
const CONNECTIONS_MAX: usize = 32;
/// The most bytes of one write. `vhost-device-vsock` stalls on longer ones; more do not make a transfer faster.
const WRITE_MAX_BYTES: usize = 32 * 1024;
/// The host's context id. Attack: a container that dials the guest's own address to give the agent orders.
const VSOCK_CID_HOST: u32 = 2;
/// How long the door stays shut after a failed accept, which would otherwise repeat at once.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Listens on `address`.
///
/// # Errors
///
/// When the address cannot be bound.
pub(super) fn bind(address: &ServerAddress) -> io::Result<ttrpc::r#async::transport::Listener> {
    let door = match address {
        ServerAddress::Vsock { cid, port } => Door::Vsock(VsockListener::bind(VsockAddr::new(*cid, *port))?),
        ServerAddress::UnixPath(path) => {
            remove_stale_socket(path)?;
            Door::Unix(UnixListener::bind(path)?)
        }
        ServerAddress::UnixAbstract(name) => {
            let listener = StdUnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
            listener.set_nonblocking(true)?;
            Door::Unix(UnixListener::from_std(listener)?)
        }
    };
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    Ok(ttrpc::r#async::transport::Listener::new(Accepted {
        door,
        connections,
        room: Room::new(),
        retry: None,
    }))
}

/// Removes the socket that an earlier agent left at `path`, and nothing that is not a socket.
fn remove_stale_socket(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

enum Door {
    Unix(UnixListener),
    Vsock(VsockListener),
}

impl Door {
    /// A new connection; `None` for one that does not come from the host.
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Box<dyn ByteStream>>>> {
        Poll::Ready(match self {
            Self::Unix(listener) => {
                ready!(listener.poll_accept(context)).map(|(socket, _)| Some(Box::new(socket) as _))
            }
            Self::Vsock(listener) => ready!(listener.poll_accept(context))
                .map(|(socket, peer)| (peer.cid() == VSOCK_CID_HOST).then(|| Box::new(socket) as _)),
        })
    }
}

/// A connected byte stream of either kind.
trait ByteStream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> ByteStream for T {}

struct Accepted {
    door: Door,
    connections: Arc<Semaphore>,
    room: Room,
    retry: Option<Pin<Box<Sleep>>>,
}

impl Stream for Accepted {
    type Item = io::Result<Frames<Connection>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(retry) = &mut self.retry {
                ready!(retry.as_mut().poll(context));
                self.retry = None;
            }
            match ready!(self.door.poll_accept(context)) {
                Ok(None) => continue,
                // A connection beyond the bound is closed at once.
                Ok(Some(stream)) => match Arc::clone(&self.connections).try_acquire_owned() {
                    Ok(slot) => {
                        let connection = Connection { stream, _slot: slot };
                        return Poll::Ready(Some(Ok(Frames::new(connection, self.room.clone()))));
                    }
                    Err(_) => continue,
                },
                Err(_) => self.retry = Some(Box::pin(sleep(ACCEPT_RETRY))),
            }
        }
    }
}

/// A connection and its place among the [`CONNECTIONS_MAX`].
struct Connection {
    stream: Box<dyn ByteStream>,
    _slot: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = bytes.get(..WRITE_MAX_BYTES).unwrap_or(bytes);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
