//! Debian's registry (the distribution project's), started over a folder of the test.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use statement_signer::{CertificateSpec, Curve, Identity, Key, pem};

/// The registry's program.
const PROGRAM: &str = "docker-registry";
/// `user` and the bcrypt hash of `secret`.
const PASSWORDS: &str = "user:$2b$04$TYVdJGcoygYAomV3wkCrbeU/m/fNqZIH/N.2qK9lhz/EsvaOnJU1a\n";
/// What tokens are for.
const SERVICE: &str = "test registry";

/// Whether the registry is installed. If not, a reason is printed; where tests may not be left out, it is a failure.
pub(crate) fn is_there() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(PROGRAM).is_file());
    assert!(is_there || std::env::var_os("CI").is_none(), "{PROGRAM} is missing");
    if !is_there {
        println!("skipped: the Debian package {PROGRAM} is not installed");
    }
    is_there
}

/// How a registry is spoken to, and what it wants to know.
pub(crate) enum Access<'a> {
    /// Plain HTTP, anybody.
    Plain,
    /// TLS with this certificate, and a password.
    Password(&'a Identity),
    /// TLS with this certificate, and tokens of this service.
    Token(&'a Identity, &'a TokenService),
}

/// A registry, until it is dropped.
pub(crate) struct Registry {
    process: Child,
    pub(crate) port: u16,
}

impl Registry {
    /// A registry of the images in `folder`.
    pub(crate) fn start(folder: &Path, access: &Access<'_>) -> Self {
        // Between looking for a free port and listening on it, somebody else may take it.
        (0..5).find_map(|_| Self::try_start(folder, access)).unwrap()
    }

    fn try_start(folder: &Path, access: &Access<'_>) -> Option<Self> {
        let port = free_port();
        let mut http = json!({ "addr": format!("127.0.0.1:{port}"), "secret": "known" });
        let mut auth = json!({});
        if let Access::Password(who) | Access::Token(who, _) = access {
            let (certificate, key) = write_identity(folder, who);
            http["tls"] = json!({ "certificate": certificate, "key": key });
        }
        match access {
            Access::Plain => {}
            Access::Password(_) => {
                fs::write(folder.join("passwords"), PASSWORDS).unwrap();
                auth = json!({ "htpasswd": { "realm": "test", "path": folder.join("passwords") } });
            }
            Access::Token(who, service) => {
                let root = folder.join("root.pem");
                fs::write(&root, pem("CERTIFICATE", who.chain.last().unwrap())).unwrap();
                let realm = format!("https://localhost:{}/token", service.port);
                let (issuer, bundle) = ("test", root);
                auth = json!({ "token": {
                    "realm": realm, "service": SERVICE, "issuer": issuer, "rootcertbundle": bundle
                } });
            }
        }
        // What is JSON is YAML.
        let config = json!({
            "version": "0.1", "log": { "level": "error" }, "http": http, "auth": auth,
            "storage": { "filesystem": { "rootdirectory": folder.join("images") } },
        });
        let file = folder.join(format!("{port}.yml"));
        fs::write(&file, config.to_string()).unwrap();
        let process = Command::new(PROGRAM).arg("serve").arg(&file).stdout(Stdio::null()).spawn().unwrap();
        let mut registry = Self { process, port };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if registry.process.try_wait().unwrap().is_some() {
                return None;
            }
            thread::sleep(Duration::from_millis(20));
        }
        registry.process.try_wait().unwrap().is_none().then_some(registry)
    }

    /// Stores a blob, over plain HTTP.
    pub(crate) fn push_blob(&self, repository: &str, digest: &str, bytes: &[u8]) {
        let (head, _) = self.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), "text/plain", b"");
        let location = head.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap();
        let path = location.split_once(&format!(":{}", self.port)).unwrap().1;
        let (head, body) =
            self.ask("PUT", &format!("{path}&digest={digest}"), "application/octet-stream", bytes);
        assert!(head.contains(" 201 "), "{head}{body}");
    }

    /// Stores a manifest or an index by its tag or digest, over plain HTTP.
    pub(crate) fn push_manifest(&self, repository: &str, name: &str, manifest: &Value) {
        let media_type = manifest["mediaType"].as_str().unwrap();
        let path = format!("/v2/{repository}/manifests/{name}");
        let (head, body) = self.ask("PUT", &path, media_type, manifest.to_string().as_bytes());
        assert!(head.contains(" 201 "), "{head}{body}");
    }

    fn ask(&self, method: &str, path: &str, media_type: &str, body: &[u8]) -> (String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let (port, length) = (self.port, body.len());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\
             Content-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n"
        )
        .unwrap();
        stream.write_all(body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The authority that tests trust.
pub(crate) fn authority() -> Identity {
    Identity::root(&CertificateSpec::authority("Test authority"), Key::new(Curve::P384, 7))
}

/// A server on this machine, certified by the authority.
pub(crate) fn certified(authority: &Identity) -> Identity {
    let spec = CertificateSpec { names: vec![(2, "localhost")], ..CertificateSpec::signer("Test registry") };
    authority.issue(&spec, Key::new(Curve::P256, 11))
}

fn write_identity(folder: &Path, who: &Identity) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    fs::write(&certificate, who.chain_pem()).unwrap();
    fs::write(&key, who.key.pkcs8_pem()).unwrap();
    (certificate, key)
}

/// A service over TLS that gives tokens, for reading one repository, to the user of the tests. It is a registry's
/// neighbour that the test is itself.
pub(crate) struct TokenService {
    pub(crate) port: u16,
}

impl TokenService {
    /// A service by this certificate, which signs tokens too.
    pub(crate) fn start(who: &Identity) -> Self {
        let config = rustls::ServerConfig::builder_with_provider(rustls_graviola::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                who.chain.iter().map(|der| der.clone().into()).collect(),
                who.key.pkcs8().try_into().unwrap(),
            )
            .unwrap();
        let config = std::sync::Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let who = who.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = rustls::ServerConnection::new(std::sync::Arc::clone(&config)).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
                let mut head = Vec::new();
                let mut byte = [0];
                // A client that trusts nobody goes away.
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
                    head.push(byte[0]);
                }
                let answer = answer(&String::from_utf8(head).unwrap(), &who);
                drop(stream.write_all(answer.as_bytes()));
                stream.conn.send_close_notify();
                drop(stream.flush());
            }
        });
        Self { port }
    }
}

fn answer(head: &str, who: &Identity) -> String {
    // `user` and `secret`; field names are in lower case.
    if !head.contains("authorization: Basic dXNlcjpzZWNyZXQ=") {
        return "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_owned();
    }
    assert!(
        head.starts_with("GET /token?service=test%20registry&scope=repository%3Ateam%2Fapp%3Apull "),
        "{head}"
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let chain: Vec<_> = who.chain.iter().map(|der| STANDARD.encode(der)).collect();
    let header = json!({ "typ": "JWT", "alg": "ES256", "x5c": chain });
    let claims = json!({
        "iss": "test", "sub": "user", "aud": SERVICE, "jti": "1",
        "exp": now.saturating_add(300), "nbf": now.saturating_sub(300), "iat": now,
        "access": [{ "type": "repository", "name": "team/app", "actions": ["pull"] }],
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(who.key.sign(signed.as_bytes()));
    let body = json!({ "token": format!("{signed}.{signature}") }).to_string();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
