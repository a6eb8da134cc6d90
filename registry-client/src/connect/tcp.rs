//! TCP connections of this machine.

use std::io;
use std::net::Ipv4Addr;

use async_trait::async_trait;
use tokio::net::TcpStream;

use super::{Connect, Stream};

/// TCP connections of this machine; its C library resolves names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

#[async_trait]
impl Connect for Tcp {
    async fn connect(&self, host: &str, port: u16) -> io::Result<Box<dyn Stream>> {
        let stream = match host {
            // Nobody is asked where this is (RFC 6761, 6.3): plain HTTP goes there.
            "localhost" => TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?,
            _ => TcpStream::connect((host, port)).await?,
        };
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}
