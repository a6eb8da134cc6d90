//! The way to registries: TLS with who was meant, redirects, and proxies.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod server;

use std::sync::Arc;
use std::time::Duration;

use registry_client::{
    ClientConfig, Credentials, Digest, ExchangeError, FetchError, HttpProxy, Image, ManifestError, Platform,
    Reference, Secret, Tcp, TrustAnchors,
};
use server::{
    Asked, Reply, Server, answer, authority, certified, client, config, plain_config, redirect, server_spec,
    stored, tagged,
};
use statement_signer::{CertificateSpec, Curve, Identity, Key};

async fn image(config: ClientConfig, reference: &Reference) -> Result<Image, ManifestError> {
    client(config).manifest(reference, &Platform::linux_amd64()).await
}

async fn refused(config: ClientConfig, reference: &Reference) -> ExchangeError {
    match image(config, reference).await.unwrap_err() {
        ManifestError::Fetch(_, FetchError::Exchange(error)) => error,
        other => panic!("{other:?}"),
    }
}

async fn registry(who: &Identity) -> Server {
    let stored = stored();
    Server::tls(who, move |asked| stored.reply(asked)).await
}

#[tokio::test]
async fn a_certified_registry_is_spoken_to() {
    let server = registry(&certified(&authority())).await;
    image(config(), &tagged(&server)).await.unwrap();
    // Plain HTTP is for registries without TLS: it is not tried first.
    let by_address: Reference = format!("127.0.0.1:{}/team/app:v1", server.port).parse().unwrap();
    image(config(), &by_address).await.unwrap();
}

#[tokio::test]
async fn whoever_proves_nothing_is_not_spoken_to() {
    let other = Identity::root(&CertificateSpec::authority("Test authority"), Key::new(Curve::P384, 8));
    let elsewhere = CertificateSpec { names: vec![(2, "registry.example")], ..server_spec() };
    let expired = CertificateSpec { years: (2020, 2021), ..server_spec() };
    let issue = |spec: &CertificateSpec| authority().issue(spec, Key::new(Curve::P256, 12));
    for (name, who) in [
        ("another authority", certified(&other)),
        ("another host", issue(&elsewhere)),
        ("expired", issue(&expired)),
    ] {
        let server = registry(&who).await;
        let error = refused(config(), &tagged(&server)).await;
        assert!(matches!(error, ExchangeError::Connect { .. }), "{name}: {error:?}");
        assert_eq!(server.asked().len(), 0, "{name}");
    }
    let server = registry(&certified(&authority())).await;
    let of_browsers = ClientConfig { trust_anchors: TrustAnchors::Mozilla, ..config() };
    assert!(matches!(refused(of_browsers, &tagged(&server)).await, ExchangeError::Connect { .. }));
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let reference = format!("localhost:{}/app", listener.local_addr().unwrap().port()).parse().unwrap();
    let mut config = config();
    config.limits.connect_timeout = Duration::from_millis(300);
    assert!(matches!(refused(config, &reference).await, ExchangeError::ConnectTimeout { .. }));
}

#[tokio::test]
async fn redirects_are_followed_without_credentials() {
    let stored = stored();
    let store = stored.clone();
    let blobs = Server::tls(&certified(&authority()), move |asked| store.reply(asked)).await;
    let elsewhere = format!("https://localhost:{}/store", blobs.port);
    let registry =
        Server::tls(&certified(&authority()), move |asked: &Asked| match asked.field("authorization") {
            Some("Bearer abc") if asked.path.contains("/blobs/") => {
                redirect(&format!("{elsewhere}/{}", asked.path.rsplit('/').next().unwrap()))
            }
            Some("Bearer abc") => stored.reply(asked),
            _ => answer("401 Unauthorized", &[("WWW-Authenticate", "Bearer realm=x")], b""),
        })
        .await;
    let mut config = config();
    let token = Credentials::Bearer(Secret::new("abc".to_owned()));
    config.credentials.insert(tagged(&registry).registry().clone(), token);
    image(config, &tagged(&registry)).await.unwrap();
    let asked = blobs.asked();
    assert!(asked[0].path.starts_with("/store/sha256:"));
    assert!(asked.iter().all(|asked| asked.field("authorization").is_none()));
}

#[tokio::test]
async fn a_redirect_cannot_challenge() {
    let challenge = [("WWW-Authenticate", "Basic realm=x")];
    let other =
        Server::tls(&certified(&authority()), move |_| answer("401 Unauthorized", &challenge, b"")).await;
    let location = format!("https://localhost:{}/v2/", other.port);
    let registry = Server::tls(&certified(&authority()), move |_| redirect(&location)).await;
    let mut config = config();
    let user = Credentials::Basic { username: "user".to_owned(), password: Secret::new("secret".to_owned()) };
    config.credentials.insert(tagged(&registry).registry().clone(), user.clone());
    config.credentials.insert(tagged(&other).registry().clone(), user);
    let error = image(config, &tagged(&registry)).await.unwrap_err();
    assert!(matches!(error, ManifestError::Fetch(_, FetchError::Unauthorized)), "{error:?}");
    assert!(other.asked().iter().all(|asked| asked.field("authorization").is_none()));
}

#[tokio::test]
async fn redirects_lead_to_tls_and_to_an_end() {
    let around = Server::tls(&certified(&authority()), |asked| redirect(&asked.path)).await;
    assert!(matches!(refused(config(), &tagged(&around)).await, ExchangeError::TooManyRedirects));
    assert_eq!(around.asked().len(), 6);

    let stored = stored();
    let plain = Server::plain(move |asked| stored.reply(asked)).await;
    let down = format!("http://localhost:{}/v2/team/app/manifests/v1", plain.port);
    let registry = Server::tls(&certified(&authority()), move |_| redirect(&down)).await;
    assert!(matches!(refused(config(), &tagged(&registry)).await, ExchangeError::Downgrade { .. }));
    assert_eq!(plain.asked().len(), 0);

    let nowhere = Server::tls(&certified(&authority()), |_| redirect("gopher://x/")).await;
    assert!(matches!(refused(config(), &tagged(&nowhere)).await, ExchangeError::Redirect { .. }));
}

#[tokio::test]
async fn plain_http_stays_on_this_machine() {
    let away = Server::plain(|_| redirect("http://registry.example/v2/")).await;
    assert!(matches!(refused(plain_config(), &tagged(&away)).await, ExchangeError::Plain(_)));
    // To be asked for, it has to be on loopback: another host is spoken to over TLS, even where that leads nowhere.
    let mut config = plain_config();
    config.connector = Arc::new(HttpProxy::new(tagged(&away).registry().clone(), Arc::new(Tcp)));
    let error = refused(config, &"registry.example/app".parse().unwrap()).await;
    assert!(matches!(error, ExchangeError::Connect { .. }), "{error:?}");
    assert!(away.asked().last().unwrap().head.starts_with("CONNECT registry.example:443 HTTP/1.1"));
}

#[tokio::test]
async fn a_proxy_carries_tls() {
    let stored = stored();
    let manifest = Digest::sha256(&stored.manifest);
    let registry = registry(&certified(&authority())).await;
    let to = registry.port;
    let proxy = Server::plain(move |_| Reply::Tunnel(to)).await;
    let user = Credentials::Basic { username: "user".to_owned(), password: Secret::new("secret".to_owned()) };
    let through = HttpProxy::new(tagged(&proxy).registry().clone(), Arc::new(Tcp)).with_credentials(user);
    let through = ClientConfig { connector: Arc::new(through), ..config() };
    // Where the name leads is the proxy's choice; who answers is not.
    let reference = tagged(&registry);
    assert_eq!(image(through.clone(), &reference).await.unwrap().digest, manifest);
    let asked = proxy.asked();
    assert_eq!(asked[0].path, format!("localhost:{to}"));
    assert_eq!(asked[0].field("proxy-authorization"), Some("Basic dXNlcjpzZWNyZXQ="));
    assert!(registry.asked().iter().all(|asked| asked.field("proxy-authorization").is_none()));
    let error = refused(through, &"registry.example/team/app:v1".parse().unwrap()).await;
    assert!(matches!(error, ExchangeError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_proxy_that_carries_nothing_is_an_error() {
    let full = || Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"A: b\r\n");
    let refusing = || answer("407 Proxy Authentication Required", &[], b"");
    for reply in [full, refusing] {
        let proxy = Server::plain(move |_| reply()).await;
        let through = HttpProxy::new(tagged(&proxy).registry().clone(), Arc::new(Tcp));
        let config = ClientConfig { connector: Arc::new(through), ..config() };
        let error = refused(config, &"registry.example/app".parse().unwrap()).await;
        assert!(matches!(error, ExchangeError::Connect { .. }), "{error:?}");
    }
}
