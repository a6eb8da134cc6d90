//! Who learns credentials: the registry that they are for, and where it says that tokens come from.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod server;

use registry_client::{
    AuthenticateError, ClientConfig, Credentials, FetchError, Image, ManifestError, Platform, Reference,
    Secret,
};
use server::{Asked, Reply, Server, answer, authority, certified, client, config, ok, stored, tagged};

/// `Basic` of `user` and `secret`.
const BASIC: &str = "Basic dXNlcjpzZWNyZXQ=";

fn with_credentials(server: &Server, credentials: Credentials) -> ClientConfig {
    let mut config = config();
    config.credentials.insert(tagged(server).registry().clone(), credentials);
    config
}

fn user(password: &str) -> Credentials {
    Credentials::Basic { username: "user".to_owned(), password: Secret::new(password.to_owned()) }
}

async fn image(config: ClientConfig, reference: &Reference) -> Result<Image, ManifestError> {
    client(config).manifest(reference, &Platform::linux_amd64()).await
}

fn refusal(error: ManifestError) -> AuthenticateError {
    match error {
        ManifestError::Fetch(_, FetchError::Authenticate(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// A registry that wants this in `Authorization`, and challenges so.
async fn registry(wants: &'static str, challenge: String) -> Server {
    let stored = stored();
    Server::tls(&certified(&authority()), move |asked: &Asked| match asked.field("authorization") {
        Some(value) if value == wants => stored.reply(asked),
        _ => answer("401 Unauthorized", &[("WWW-Authenticate", &challenge)], b""),
    })
    .await
}

/// A token service that says this.
async fn token_service(says: &'static str) -> Server {
    Server::tls(&certified(&authority()), move |_| ok(says.as_bytes())).await
}

fn bearer(service: &Server) -> String {
    format!(
        r#"Bearer realm="https://localhost:{}/token",service="registry",scope="repository:other:push,delete""#,
        service.port
    )
}

#[tokio::test]
async fn a_password_is_for_its_registry() {
    let registry = registry(BASIC, r#"Basic realm="x""#.to_owned()).await;
    image(with_credentials(&registry, user("secret")), &tagged(&registry)).await.unwrap();
    // Nothing is said before it is asked for; then it is remembered.
    let said: Vec<_> = registry.asked().iter().map(|asked| asked.field("authorization").is_some()).collect();
    assert_eq!(said, [false, true, true]);

    let wrong = image(with_credentials(&registry, user("guess")), &tagged(&registry)).await.unwrap_err();
    assert!(matches!(wrong, ManifestError::Fetch(_, FetchError::Unauthorized)), "{wrong:?}");
    let none = refusal(image(config(), &tagged(&registry)).await.unwrap_err());
    assert!(matches!(none, AuthenticateError::Credentials), "{none:?}");
    let mut config = config();
    config.credentials.insert("other.example".parse().unwrap(), user("secret"));
    let other = refusal(image(config, &tagged(&registry)).await.unwrap_err());
    assert!(matches!(other, AuthenticateError::Credentials), "{other:?}");
}

#[tokio::test]
async fn a_token_comes_from_where_the_registry_says() {
    let service = token_service(r#"{"token": "abc", "expires_in": 300}"#).await;
    let registry = registry("Bearer abc", bearer(&service)).await;
    image(with_credentials(&registry, user("secret")), &tagged(&registry)).await.unwrap();
    let asked = service.asked();
    assert_eq!(asked.len(), 1, "a token is remembered");
    assert_eq!(asked[0].path, "/token?service=registry&scope=repository%3Ateam%2Fapp%3Apull");
    assert_eq!(asked[0].field("authorization"), Some(BASIC));
    assert!(registry.asked().iter().all(|asked| asked.field("authorization") != Some(BASIC)));

    image(config(), &tagged(&registry)).await.unwrap();
    assert_eq!(service.asked()[1].field("authorization"), None, "anybody may ask for a token");

    let given = Credentials::Bearer(Secret::new("abc".to_owned()));
    image(with_credentials(&registry, given), &tagged(&registry)).await.unwrap();
    assert_eq!(service.asked().len(), 2, "who has a token asks for none");
}

#[tokio::test]
async fn token_services_that_do_harm_are_refused() {
    for (says, is_expected) in [
        ("{}", (|error| matches!(error, AuthenticateError::Token)) as fn(&AuthenticateError) -> bool),
        (r#"{"token": ""}"#, |error| matches!(error, AuthenticateError::Token)),
        (r#"{"token": "a\r\nHost: b"}"#, |error| matches!(error, AuthenticateError::Token)),
        ("<html>", |error| matches!(error, AuthenticateError::Answer(_))),
    ] {
        let service = token_service(says).await;
        let registry = registry("Bearer abc", bearer(&service)).await;
        let error = refusal(image(config(), &tagged(&registry)).await.unwrap_err());
        assert!(is_expected(&error), "{says}: {error:?}");
    }
    let long = Server::tls(&certified(&authority()), |_| {
        Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n{\"token\":\"".to_vec(), &[b'a'; 4096])
    })
    .await;
    let registry = registry("Bearer abc", bearer(&long)).await;
    let error = refusal(image(config(), &tagged(&registry)).await.unwrap_err());
    assert!(matches!(error, AuthenticateError::Read(_)), "{error:?}");
}

#[tokio::test]
async fn credentials_never_leave_tls() {
    let service = Server::plain(|_| ok(br#"{"token": "abc"}"#)).await;
    let challenge = format!("Bearer realm=\"http://localhost:{}/token\"", service.port);
    let registry = registry("Bearer abc", challenge).await;
    let config = with_credentials(&registry, user("secret"));
    let error = refusal(image(config, &tagged(&registry)).await.unwrap_err());
    assert!(matches!(error, AuthenticateError::PlainRealm), "{error:?}");
    assert_eq!(service.asked().len(), 0);
}

#[tokio::test]
async fn challenges_that_nobody_can_answer_are_refused() {
    for (challenge, is_expected) in [
        (
            "Bearer",
            (|error| matches!(error, AuthenticateError::NoChallenge)) as fn(&AuthenticateError) -> bool,
        ),
        ("Negotiate", |error| matches!(error, AuthenticateError::Credentials)),
        ("Bearer realm=\"", |error| matches!(error, AuthenticateError::Challenge(_))),
        ("Bearer realm=\"file:///etc/passwd\"", |error| matches!(error, AuthenticateError::Realm(_))),
    ] {
        let registry = registry("nothing", challenge.to_owned()).await;
        let error = refusal(
            image(with_credentials(&registry, user("secret")), &tagged(&registry)).await.unwrap_err(),
        );
        assert!(is_expected(&error), "{challenge}: {error:?}");
    }
}
