//! A container image of two layers, made of Debian's static busybox, as an OCI image layout.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The program of Debian's package `busybox-static`.
pub(crate) const BUSYBOX: &str = "/bin/busybox";
/// The environment that the image sets. The blanks of the second value are part of it.
pub(crate) const ENVIRONMENT: [&str; 2] = ["PATH=/bin", "PADDED=  two  words  "];
/// User and group of the image's processes.
pub(crate) const USER: u32 = 1000;
/// Directory in which the image's processes start.
pub(crate) const WORKING_DIR: &str = "/tmp";

const APPLETS: [&str; 8] = ["base64", "cat", "echo", "ls", "mknod", "sh", "sleep", "true"];
const DIRECTORIES: [&str; 7] = ["bin", "dev", "etc", "proc", "run", "sys", "tmp"];

/// Writes the layout below `folder`.
pub(crate) fn write(folder: &Path) -> PathBuf {
    write_layers(folder.join("image"), &[base_layer(), top_layer()])
}

/// Writes the layout of an image whose first layer is of no policy.
pub(crate) fn write_foreign(folder: &Path) -> PathBuf {
    let mut archive = tar::Builder::new(Vec::new());
    append_file(&mut archive, "etc/foreign", 0o644, b"foreign");
    write_layers(folder.join("foreign"), &[archive.into_inner().unwrap(), base_layer()])
}

fn write_layers(layout: PathBuf, archives: &[Vec<u8>]) -> PathBuf {
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let layers: Vec<Value> = archives
        .iter()
        .map(|archive| blob(&layout, "application/vnd.oci.image.layer.v1.tar", archive))
        .collect();
    let diff_ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Env": ENVIRONMENT, "User": format!("{USER}:{USER}"), "WorkingDir": WORKING_DIR, "Cmd": ["/bin/sh"],
        },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = blob(&layout, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers });
    let manifest = blob(&layout, kind, manifest.to_string().as_bytes());
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    layout
}

/// Writes a blob and returns its descriptor.
fn blob(layout: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let digest = hex::encode(Sha256::digest(bytes));
    fs::write(layout.join("blobs/sha256").join(&digest), bytes).unwrap();
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() })
}

/// The programs.
fn base_layer() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for directory in DIRECTORIES {
        let mode = if directory == "tmp" { 0o1777 } else { 0o755 };
        let mut header = header(tar::EntryType::Directory, mode, 0);
        archive.append_data(&mut header, format!("{directory}/"), std::io::empty()).unwrap();
    }
    for applet in APPLETS {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        archive.append_link(&mut header, format!("bin/{applet}"), "busybox").unwrap();
    }
    append_file(&mut archive, "bin/busybox", 0o755, &fs::read(BUSYBOX).unwrap());
    archive.into_inner().unwrap()
}

/// The users.
fn top_layer() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let users = format!("root:x:0:0::/:/bin/sh\napp:x:{USER}:{USER}::/tmp:/bin/sh\n");
    append_file(&mut archive, "etc/passwd", 0o644, users.as_bytes());
    append_file(&mut archive, "etc/group", 0o644, format!("root:x:0:\napp:x:{USER}:\n").as_bytes());
    archive.into_inner().unwrap()
}

fn append_file(archive: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, content: &[u8]) {
    let mut header = header(tar::EntryType::Regular, mode, content.len().try_into().unwrap());
    archive.append_data(&mut header, path, content).unwrap();
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}
