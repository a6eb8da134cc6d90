use serde_json::{Value, json};

use super::*;

fn descriptor(media_type: &str) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::sha256(b"").to_string(), "size": 1 })
}

fn manifest(layers: &[&str]) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG),
        "layers": layers.iter().map(|media_type| descriptor(media_type)).collect::<Vec<_>>(),
    })
}

fn config(layers: usize) -> Value {
    json!({
        "os": "linux",
        "architecture": "amd64",
        "config": { "Cmd": ["sh"], "Env": null, "Labels": { "a": "b" } },
        "rootfs": { "type": "layers", "diff_ids": vec![Digest::sha256(b"").to_string(); layers] },
    })
}

fn parse(document: &Value, media_type: Option<&str>) -> Result<Document, ImageError> {
    Document::parse(document.to_string().as_bytes(), media_type)
}

fn image(manifest: &Value, config: &Value, max_layer_bytes: u64) -> Result<Image, ImageError> {
    let Document::Manifest(manifest) = parse(manifest, None)? else { panic!("no manifest") };
    let config = config.to_string();
    manifest.into_image(Digest::sha256(b""), config.as_bytes(), &Platform::linux_amd64(), max_layer_bytes)
}

#[test]
fn an_image_is_manifest_and_configuration() {
    let types = [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ];
    let image = image(&manifest(&types), &config(3), 1).unwrap();
    let compressions: Vec<_> = image.layers.iter().map(|layer| layer.compression).collect();
    assert_eq!(compressions, [Compression::None, Compression::Zstd, Compression::Gzip]);
    assert_eq!(image.config.config, ProcessConfig { cmd: vec!["sh".to_owned()], ..ProcessConfig::default() });
}

#[test]
fn images_that_cannot_be_used_are_refused_by_name() {
    let layer = "application/vnd.oci.image.layer.v1.tar";
    let encrypted = "application/vnd.oci.image.layer.v1.tar+encrypted";
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    for media_type in [encrypted, foreign] {
        let refused = image(&manifest(&[media_type]), &config(1), 1).unwrap_err();
        assert!(matches!(refused, ImageError::LayerType(named) if named == media_type));
    }
    let refused = |manifest: &Value, config: &Value| image(manifest, config, 1).unwrap_err();
    assert!(matches!(
        refused(&manifest(&[layer]), &config(2)),
        ImageError::LayerCount { diff_ids: 2, layers: 1 }
    ));
    assert!(matches!(image(&manifest(&[layer]), &config(1), 0), Err(ImageError::LayerSize(1))));
    assert!(matches!(refused(&manifest(&[layer; 129]), &config(129)), ImageError::TooManyLayers(129)));
    let mut arm = config(1);
    arm["architecture"] = json!("arm64");
    assert!(matches!(
        refused(&manifest(&[layer]), &arm),
        ImageError::OtherPlatform(platform) if platform.architecture == "arm64"
    ));
    let mut chart = manifest(&[layer]);
    chart["config"] = descriptor("application/vnd.cncf.helm.config.v1+json");
    assert!(matches!(refused(&chart, &config(1)), ImageError::ConfigType(_)));
    let mut broken = config(1);
    broken["rootfs"]["diff_ids"][0] = json!("md5:00");
    assert!(matches!(refused(&manifest(&[layer]), &broken), ImageError::Json(_)));
}

#[test]
fn documents_are_what_they_say_and_nothing_else_besides() {
    let mut both = manifest(&[]);
    both["manifests"] = json!([]);
    assert!(matches!(parse(&both, None), Err(ImageError::Ambiguous)));
    let mut index = json!({ "schemaVersion": 2, "manifests": [] });
    assert!(matches!(parse(&index, None), Ok(Document::Index(_))));
    assert!(matches!(parse(&index, Some("application/json")), Ok(Document::Index(_))));
    // Said from outside.
    assert!(matches!(parse(&index, Some(OCI_MANIFEST)), Err(ImageError::Ambiguous)));
    // Said by itself.
    index["mediaType"] = json!(DOCKER_MANIFEST);
    assert!(matches!(parse(&index, Some(OCI_INDEX)), Err(ImageError::Ambiguous)));
    index["mediaType"] = json!("text/html");
    assert!(matches!(parse(&index, None), Err(ImageError::MediaType(_))));
    assert!(matches!(parse(&json!({ "schemaVersion": 2 }), None), Err(ImageError::Ambiguous)));
    assert!(matches!(parse(&json!([]), None), Err(ImageError::Json(_))));
}

#[test]
fn schema_1_is_refused_by_name() {
    let old = json!({ "schemaVersion": 1, "name": "a", "fsLayers": [], "history": [] });
    assert!(matches!(parse(&old, None), Err(ImageError::Schema1)));
    let odd = json!({ "schemaVersion": 1, "layers": "none" });
    assert!(matches!(parse(&odd, None), Err(ImageError::Schema1)));
}

#[test]
fn an_index_has_one_image_for_a_platform() {
    let entry = |size: u64, platform: Value| {
        let mut entry = descriptor(OCI_MANIFEST);
        entry["size"] = json!(size);
        entry["platform"] = platform;
        entry
    };
    let amd64 = json!({ "os": "linux", "architecture": "amd64", "variant": "v1" });
    let arm64 = json!({ "os": "linux", "architecture": "arm64" });
    let chosen = |entries: Vec<Value>| {
        let index = parse(&json!({ "schemaVersion": 2, "manifests": entries }), None).unwrap();
        let Document::Index(entries) = index else { panic!("no index") };
        choose(&entries, &Platform::linux_amd64()).map(|descriptor| descriptor.size_bytes)
    };
    assert_eq!(chosen(vec![entry(1, arm64.clone()), entry(2, amd64.clone()), entry(3, amd64)]).unwrap(), 2);
    assert_eq!(chosen(vec![entry(4, Value::Null)]).unwrap(), 4);
    assert!(matches!(chosen(vec![entry(1, arm64)]), Err(ImageError::NoPlatform(_))));
    assert!(chosen(vec![entry(1, Value::Null), entry(2, Value::Null)]).is_err());
    assert!(chosen(Vec::new()).is_err());
}
