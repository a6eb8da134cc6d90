//! `cce layer`, `cce policy create` and `cce policy hash` as programs: answers and exit codes.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::disallowed_methods, reason = "what is tested is a program")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::{Compression, write::GzEncoder};
use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Exit code, standard output as JSON, standard error.
fn cce(arguments: &[&str]) -> (i32, Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_cce")).arg("--json").args(arguments).output().unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap(), json, String::from_utf8(output.stderr).unwrap())
}

fn layer(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, data) in files {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(data.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, path, *data).unwrap();
    }
    archive.into_inner().unwrap()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn write(folder: &Path, name: &str, data: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, data).unwrap();
    path
}

fn zstd(data: &[u8]) -> Vec<u8> {
    compress_to_vec(data, CompressionLevel::Fastest)
}

fn digest(data: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(data)))
}

/// Digest of what a stored layer is when it is not compressed.
fn diff_id(stored: &[u8]) -> String {
    let mut archive = Vec::new();
    match stored {
        [0x1f, 0x8b, ..] => flate2::read::GzDecoder::new(stored).read_to_end(&mut archive).unwrap(),
        [0x28, 0xb5, ..] => StreamingDecoder::new(stored).unwrap().read_to_end(&mut archive).unwrap(),
        _ => {
            stored.clone_into(&mut archive);
            0
        }
    };
    digest(&archive)
}

/// An OCI image layout of these (stored) layers.
fn layout(folder: &Path, layers: &[Vec<u8>], config: Value) -> PathBuf {
    let diff_ids: Vec<_> = layers.iter().map(|stored| diff_id(stored)).collect();
    layout_that_claims(folder, layers, &diff_ids, config)
}

/// The same, with these digests in its configuration.
fn layout_that_claims(folder: &Path, layers: &[Vec<u8>], diff_ids: &[String], config: Value) -> PathBuf {
    let blobs = folder.join("layout/blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let add = |media_type: &str, data: &[u8]| {
        let digest = hex::encode(Sha256::digest(data));
        fs::write(blobs.join(&digest), data).unwrap();
        json!({"mediaType": format!("application/vnd.oci.image.{media_type}"),
               "digest": format!("sha256:{digest}"), "size": data.len()})
    };
    let stored: Vec<_> = layers.iter().map(|data| add("layer.v1.tar+gzip", data)).collect();
    let config = json!({"architecture": "amd64", "os": "linux", "config": config,
                        "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = add("config.v1+json", config.to_string().as_bytes());
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                          "config": config, "layers": stored});
    let manifest = add("manifest.v1+json", manifest.to_string().as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(folder.join("layout/index.json"), index.to_string()).unwrap();
    fs::write(folder.join("layout/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    folder.join("layout")
}

/// Root hashes in an answer of `cce layer`.
fn roots(answer: &Value) -> Vec<&str> {
    answer.as_array().unwrap().iter().map(|layer| layer["root_hash"].as_str().unwrap()).collect()
}

#[test]
fn every_form_of_a_layer_has_the_same_root_hash() {
    let folder = tempfile::tempdir().unwrap();
    let (base, top) = (layer(&[("bin/tool", b"#!")]), layer(&[("etc/config", b"a=b")]));
    let plain = [write(folder.path(), "base.tar", &base), write(folder.path(), "top.tar", &top)];
    let (code, answer, _) = cce(&["layer", "hash", text(&plain[0]), text(&plain[1])]);
    assert_eq!(code, 0);
    assert_eq!(answer[0]["file"], text(&plain[0]));
    assert!(answer[0]["size_bytes"].as_u64().unwrap().is_multiple_of(4096));
    let expected = roots(&answer);
    assert_ne!(expected[0], expected[1]);

    let compressed = write(folder.path(), "base.tar.gz", &gzip(&base));
    assert_eq!(roots(&cce(&["layer", "hash", text(&compressed)]).1), [expected[0]]);

    let image = layout(folder.path(), &[gzip(&base), gzip(&top)], json!({}));
    assert_eq!(roots(&cce(&["layer", "hash", text(&image)]).1), expected);

    let list = br#"[{"Config":"c.json","RepoTags":["a:b"],"Layers":["1/layer.tar","2/layer.tar"]}]"#;
    let config = json!({"architecture": "amd64", "os": "linux",
                        "rootfs": {"type": "layers", "diff_ids": [digest(&base), digest(&top)]}});
    let config = config.to_string();
    let saved = layer(&[
        ("2/layer.tar", &top),
        ("1/layer.tar", &gzip(&base)),
        ("c.json", config.as_bytes()),
        ("manifest.json", list),
    ]);
    for (name, data) in [("s.tar", saved.clone()), ("s.tar.gz", gzip(&saved)), ("s.tar.zst", zstd(&saved))] {
        let path = write(folder.path(), name, &data);
        assert_eq!(roots(&cce(&["layer", "hash", text(&path)]).1), expected, "{name}");
    }
}

#[test]
fn layers_of_zstd_and_images_in_archives_have_the_same_root_hash() {
    let folder = tempfile::tempdir().unwrap();
    let (base, top) = (layer(&[("bin/tool", b"#!")]), layer(&[("etc/config", b"a=b")]));
    let compressed = write(folder.path(), "base.tar.zst", &zstd(&base));
    let plain = write(folder.path(), "base.tar", &base);
    let expected = cce(&["layer", "hash", text(&plain)]).1;
    assert_eq!(roots(&cce(&["layer", "hash", text(&compressed)]).1), roots(&expected));

    let image = layout(folder.path(), &[zstd(&base), gzip(&top)], json!({}));
    let of_directory = cce(&["layer", "hash", text(&image)]).1;
    assert_eq!(roots(&of_directory)[0], roots(&expected)[0]);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_dir_all(".", &image).unwrap();
    let archive = archive.into_inner().unwrap();
    for (name, data) in [("oci.tar", archive.clone()), ("oci.tar.gz", gzip(&archive))] {
        let path = write(folder.path(), name, &data);
        assert_eq!(roots(&cce(&["layer", "hash", text(&path)]).1), roots(&of_directory), "{name}");
    }
}

#[test]
fn a_layer_that_the_configuration_does_not_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (named, stored) = (layer(&[("a", b"1")]), layer(&[("a", b"2")]));
    let image = layout_that_claims(folder.path(), &[gzip(&stored)], &[digest(&named)], json!({}));
    let (code, _, errors) = cce(&["layer", "hash", text(&image)]);
    assert_eq!(code, 2);
    assert!(errors.contains("configuration"), "{errors}");

    let config = json!({"architecture": "amd64", "os": "linux",
                        "rootfs": {"type": "layers", "diff_ids": [digest(&named)]}});
    let list = br#"[{"Config":"c.json","Layers":["layer.tar"]}]"#;
    let saved =
        [("layer.tar", &stored[..]), ("c.json", config.to_string().as_bytes()), ("manifest.json", list)]
            .map(|(name, data)| (name, data.to_vec()));
    let members: Vec<_> = saved.iter().map(|(name, data)| (*name, data.as_slice())).collect();
    let saved = write(folder.path(), "saved.tar", &layer(&members));
    assert_eq!(cce(&["layer", "hash", text(&saved)]).0, 2);
}

#[test]
fn a_layer_with_a_file_called_manifest_is_a_layer() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "l.tar", &layer(&[("manifest.json", b"{\"name\":\"extension\"}")]));
    let (code, answer, _) = cce(&["layer", "hash", text(&path)]);
    assert_eq!((code, answer.as_array().unwrap().len()), (0, 1));
}

#[test]
fn broken_input_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let archive = layer(&[("file", &[1; 9000])]);
    let mut cut_gzip = gzip(&archive);
    cut_gzip.truncate(cut_gzip.len() - 5);
    for (name, data) in [
        ("empty", &b""[..]),
        ("noise", &[0x55; 4096]),
        ("cut.tar", &archive[..5000]),
        ("cut.tar.gz", &cut_gzip),
        ("cut.tar.zst", b"\x28\xb5\x2f\xfd1234"),
    ] {
        let path = write(folder.path(), name, data);
        let (code, answer, errors) = cce(&["layer", "hash", text(&path)]);
        assert_eq!(code, 2, "{name}");
        assert!(answer["error"].as_str().unwrap().contains(name), "{name}: {answer}");
        assert!(errors.starts_with("error: "), "{name}: {errors}");
    }
    assert_eq!(cce(&["layer", "hash", text(&folder.path().join("missing"))]).0, 2);
    assert_eq!(cce(&["layer", "hash", text(folder.path())]).0, 2, "a directory that is no layout");
    assert_eq!(cce(&["layer", "hash"]).0, 2);
    assert_eq!(cce(&["layer", "build", "x"]).0, 2);
    assert_eq!(cce(&["no-such-command"]).0, 2);
}

#[test]
fn images_are_built_one_a_layer() {
    let folder = tempfile::tempdir().unwrap();
    let stored = [layer(&[("a", b"1")]), gzip(&layer(&[("b", b"2")]))];
    let image = layout(folder.path(), &stored, json!({}));
    let output = folder.path().join("images");
    let (code, built, _) = cce(&["layer", "build", text(&image), "--output-dir", text(&output)]);
    assert_eq!(code, 0);
    assert_eq!(roots(&built), roots(&cce(&["layer", "hash", text(&image)]).1));
    for layer in built.as_array().unwrap() {
        let bytes = fs::read(layer["file"].as_str().unwrap()).unwrap();
        let offset = usize::try_from(layer["hash_offset_bytes"].as_u64().unwrap()).unwrap();
        assert_eq!(layer["size_bytes"], bytes.len());
        assert_eq!(layer["data_blocks"], offset / 4096);
        assert!(bytes[offset..].starts_with(b"verity\0\0"));
    }

    let single = write(folder.path(), "single.tar", &stored[0]);
    let file = folder.path().join("single.img");
    let (code, one, _) = cce(&["layer", "build", text(&single), "--output", text(&file), "--vhd-footer"]);
    assert_eq!((code, &one["root_hash"]), (0, &built[0]["root_hash"]));
    let bytes = fs::read(&file).unwrap();
    assert!(bytes[bytes.len() - 512..].starts_with(b"conectix"));
    let (code, _, errors) = cce(&["layer", "build", text(&image), "--output", text(&file)]);
    assert_eq!(code, 2);
    assert!(errors.contains("2 layers"), "{errors}");
}

#[test]
fn an_erofs_layer_is_named_by_the_digest_of_the_stored_layer() {
    let folder = tempfile::tempdir().unwrap();
    let plain = layer(&[("a", b"1"), ("b", &[7; 9000])]);
    let stored = gzip(&plain);
    let hash = |path: &Path, options: &[&str]| {
        let arguments = [&["layer", "hash", "--format", "erofs", text(path)], options].concat();
        let (code, json, errors) = cce(&arguments);
        assert_eq!(code, 0, "{errors}");
        roots(&json).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let image = layout(folder.path(), std::slice::from_ref(&stored), json!({"Cmd": ["/a"]}));
    let compressed = write(folder.path(), "layer.tar.gz", &stored);
    let uncompressed = write(folder.path(), "layer.tar", &plain);
    let roots_of_image = hash(&image, &[]);
    assert_eq!(hash(&compressed, &[]), roots_of_image);
    assert_ne!(hash(&uncompressed, &[]), roots_of_image);
    let digest = digest(&stored);
    assert_eq!(hash(&uncompressed, &["--layer-digest", &digest]), roots_of_image);
    let (_, ext4, _) = cce(&["layer", "hash", text(&image)]);
    assert_ne!(roots(&ext4), roots_of_image);

    let file = folder.path().join("layer.img");
    let build = ["layer", "build", "--format", "erofs", text(&compressed), "--output", text(&file)];
    let (code, built, errors) = cce(&build);
    assert_eq!((code, &built["root_hash"]), (0, &json!(roots_of_image[0])), "{errors}");
    let bytes = fs::read(&file).unwrap();
    assert_eq!(bytes[1024..1028], 0xe0f5_e1e2_u32.to_le_bytes());
    let offset = usize::try_from(built["hash_offset_bytes"].as_u64().unwrap()).unwrap();
    assert!(bytes[offset..].starts_with(b"verity\0\0"));

    for misuse in [
        &["--layer-digest", "sha256:12"][..],
        &["--layer-digest", &digest, text(&compressed)],
        &["--format", "ext4", "--layer-digest", &digest],
    ] {
        let format: &[&str] = if misuse[0] == "--format" { &[] } else { &["--format", "erofs"] };
        let arguments = [&["layer", "hash", text(&uncompressed)], format, misuse].concat();
        assert_eq!(cce(&arguments).0, 2, "{misuse:?}");
    }
}

#[test]
fn a_blob_with_another_digest_is_refused_and_leaves_no_image() {
    let folder = tempfile::tempdir().unwrap();
    let data = layer(&[("a", b"1")]);
    let image = layout(folder.path(), std::slice::from_ref(&data), json!({"Cmd": ["/a"]}));
    let blob = image.join("blobs/sha256").join(hex::encode(Sha256::digest(&data)));
    let output = folder.path().join("images");
    let policy = folder.path().join("policy.rego");
    let mut flipped = data.clone();
    flipped[512] ^= 1;
    let longer = [&data[..], &[0; 512]].concat();
    for changed in [&flipped[..], &longer, &data[..data.len() - 512]] {
        fs::write(&blob, changed).unwrap();
        for arguments in [
            vec!["layer", "hash", text(&image)],
            vec!["layer", "build", text(&image), "--output-dir", text(&output)],
            vec!["policy", "create", "--image", text(&image), "--output", text(&policy)],
        ] {
            assert_eq!(cce(&arguments).0, 2, "{arguments:?}");
        }
    }
    assert_eq!(fs::read_dir(&output).unwrap().count(), 0);
    assert!(!policy.exists());
}

#[test]
fn a_policy_says_what_the_image_says() {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({"Env": ["PATH=/bin", "A=1"], "Entrypoint": ["/bin/tool"], "Cmd": ["run"],
                        "WorkingDir": "/srv", "User": "1000:staff"});
    let image = layout(folder.path(), &[layer(&[("a", b"1")]), layer(&[("b", b"2")])], config);
    let policy = folder.path().join("policy.rego");
    let (code, created, errors) = cce(&[
        "policy",
        "create",
        "--image",
        text(&image),
        "--output",
        text(&policy),
        "--env",
        "B=2",
        "--allow-exec",
        r#"["/bin/tool","check"]"#,
    ]);
    assert_eq!(code, 0, "{errors}");
    let written = fs::read_to_string(&policy).unwrap();
    assert_eq!(created["sha256"], hex::encode(Sha256::digest(&written)));
    assert_eq!(cce(&["policy", "hash", text(&policy)]).1["sha256"], created["sha256"]);

    assert!(written.starts_with("package policy\n"));
    assert!(written.contains("\ncreate_container := data.framework.create_container\n"));
    let line = written.lines().find_map(|line| line.strip_prefix("containers := ")).unwrap();
    let containers: Value = serde_json::from_str(line).unwrap();
    let container = &containers[0];
    assert_eq!(container["command"], json!(["/bin/tool", "run"]));
    assert_eq!(container["layers"], created["layers"]);
    assert_eq!(json!(roots(&cce(&["layer", "hash", text(&image)]).1)), created["layers"]);
    let patterns: Vec<_> =
        container["env_rules"].as_array().unwrap().iter().map(|rule| &rule["pattern"]).collect();
    assert_eq!(patterns, ["A=1", "B=2", "PATH=/bin"]);
    assert_eq!(container["env_rules"][0]["strategy"], "string");
    assert_eq!(container["exec_processes"][0]["command"], json!(["/bin/tool", "check"]));
    assert_eq!(container["user"]["user_idname"], json!({"pattern": "1000", "strategy": "id"}));
    assert_eq!(container["user"]["group_idnames"], json!([{"pattern": "staff", "strategy": "name"}]));
    assert_eq!(container["working_dir"], "/srv");
    assert_eq!(container["seccomp_profile_sha256"], "");
    assert_eq!(container["capabilities"]["bounding"].as_array().unwrap().len(), 14);
    // Keys are in the order of their names: a parsed object is, so the text has to be.
    assert_eq!(containers.to_string(), line);

    let arguments =
        ["policy", "create", "--image", text(&image), "--output", text(&policy), "--seccomp-profile"];
    let json = r#"{ "defaultAction": "SCMP_ACT_ALLOW", "flags": null }"#;
    let profile = write(folder.path(), "profile.json", json.as_bytes());
    assert_eq!(cce(&[&arguments[..], &[text(&profile)]].concat()).0, 0);
    let digest = hex::encode(Sha256::digest(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#));
    let written = fs::read_to_string(&policy).unwrap();
    assert!(written.contains(&format!("\"seccomp_profile_sha256\":\"{digest}\"")), "{written}");
    let other = write(folder.path(), "other.json", br#"{"defaultAction":"SCMP_ACT_ALLOW","archMap":[]}"#);
    assert_eq!(cce(&[&arguments[..], &[text(&other)]].concat()).0, 2);

    for misuse in [["--command", "not json"], ["--command", "[]"], ["--env", "novalue"], ["--env", "=1"]] {
        let arguments = ["policy", "create", "--image", text(&image), "--output", text(&policy)];
        assert_eq!(cce(&[&arguments[..], &misuse].concat()).0, 2, "{misuse:?}");
    }
}
