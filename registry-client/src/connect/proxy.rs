//! Connections through an HTTP proxy, by `CONNECT` (RFC 9110, 9.3.6).

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;

use super::{Connect, Stream};
use crate::authority::Authority;
use crate::credentials::Credentials;
use crate::exchange::{MAX_HEAD_BYTES, MAX_HEADER_FIELDS, Task, USER_AGENT};

/// Connections through an HTTP proxy. It learns the host's name and port, and carries TLS.
#[derive(Clone, Debug)]
pub struct HttpProxy {
    proxy: Authority,
    via: Arc<dyn Connect>,
    credentials: Credentials,
}

/// Why a proxy gave no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host cannot stand in a request.
    #[error("the host has no form that a proxy takes")]
    Host(#[source] hyper::http::Error),
    /// It did not answer in HTTP.
    #[error("the proxy did not answer")]
    Exchange(#[source] hyper::Error),
    /// It refused.
    #[error("the proxy refused with status {0}")]
    Refused(StatusCode),
}

impl HttpProxy {
    /// A proxy that is reached by `via`, on port 80 unless it names another.
    #[must_use]
    pub fn new(proxy: Authority, via: Arc<dyn Connect>) -> Self {
        Self { proxy, via, credentials: Credentials::Anonymous }
    }

    /// The same, with what it wants to know.
    #[must_use]
    pub fn with_credentials(self, credentials: Credentials) -> Self {
        Self { credentials, ..self }
    }

    async fn open(
        &self,
        stream: Box<dyn Stream>,
        host: &str,
        port: u16,
    ) -> Result<Box<dyn Stream>, ConnectError> {
        let brackets = if host.contains(':') { ("[", "]") } else { ("", "") };
        let authority = format!("{}{host}{}:{port}", brackets.0, brackets.1);
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(Uri::try_from(&authority).map_err(|error| ConnectError::Host(error.into()))?)
            .header(header::HOST, &authority)
            .header(header::USER_AGENT, USER_AGENT)
            .body(Empty::<Bytes>::new())
            .map_err(ConnectError::Host)?;
        if let Some(value) = self.credentials.authorization() {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, value);
        }
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADER_FIELDS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(ConnectError::Exchange)?;
        // The task ends when it has handed the connection over.
        let _task = Task::spawn(connection.with_upgrades());
        let response = sender.send_request(request).await.map_err(ConnectError::Exchange)?;
        if !response.status().is_success() {
            return Err(ConnectError::Refused(response.status()));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(ConnectError::Exchange)?;
        Ok(Box::new(TokioIo::new(upgraded)))
    }
}

#[async_trait]
impl Connect for HttpProxy {
    async fn connect(&self, host: &str, port: u16) -> io::Result<Box<dyn Stream>> {
        let stream = self.via.connect(self.proxy.host(), self.proxy.port().unwrap_or(80)).await?;
        self.open(stream, host, port).await.map_err(io::Error::other)
    }
}
