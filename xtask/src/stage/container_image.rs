//! The demo's container image: Debian's busybox, as one layer in an OCI image layout.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::command::Run;

/// Programs of busybox that the story uses.
const APPLETS: [&str; 12] =
    ["cat", "date", "echo", "env", "id", "ls", "mount", "sh", "sleep", "true", "uname", "wget"];
/// Directories that containers mount on, and that programs expect.
const DIRECTORIES: [&str; 7] = ["bin", "dev", "etc", "proc", "run", "sys", "tmp"];
/// The environment that the image sets.
const ENVIRONMENT: [&str; 2] = ["PATH=/bin", "GREETING=hello from a confidential container"];
/// The user of the image's processes, who has no privileges.
const USER: u32 = 1000;

/// Builds the image below `dir` and returns the OCI image layout.
pub(crate) fn build(dir: &Path) -> anyhow::Result<PathBuf> {
    let layout = dir.join("image");
    if layout.exists() {
        fs::remove_dir_all(&layout).context("cannot remove an earlier image")?;
    }
    fs::create_dir_all(layout.join("blobs/sha256")).context("cannot create the image layout")?;
    let layer = layer(&busybox(dir)?)?;
    let layer_descriptor = blob(&layout, "application/vnd.oci.image.layer.v1.tar", &layer)?;
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Env": ENVIRONMENT, "User": format!("{USER}:{USER}"), "WorkingDir": "/tmp", "Cmd": ["/bin/sh"] },
        "rootfs": { "type": "layers", "diff_ids": [layer_descriptor.get("digest")] },
    });
    let config = blob(&layout, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [layer_descriptor],
    });
    let manifest =
        blob(&layout, "application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes())?;
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string()).context("cannot write the image index")?;
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
        .context("cannot write the image layout's version")?;
    Ok(layout)
}

/// Writes a blob and returns its descriptor.
fn blob(layout: &Path, media_type: &str, bytes: &[u8]) -> anyhow::Result<Value> {
    let digest = hex::encode(Sha256::digest(bytes));
    fs::write(layout.join("blobs/sha256").join(&digest), bytes)
        .context("cannot write a blob of the image")?;
    Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() }))
}

/// The static busybox of Debian's package, downloaded and unpacked, not installed.
fn busybox(dir: &Path) -> anyhow::Result<Vec<u8>> {
    let unpacked = dir.join("busybox");
    let program = unpacked.join("bin/busybox");
    if !program.is_file() {
        fs::create_dir_all(&unpacked).context("cannot create a directory for busybox")?;
        Run::new("apt-get").args(["download", "--quiet", "busybox-static"]).in_dir(&unpacked).stdout()?;
        let package = fs::read_dir(&unpacked)?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .context("Debian's busybox-static did not arrive")?;
        Run::new("dpkg-deb").arg("--extract").arg(&package).arg(&unpacked).stdout()?;
    }
    fs::read(&program).context("cannot read busybox")
}

/// The layer's tar: sorted, without times, the same bytes for the same package.
fn layer(busybox: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut files: BTreeMap<String, (u32, Vec<u8>)> = BTreeMap::new();
    files.insert("bin/busybox".into(), (0o755, busybox.to_vec()));
    files.insert(
        "etc/passwd".into(),
        (0o644, format!("root:x:0:0::/:/bin/sh\napp:x:{USER}:{USER}::/tmp:/bin/sh\n").into()),
    );
    files.insert("etc/group".into(), (0o644, format!("root:x:0:\napp:x:{USER}:\n").into()));
    let mut tar = tar::Builder::new(Vec::new());
    for directory in DIRECTORIES {
        let mode = if directory == "tmp" { 0o1777 } else { 0o755 };
        let mut header = header(tar::EntryType::Directory, mode, 0);
        tar.append_data(&mut header, format!("{directory}/"), std::io::empty())?;
    }
    for applet in APPLETS {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    for (path, (mode, content)) in &files {
        let mut header = header(tar::EntryType::Regular, *mode, content.len() as u64);
        tar.append_data(&mut header, path, content.as_slice())?;
    }
    tar.into_inner().context("cannot write the layer")
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
