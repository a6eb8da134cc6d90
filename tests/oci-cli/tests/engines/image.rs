//! An image of busybox, as an archive that engines import.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

pub(crate) const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 14] = [
    "cat", "echo", "false", "hostname", "id", "ls", "ps", "sh", "sleep", "stty", "test", "touch", "true",
    "tty",
];
/// The name of the image in every engine.
pub(crate) const NAME: &str = "localhost/box:latest";

/// Writes the archive into a directory.
pub(crate) fn write(directory: &Path) -> PathBuf {
    let path = directory.join("box.tar");
    let mut archive = Builder::new(File::create(&path).unwrap());
    let layer = layer();
    let layer = blob(&mut archive, "application/vnd.oci.image.layer.v1.tar", &layer);
    let config = json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
        "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"].clone()]},
    });
    let config =
        blob(&mut archive, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [layer],
    });
    let mut manifest =
        blob(&mut archive, "application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
    if let Some(manifest) = manifest.as_object_mut() {
        let names = json!({"org.opencontainers.image.ref.name": NAME, "io.containerd.image.name": NAME});
        manifest.insert("annotations".to_owned(), names);
    }
    file(&mut archive, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#);
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    file(&mut archive, "index.json", 0o644, index.to_string().as_bytes());
    archive.finish().unwrap();
    path
}

/// Adds a blob; the result is its descriptor.
fn blob(archive: &mut Builder<File>, media_type: &str, bytes: &[u8]) -> Json {
    let digest = hex::encode(Sha256::digest(bytes));
    file(archive, &format!("blobs/sha256/{digest}"), 0o644, bytes);
    json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len()})
}

/// The root file system.
fn layer() -> Vec<u8> {
    let mut layer = Builder::new(Vec::new());
    for (name, mode) in [("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777)] {
        entry(&mut layer, EntryType::Directory, name, mode, &[]);
    }
    file(&mut layer, "bin/busybox", 0o755, &fs::read(BUSYBOX).unwrap());
    for applet in APPLETS {
        let mut header = header(EntryType::Symlink, 0o777, 0);
        layer.append_link(&mut header, format!("bin/{applet}"), "busybox").unwrap();
    }
    file(&mut layer, "etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:web:/:/bin/sh\n");
    layer.into_inner().unwrap()
}

fn file(archive: &mut Builder<impl std::io::Write>, name: &str, mode: u32, bytes: &[u8]) {
    entry(archive, EntryType::Regular, name, mode, bytes);
}

fn entry(archive: &mut Builder<impl std::io::Write>, kind: EntryType, name: &str, mode: u32, bytes: &[u8]) {
    let mut header = header(kind, mode, bytes.len());
    archive.append_data(&mut header, name, bytes).unwrap();
}

fn header(kind: EntryType, mode: u32, length: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(u64::try_from(length).unwrap());
    header
}
