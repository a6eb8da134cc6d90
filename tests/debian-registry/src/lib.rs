//! Debian's image registry (the distribution project's), started over a folder of the test.
//!
//! Tests alone use it: it panics where a test would.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "what is left out is told")]
#![expect(clippy::disallowed_methods, reason = "what is started is a program of the host")]

mod identity;
mod token_service;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use statement_signer::{Identity, pem};

use identity::write_identity;
pub use identity::{authority, certified};
pub use token_service::TokenService;

/// The registry's program.
const PROGRAM: &str = "docker-registry";
/// `user` and the bcrypt hash of `secret`.
const PASSWORDS: &str = "user:$2b$04$TYVdJGcoygYAomV3wkCrbeU/m/fNqZIH/N.2qK9lhz/EsvaOnJU1a\n";
/// What tokens are for.
const SERVICE: &str = "test registry";

/// Whether the registry is installed. If not, a reason is printed; where tests may not be left out, it is a failure.
pub fn is_there() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(PROGRAM).is_file());
    assert!(is_there || std::env::var_os("CI").is_none(), "{PROGRAM} is missing");
    if !is_there {
        println!("skipped: the Debian package {PROGRAM} is not installed");
    }
    is_there
}

/// How a registry is spoken to, and what it wants to know.
#[derive(Debug)]
pub enum Access<'a> {
    /// Plain HTTP, anybody. Images are stored this way.
    Plain,
    /// TLS with this certificate, anybody.
    Tls(&'a Identity),
    /// TLS with this certificate, and a password.
    Password(&'a Identity),
    /// TLS with this certificate, and tokens of this service.
    Token(&'a Identity, &'a TokenService),
}

/// A registry, until it is dropped.
#[derive(Debug)]
pub struct Registry {
    process: Child,
    /// Where it listens on loopback.
    pub port: u16,
}

impl Registry {
    /// A registry of the images in `folder`.
    pub fn start(folder: &Path, access: &Access<'_>) -> Self {
        // Between looking for a free port and listening on it, somebody else may take it.
        (0..5).find_map(|_| Self::try_start(folder, access)).unwrap()
    }

    fn try_start(folder: &Path, access: &Access<'_>) -> Option<Self> {
        let port = free_port();
        let mut http = json!({ "addr": format!("127.0.0.1:{port}"), "secret": "known" });
        let mut auth = json!({});
        if let Access::Tls(who) | Access::Password(who) | Access::Token(who, _) = access {
            let (certificate, key) = write_identity(folder, who);
            http["tls"] = json!({ "certificate": certificate, "key": key });
        }
        match access {
            Access::Plain | Access::Tls(_) => {}
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
    pub fn push_blob(&self, repository: &str, digest: &str, bytes: &[u8]) {
        let (head, _) = self.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), "text/plain", b"");
        let location = head.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap();
        let path = location.split_once(&format!(":{}", self.port)).unwrap().1;
        let (head, body) =
            self.ask("PUT", &format!("{path}&digest={digest}"), "application/octet-stream", bytes);
        assert!(head.contains(" 201 "), "{head}{body}");
    }

    /// Stores a manifest or an index by its tag or digest, over plain HTTP.
    pub fn push_manifest(&self, repository: &str, name: &str, manifest: &Value) {
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
