//! Images: as a folder from which a policy is written, and in a registry.

use std::fs;
use std::path::{Path, PathBuf};

use debian_registry::Registry;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vm::LayerFiles;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image of one layer, as an OCI image layout.
pub(crate) struct Image {
    pub(crate) layout: PathBuf,
    manifest: Value,
}

impl Image {
    /// Writes the image of busybox and a file `/marker`.
    pub(crate) fn write(layout: PathBuf, marker: &str) -> Self {
        fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
        let files = LayerFiles::of_busybox().unwrap().with("marker", marker);
        let layer = blob(&layout, LAYER, &files.archive().unwrap());
        let config = json!({
            "os": "linux", "architecture": "amd64", "config": { "WorkingDir": "/" },
            "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
        });
        let config = blob(&layout, CONFIG, config.to_string().as_bytes());
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
        let index = json!({ "schemaVersion": 2, "manifests": [blob(&layout, MANIFEST, manifest.to_string().as_bytes())] });
        fs::write(layout.join("index.json"), index.to_string()).unwrap();
        fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { layout, manifest }
    }

    /// Stores it as `repository:v1`.
    pub(crate) fn push(&self, registry: &Registry, repository: &str) {
        for descriptor in [&self.manifest["config"], &self.manifest["layers"][0]] {
            let digest = descriptor["digest"].as_str().unwrap();
            let bytes = fs::read(self.layout.join("blobs").join(digest.replace(':', "/"))).unwrap();
            registry.push_blob(repository, digest, &bytes);
        }
        registry.push_manifest(repository, "v1", &self.manifest);
    }

    /// The digest of its layer, in hexadecimal digits.
    pub(crate) fn layer(&self) -> &str {
        self.manifest["layers"][0]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap()
    }
}

/// Writes a blob and returns its descriptor.
fn blob(layout: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let digest = hex::encode(Sha256::digest(bytes));
    fs::write(layout.join("blobs/sha256").join(&digest), bytes).unwrap();
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() })
}
