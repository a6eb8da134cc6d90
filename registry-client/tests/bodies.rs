//! What registries serve: honest bytes arrive, and no others are taken.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod server;

use std::time::Duration;

use registry_client::{
    BlobError, BodyError, ClientConfig, Digest, ExchangeError, FetchError, Image, ImageError, Limits,
    ManifestError, Platform, ReadError, Reference,
};
use server::{Asked, Reply, Server, answer, client, ok, plain_config, stored, tagged};
use tokio::io::AsyncReadExt as _;

async fn image(config: ClientConfig, reference: &Reference) -> Result<Image, ManifestError> {
    client(config).manifest(reference, &Platform::linux_amd64()).await
}

/// The first layer of the image, which a server serves so.
async fn layer(
    config: ClientConfig,
    reply: impl Fn() -> Reply + Send + Sync + 'static,
) -> Result<Vec<u8>, LayerError> {
    let stored = stored();
    let digest = Digest::sha256(&stored.layer).to_string();
    let serve =
        move |asked: &Asked| if asked.path.ends_with(&digest) { reply() } else { stored.reply(asked) };
    let server = Server::plain(serve).await;
    let client = client(config);
    let image = client.manifest(&tagged(&server), &Platform::linux_amd64()).await.unwrap();
    let blob = client.blob(&tagged(&server), &image.layers.first().unwrap().descriptor).await;
    let mut blob = blob.map_err(LayerError::Blob)?;
    let mut bytes = Vec::new();
    match blob.read_to_end(&mut bytes).await {
        Ok(_) => Ok(bytes),
        Err(error) => {
            assert!(blob.read_u8().await.is_err(), "what failed is not read again");
            Err(LayerError::Read(*error.into_inner().unwrap().downcast().unwrap()))
        }
    }
}

#[derive(Debug)]
enum LayerError {
    Blob(BlobError),
    Read(ReadError),
}

/// Limits by which slow answers fail soon, and quick ones do not.
fn hasty(hurry: impl Fn(&mut Limits)) -> ClientConfig {
    let mut config = plain_config();
    hurry(&mut config.limits);
    config
}

#[tokio::test]
async fn an_honest_image_arrives() {
    let stored = stored();
    let serve = stored.clone();
    let server = Server::plain(move |asked| serve.reply(asked)).await;
    let found = image(plain_config(), &tagged(&server)).await.unwrap();
    assert_eq!(found.digest, Digest::sha256(&stored.manifest));
    let pinned = tagged(&server).pinned(found.digest);
    assert_eq!(image(plain_config(), &pinned).await.unwrap(), found);
    assert_eq!(layer(plain_config(), move || ok(&stored.layer)).await.unwrap(), vec![b'l'; 100_000]);
    let asked = server.asked();
    assert!(asked[0].path.starts_with("/v2/team/app/manifests/v1"));
    assert_eq!(asked[0].field("host"), Some(format!("localhost:{}", server.port).as_str()));
    assert!(asked[0].field("user-agent").unwrap().starts_with("cce/"));
    assert_eq!(asked[0].field("authorization"), None);
}

#[tokio::test]
async fn a_manifest_is_what_its_digest_says() {
    let stored = stored();
    let pin = Digest::sha256(&stored.manifest);
    let mut tampered = stored.clone();
    tampered.manifest.push(b' ');
    let server = Server::plain(move |_| ok(&tampered.manifest)).await;
    let refused = image(plain_config(), &tagged(&server).pinned(pin)).await.unwrap_err();
    assert!(matches!(refused, ManifestError::Digest(digest) if digest == pin));
}

#[tokio::test]
async fn a_configuration_is_what_the_manifest_says() {
    for change in [|config: &mut Vec<u8>| config.reverse(), |config: &mut Vec<u8>| config.truncate(9)] {
        let stored = stored();
        let mut config = stored.config.clone();
        change(&mut config);
        let digest = Digest::sha256(&stored.config).to_string();
        let serve = move |asked: &Asked| {
            if asked.path.ends_with(&digest) { ok(&config) } else { stored.reply(asked) }
        };
        let server = Server::plain(serve).await;
        let refused = image(plain_config(), &tagged(&server)).await.unwrap_err();
        assert!(matches!(refused, ManifestError::Digest(_) | ManifestError::Size { .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn indexes_are_followed_to_an_end() {
    let index = |named: &[u8], media_type: &str| {
        let (digest, size) = (Digest::sha256(named), named.len());
        format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.{media_type}",
                "digest":"{digest}","size":{size},"platform":{{"os":"linux","architecture":"amd64"}}}}]}}"#
        )
        .into_bytes()
    };
    let stored = stored();
    let mut documents = vec![stored.manifest.clone()];
    for depth in 0..3 {
        let media_type = if depth == 0 { "manifest.v1+json" } else { "index.v1+json" };
        documents.push(index(documents.last().unwrap(), media_type));
        let (serve, all) = (stored.clone(), documents.clone());
        let server = Server::plain(move |asked| {
            let found =
                all.iter().find(|document| asked.path.ends_with(&Digest::sha256(document).to_string()));
            match asked.path.ends_with("/v1") {
                true => ok(all.last().unwrap()),
                false => found.map_or_else(|| serve.reply(asked), |document| ok(document)),
            }
        })
        .await;
        let found = image(plain_config(), &tagged(&server)).await;
        match depth {
            0 | 1 => assert_eq!(found.unwrap().digest, Digest::sha256(&stored.manifest)),
            _ => assert!(matches!(found, Err(ManifestError::TooDeep))),
        }
    }
}

#[tokio::test]
async fn what_is_no_image_is_refused_by_name() {
    let server = Server::plain(|_| ok(br#"{"schemaVersion":1,"fsLayers":[]}"#)).await;
    let refused = image(plain_config(), &tagged(&server)).await.unwrap_err();
    assert!(matches!(refused, ManifestError::Image(_, ImageError::Schema1)));
    for (status, expected) in
        [("404 Not Found", "NotFound"), ("500 Internal", "Status(500)"), ("206 Part", "Status(206)")]
    {
        let server = Server::plain(move |_| answer(status, &[], b"{}")).await;
        let refused = image(plain_config(), &tagged(&server)).await.unwrap_err();
        assert!(
            matches!(&refused, ManifestError::Fetch(_, error) if format!("{error:?}") == expected),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_blob_with_other_bytes_has_an_error_for_an_end() {
    fn head(fields: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_bytes()
    }
    let with = |fields: &str, count: usize| Reply::Bytes([head(fields), vec![b'l'; count]].concat());
    let mut other = vec![b'l'; 100_000];
    other[99_999] = b'x';
    let refused = layer(plain_config(), move || ok(&other)).await.unwrap_err();
    assert!(matches!(refused, LayerError::Read(ReadError::Digest(_))), "{refused:?}");
    let refused = layer(plain_config(), move || with("", 99_999)).await.unwrap_err();
    assert!(
        matches!(refused, LayerError::Read(ReadError::TooShort { read_bytes: 99_999, .. })),
        "{refused:?}"
    );
    let refused = layer(plain_config(), move || with("", 100_001)).await.unwrap_err();
    assert!(matches!(refused, LayerError::Read(ReadError::TooLong { .. })), "{refused:?}");
    let refused = layer(plain_config(), move || Reply::Endless(head(""), &[b'l'; 4096])).await.unwrap_err();
    assert!(matches!(refused, LayerError::Read(ReadError::TooLong { .. })), "{refused:?}");
    let refused = layer(plain_config(), move || with("Content-Length: 100000\r\n", 500)).await.unwrap_err();
    assert!(matches!(refused, LayerError::Read(ReadError::Body(BodyError::Broken(_)))), "{refused:?}");
    let refused =
        layer(plain_config(), move || with("Content-Length: 100001\r\n", 100_001)).await.unwrap_err();
    assert!(
        matches!(refused, LayerError::Blob(BlobError::Announced { announced_bytes: 100_001, .. })),
        "{refused:?}"
    );
    let chunked = "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n";
    let refused = layer(plain_config(), move || Reply::Bytes(head(chunked))).await.unwrap_err();
    assert!(matches!(refused, LayerError::Read(ReadError::Body(BodyError::Broken(_)))), "{refused:?}");
}

#[tokio::test]
async fn answers_without_end_are_cut_off() {
    let endless_field = || Reply::Endless(b"HTTP/1.1 200 OK\r\nA: ".to_vec(), &[b'a'; 4096]);
    let endless_fields = || Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"A: b\r\n");
    let endless_hints = || Reply::Endless(Vec::new(), b"HTTP/1.1 103 Early Hints\r\n\r\n");
    let rubbish = || Reply::Bytes(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec());
    for reply in [endless_field, endless_fields, rubbish] {
        let server = Server::plain(move |_| reply()).await;
        let refused = image(plain_config(), &tagged(&server)).await.unwrap_err();
        let ManifestError::Fetch(_, FetchError::Exchange(error)) = refused else { panic!("{refused:?}") };
        assert!(matches!(error, ExchangeError::Http { .. }), "{error:?}");
    }
    let server = Server::plain(move |_| endless_hints()).await;
    let config = hasty(|limits| limits.answer_timeout = Duration::from_millis(300));
    let refused = image(config, &tagged(&server)).await.unwrap_err();
    assert!(matches!(refused, ManifestError::Fetch(_, FetchError::Exchange(_))), "{refused:?}");

    let server = Server::plain(|_| Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), &[b' '; 4096])).await;
    let refused = image(plain_config(), &tagged(&server)).await.unwrap_err();
    assert!(matches!(refused, ManifestError::Read(_, BodyError::TooLong(_))), "{refused:?}");
}

#[tokio::test]
async fn nobody_waits_without_end() {
    let short = Duration::from_millis(300);
    let server = Server::plain(|_| Reply::Hang(b"HTTP/1.1 200 OK\r\n".to_vec())).await;
    let refused = image(hasty(|limits| limits.answer_timeout = short), &tagged(&server)).await.unwrap_err();
    let ManifestError::Fetch(_, FetchError::Exchange(error)) = refused else { panic!("{refused:?}") };
    assert!(matches!(error, ExchangeError::AnswerTimeout { .. }), "{error:?}");

    let hang = || Reply::Hang(b"HTTP/1.1 200 OK\r\n\r\nbytes".to_vec());
    let refused = layer(hasty(|limits| limits.stall_timeout = short), hang).await.unwrap_err();
    assert!(matches!(refused, LayerError::Read(ReadError::Body(BodyError::TooSlow))), "{refused:?}");

    // Each byte comes soon; all of them would take hours.
    let drip = || Reply::Drip(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Duration::from_millis(50));
    let config = hasty(|limits| (limits.body_timeout, limits.min_bytes_per_second) = (short, u64::MAX));
    let refused = layer(config, drip).await.unwrap_err();
    assert!(matches!(refused, LayerError::Read(ReadError::Body(BodyError::TooSlow))), "{refused:?}");
}
