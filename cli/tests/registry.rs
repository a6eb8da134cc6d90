//! `cce layer` of images in a registry: Debian's, over HTTP and over TLS, for anybody, for a password and for tokens.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![expect(clippy::disallowed_methods, reason = "what is tested is a program")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use debian_registry::{Access, Registry, TokenService, authority, certified};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use statement_signer::pem;
use tempfile::TempDir;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Exit code, standard output as JSON, standard error. Logins of whoever runs the test are not looked at.
fn cce(folder: &Path, arguments: &[&str]) -> (i32, Value, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cce"));
    command.arg("--json").args(arguments).env("HOME", folder).env_remove("DOCKER_CONFIG");
    let output = command.output().unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap(), json, String::from_utf8(output.stderr).unwrap())
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn layer(path: &str, data: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, path, data).unwrap();
    archive.into_inner().unwrap()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// An image with two layers, as it was made and as it is stored.
struct Image {
    archives: Vec<Vec<u8>>,
    stored: Vec<Vec<u8>>,
    config: Vec<u8>,
    manifest: Value,
}

fn image() -> Image {
    let archives = vec![layer("data", &[7; 300_000]), layer("etc/config", b"a=b")];
    let stored = vec![gzip(&archives[0]), archives[1].clone()];
    let diff_ids: Vec<_> = archives.iter().map(|archive| digest(archive)).collect();
    let rootfs = json!({ "type": "layers", "diff_ids": diff_ids });
    let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": rootfs }).to_string().into_bytes();
    let descriptor = |media_type: &str, bytes: &[u8]| {
        json!({ "mediaType": format!("application/vnd.oci.image.{media_type}"),
                "digest": digest(bytes), "size": bytes.len() })
    };
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor("config.v1+json", &config),
        "layers": [descriptor("layer.v1.tar+gzip", &stored[0]), descriptor("layer.v1.tar", &stored[1])],
    });
    Image { archives, stored, config, manifest }
}

impl Image {
    fn push(&self, registry: &Registry) {
        for blob in self.stored.iter().chain([&self.config]) {
            registry.push_blob("team/app", &digest(blob), blob);
        }
        registry.push_manifest("team/app", "v1", &self.manifest);
        let text = self.manifest.to_string();
        let platform = json!({ "os": "linux", "architecture": "amd64" });
        let entry = json!({ "mediaType": MANIFEST, "digest": digest(text.as_bytes()), "size": text.len(),
                            "platform": platform });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
        registry.push_manifest("team/app", "many", &index);
    }

    /// Root hashes of the archives that its layers are.
    fn expected(&self, folder: &Path) -> Vec<Value> {
        let paths: Vec<_> =
            (0..self.archives.len()).map(|index| folder.join(format!("{index}.tar"))).collect();
        for (path, archive) in paths.iter().zip(&self.archives) {
            fs::write(path, archive).unwrap();
        }
        let (code, answer, errors) = cce(folder, &["layer", "hash", text(&paths[0]), text(&paths[1])]);
        assert_eq!(code, 0, "{errors}");
        roots(&answer)
    }
}

/// A folder with the storage of a registry that has the image; nothing where there is no registry to store it.
fn stored() -> Option<(TempDir, Image)> {
    debian_registry::is_there().then(|| {
        let (folder, image) = (TempDir::new().unwrap(), image());
        image.push(&Registry::start(folder.path(), &Access::Plain));
        (folder, image)
    })
}

fn roots(answer: &Value) -> Vec<Value> {
    answer.as_array().unwrap().iter().map(|layer| layer["root_hash"].clone()).collect()
}

/// Files that people give to commands.
fn write(folder: &Path, name: &str, data: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, data).unwrap();
    path
}

#[test]
fn layers_in_a_registry_have_the_root_hashes_of_their_archives() {
    let Some((folder, image)) = stored() else { return };
    let folder = folder.path();
    let registry = Registry::start(folder, &Access::Plain);
    let expected = image.expected(folder);
    let by_digest = format!("@{}", digest(image.manifest.to_string().as_bytes()));
    for name in [":v1", ":many", &by_digest] {
        let reference = format!("docker://localhost:{}/team/app{name}", registry.port);
        let (code, answer, errors) = cce(folder, &["layer", "hash", &reference, "--plain-http"]);
        assert_eq!(code, 0, "{errors}");
        assert_eq!(roots(&answer), expected);
        assert_eq!(answer[0]["file"], reference);
        assert_eq!(answer[0]["layer"], digest(&image.stored[0]));

        let output = folder.join("images");
        let build = ["layer", "build", &reference, "--plain-http", "--output-dir", text(&output)];
        let (code, built, errors) = cce(folder, &build);
        assert_eq!(code, 0, "{errors}");
        assert_eq!(roots(&built), expected);
        assert_eq!(
            fs::metadata(output.join("layer-00.img")).unwrap().len(),
            built[0]["size_bytes"].as_u64().unwrap()
        );
    }
    let of = |name: &str| format!("docker://localhost:{}/team/{name}", registry.port);
    for (reference, reason) in [
        (of("app:v2"), "nothing of that name"),
        (of("other"), "nothing of that name"),
        (of("App"), "repository is malformed"),
        ("docker://registry.example:0/a".to_owned(), "registry is malformed"),
    ] {
        let (code, _, errors) = cce(folder, &["layer", "hash", &reference, "--plain-http"]);
        assert_eq!(code, 2, "{reference}");
        assert!(errors.contains(reason) && errors.contains(&reference), "{errors}");
    }
    // Without being asked, nobody speaks plain HTTP.
    assert_eq!(cce(folder, &["layer", "hash", &of("app:v1")]).0, 2);
}

#[test]
fn a_blob_that_was_changed_in_the_registry_is_refused() {
    let Some((folder, image)) = stored() else { return };
    let folder = folder.path();
    let registry = Registry::start(folder, &Access::Plain);
    let hex = hex::encode(Sha256::digest(&image.stored[1]));
    let blob =
        folder.join(format!("images/docker/registry/v2/blobs/sha256/{}/{hex}/data", hex.split_at(2).0));
    let mut changed = fs::read(&blob).unwrap();
    changed[512] ^= 1;
    fs::write(&blob, changed).unwrap();
    let reference = format!("docker://localhost:{}/team/app:v1", registry.port);
    let output = folder.join("images-built");
    let (code, _, errors) = cce(folder, &["layer", "hash", &reference, "--plain-http"]);
    assert_eq!(code, 2);
    assert!(errors.contains(&hex), "{errors}");
    let build = ["layer", "build", &reference, "--plain-http", "--output-dir", text(&output)];
    assert_eq!(cce(folder, &build).0, 2);
    assert!(!output.join("layer-01.img").exists());
}

#[test]
fn a_password_goes_to_the_registry_that_proves_to_be_it() {
    let Some((folder, image)) = stored() else { return };
    let folder = folder.path();
    let (authority, expected) = (authority(), image.expected(folder));
    let registry = Registry::start(folder, &Access::Password(&certified(&authority)));
    let reference = format!("docker://localhost:{}/team/app:v1", registry.port);
    let root = write(folder, "authority.pem", &pem("CERTIFICATE", &authority.chain[0]));
    let (right, wrong) = (write(folder, "right", "secret\n"), write(folder, "wrong", "guess\n"));
    let with = |arguments: &[&str]| cce(folder, &[&["layer", "hash", &reference], arguments].concat());

    let trusting = ["--ca-file", text(&root)];
    let login =
        |password: &Path| ["--username", "user", "--password-file", text(password)].map(str::to_owned);
    let with_login = |password: &Path| {
        let login = login(password);
        with(&[&trusting[..], &login.each_ref().map(String::as_str)].concat())
    };
    let (code, answer, errors) = with_login(&right);
    assert_eq!(code, 0, "{errors}");
    assert_eq!(roots(&answer), expected);
    let (code, _, errors) = with_login(&wrong);
    assert_eq!(code, 2);
    assert!(errors.contains("refuses these credentials"), "{errors}");
    let (code, _, errors) = with(&trusting);
    assert_eq!(code, 2);
    assert!(errors.contains("other credentials"), "{errors}");
    let (code, _, errors) = with(&[]);
    assert_eq!(code, 2);
    assert!(errors.contains("UnknownIssuer"), "{errors}");

    // What `docker login` keeps.
    let kept =
        json!({ "auths": { (format!("localhost:{}", registry.port)): { "auth": "dXNlcjpzZWNyZXQ=" } } });
    fs::create_dir(folder.join(".docker")).unwrap();
    write(folder, ".docker/config.json", &kept.to_string());
    assert_eq!(with(&trusting).0, 0);
    let nobody = write(folder, "nobody.json", "{}");
    assert_eq!(with(&["--authfile", text(&nobody), "--ca-file", text(&root)]).0, 2);
    assert_eq!(with(&["--username", "user"]).0, 2, "a name without a password");
}

#[test]
fn tokens_come_from_where_the_registry_says() {
    let Some((folder, image)) = stored() else { return };
    let folder = folder.path();
    let (authority, expected) = (authority(), image.expected(folder));
    let who = certified(&authority);
    let service = TokenService::start(&who);
    let registry = Registry::start(folder, &Access::Token(&who, &service));
    let reference = format!("docker://localhost:{}/team/app:many", registry.port);
    let root = write(folder, "authority.pem", &pem("CERTIFICATE", &authority.chain[0]));
    let password = write(folder, "password", "secret");
    let anybody = ["layer", "hash", &reference, "--ca-file", text(&root)];
    let login = ["--username", "user", "--password-file", text(&password)];
    let (code, answer, errors) = cce(folder, &[&anybody[..], &login].concat());
    assert_eq!(code, 0, "{errors}");
    assert_eq!(roots(&answer), expected);
    let (code, _, errors) = cce(folder, &anybody);
    assert_eq!(code, 2);
    assert!(errors.contains("token service answers with status 401"), "{errors}");
}
