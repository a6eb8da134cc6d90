//! A server that says what a test wants it to say, over HTTP or over TLS with a certificate of the test's authority.
#![expect(dead_code, reason = "each test program uses a part of it")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use registry_client::{Client, ClientConfig, Digest, Reference, Tcp, TrustAnchors};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use statement_signer::{CertificateSpec, Curve, Identity, Key, pem};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What a client asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The path with its query; the authority of `CONNECT`.
    pub(crate) path: String,
    /// The head of the request.
    pub(crate) head: String,
}

impl Asked {
    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// What a server says.
pub(crate) enum Reply {
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// These bytes, then nothing.
    Hang(Vec<u8>),
    /// The first bytes, then others again and again.
    Endless(Vec<u8>, &'static [u8]),
    /// The first bytes, then single ones with pauses.
    Drip(Vec<u8>, Duration),
    /// What another server on this machine says.
    Tunnel(u16),
}

/// An answer with this body.
pub(crate) fn answer(status: &str, fields: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    Reply::Bytes([head.as_bytes(), b"\r\n", body].concat())
}

/// An answer with this body and nothing else.
pub(crate) fn ok(body: &[u8]) -> Reply {
    answer("200 OK", &[], body)
}

/// An answer that sends elsewhere.
pub(crate) fn redirect(location: &str) -> Reply {
    answer("307 Temporary Redirect", &[("Location", location)], b"")
}

/// A server, for as long as the test runs.
pub(crate) struct Server {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// A server of plain HTTP.
    pub(crate) async fn plain(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(None, reply).await
    }

    /// A server of TLS by this certificate.
    pub(crate) async fn tls(who: &Identity, reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let chain = who.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivateKeyDer::try_from(who.key.pkcs8()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls_graviola::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Self::start(Some(TlsAcceptor::from(Arc::new(config))), reply).await
    }

    async fn start(
        tls: Option<TlsAcceptor>,
        reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (record, reply) = (Arc::clone(&asked), Arc::new(reply));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (record, reply, tls) = (Arc::clone(&record), Arc::clone(&reply), tls.clone());
                // A client that goes away is none of the server's concern.
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &record, &*reply).await,
                        Some(tls) => serve(tls.accept(stream).await?, &record, &*reply).await,
                    }
                });
            }
        });
        Self { port, asked }
    }

    /// What clients asked until now.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    record: &Mutex<Vec<Asked>>,
    reply: &(dyn Fn(&Asked) -> Reply + Send + Sync),
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let asked = Asked { path, head };
    record.lock().unwrap().push(asked.clone());
    match reply(&asked) {
        Reply::Bytes(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        }
        Reply::Hang(bytes) => {
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            std::future::pending().await
        }
        Reply::Endless(bytes, again) => {
            stream.write_all(&bytes).await?;
            loop {
                stream.write_all(again).await?;
            }
        }
        Reply::Drip(bytes, pause) => {
            stream.write_all(&bytes).await?;
            loop {
                stream.write_all(b"x").await?;
                stream.flush().await?;
                tokio::time::sleep(pause).await;
            }
        }
        Reply::Tunnel(port) => {
            let mut other = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
            tokio::io::copy_bidirectional(&mut stream, &mut other).await.map(drop)
        }
    }
}

/// The authority that tests trust.
pub(crate) fn authority() -> Identity {
    Identity::root(&CertificateSpec::authority("Test authority"), Key::new(Curve::P384, 7))
}

/// A server's certificate by this authority, for `localhost` and 127.0.0.1.
pub(crate) fn certified(authority: &Identity) -> Identity {
    authority.issue(&server_spec(), Key::new(Curve::P256, 11))
}

/// What the certificate of a server on this machine says.
pub(crate) fn server_spec() -> CertificateSpec {
    CertificateSpec {
        names: vec![(2, "localhost"), (7, "\x7f\0\0\x01")],
        ..CertificateSpec::signer("Test registry")
    }
}

/// What trusts an authority.
pub(crate) fn trust(authority: &Identity) -> TrustAnchors {
    TrustAnchors::Pem(pem("CERTIFICATE", authority.chain.last().unwrap()).into_bytes())
}

/// How clients behave that trust the tests' authority.
pub(crate) fn config() -> ClientConfig {
    ClientConfig { trust_anchors: trust(&authority()), ..ClientConfig::new(Arc::new(Tcp)) }
}

/// How clients behave that speak plain HTTP with this machine.
pub(crate) fn plain_config() -> ClientConfig {
    ClientConfig { plain_loopback: Some(Arc::new(Tcp)), ..config() }
}

/// A client that behaves so.
pub(crate) fn client(config: ClientConfig) -> Client {
    Client::new(config).unwrap()
}

/// An image of a server, by its tag.
pub(crate) fn tagged(server: &Server) -> Reference {
    format!("localhost:{}/team/app:v1", server.port).parse().unwrap()
}

/// An image with one layer, as a registry has it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) layer: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
}

/// An image with one layer.
pub(crate) fn stored() -> Stored {
    let layer = vec![b'l'; 100_000];
    let diff_id = Digest::sha256(&layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#
    );
    let descriptor = |kind: &str, bytes: &[u8]| {
        let digest = Digest::sha256(bytes);
        let size = bytes.len();
        format!(r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"{digest}","size":{size}}}"#)
    };
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
        descriptor("config.v1+json", config.as_bytes()),
        descriptor("layer.v1.tar", &layer),
    );
    Stored { layer, config: config.into_bytes(), manifest: manifest.into_bytes() }
}

impl Stored {
    /// What an honest registry says.
    pub(crate) fn reply(&self, asked: &Asked) -> Reply {
        match asked.path.rsplit('/').next().unwrap() {
            "v1" => ok(&self.manifest),
            name if name == Digest::sha256(&self.manifest).to_string() => ok(&self.manifest),
            name if name == Digest::sha256(&self.config).to_string() => ok(&self.config),
            name if name == Digest::sha256(&self.layer).to_string() => ok(&self.layer),
            _ => answer("404 Not Found", &[], b""),
        }
    }
}
