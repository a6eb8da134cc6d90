//! The way to a registry: through a proxy that the host, or whoever runs the agent, offers.
//!
//! The guest configures no network and resolves no names. It opens one kind of connection, and asks at its other end for
//! a tunnel (HTTP `CONNECT`). The proxy learns the registry's name, and otherwise sees TLS.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream as StdUnixStream};
use std::sync::Arc;

use proto::kata::address::ServerAddress;
use registry_client::{Authority, Connect, HttpProxy, Stream};
use tokio::net::UnixStream;
use tokio_vsock::{VsockAddr, VsockStream};

/// What requests to the proxy call it.
const PROXY_NAME: &str = "localhost";

/// A connector of registries through the proxy at `address`.
pub(super) fn through_proxy(address: &ServerAddress) -> io::Result<Arc<dyn Connect>> {
    let name: Authority = PROXY_NAME.parse().map_err(io::Error::other)?;
    Ok(Arc::new(HttpProxy::new(name, Arc::new(Proxy(address.clone())))))
}

/// Connections to the proxy, whatever host they are for.
#[derive(Debug)]
struct Proxy(ServerAddress);

#[async_trait::async_trait]
impl Connect for Proxy {
    async fn connect(&self, _: &str, _: u16) -> io::Result<Box<dyn Stream>> {
        Ok(match &self.0 {
            ServerAddress::Vsock { cid, port } => {
                Box::new(VsockStream::connect(VsockAddr::new(*cid, *port)).await?)
            }
            ServerAddress::UnixPath(path) => Box::new(UnixStream::connect(path).await?),
            ServerAddress::UnixAbstract(name) => {
                // Connecting to a local socket does not wait for anybody.
                let stream = StdUnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?;
                stream.set_nonblocking(true)?;
                Box::new(UnixStream::from_std(stream)?)
            }
        })
    }
}
