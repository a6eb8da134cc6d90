//! What gives tokens for a registry.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use statement_signer::Identity;

use crate::SERVICE;

/// A service over TLS that gives tokens, for reading one repository, to the user of the tests. It is a registry's
/// neighbour that the test is itself.
#[derive(Debug)]
pub struct TokenService {
    /// Where it listens on loopback.
    pub port: u16,
}

impl TokenService {
    /// A service by this certificate, which signs tokens too.
    pub fn start(who: &Identity) -> Self {
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
