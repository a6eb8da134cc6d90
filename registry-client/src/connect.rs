//! How bytes reach a host: by whatever carries them. What they say is protected by TLS above.

mod proxy;
#[cfg(feature = "tcp")]
mod tcp;

use std::fmt::Debug;
use std::io;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

pub use proxy::{ConnectError, HttpProxy};
#[cfg(feature = "tcp")]
pub use tcp::Tcp;

/// Bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Stream for T {}

/// Opens connections. Whoever is at the other end need not be who was asked for: TLS finds that out.
#[async_trait]
pub trait Connect: Debug + Send + Sync {
    /// Opens a connection to a host (a name or an address without brackets) and port. The client bounds how long it
    /// waits for it, and drops the future then.
    ///
    /// # Errors
    /// When the host cannot be reached.
    async fn connect(&self, host: &str, port: u16) -> io::Result<Box<dyn Stream>>;
}
