//! An image verifies as it was written, and in no other way.

use super::*;
use crate::{build, tests::Parts};

/// A written image, and its folder.
fn image(parts: &Parts) -> PathBuf {
    let recipe = parts.recipe("image");
    build(&recipe).unwrap();
    recipe.output
}

fn change(folder: &Path, name: &str, from: &str, to: &str) {
    let path = folder.join(name);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_written_image_verifies() {
    let parts = Parts::new();
    let folder = image(&parts);
    let reference = verify(&folder, None).unwrap();
    assert_eq!(reference.flavour, "development");
    assert_eq!(reference.measurement.measurement.len(), 96);
}

#[test]
fn another_byte_in_any_part_is_noticed() {
    for name in ["vmlinuz", "initrd.img", "cmdline", "guest.igvm"] {
        let parts = Parts::new();
        let folder = image(&parts);
        let mut bytes = fs::read(folder.join(name)).unwrap();
        bytes.push(b' ');
        fs::write(folder.join(name), bytes).unwrap();
        let refused = verify(&folder, None).unwrap_err();
        assert!(matches!(refused, VerificationError::Part { .. }), "{name}: {refused}");
    }
}

#[test]
fn reference_values_that_say_something_else_are_noticed() {
    let parts = Parts::new();
    let folder = image(&parts);
    let reference = verify(&folder, None).unwrap();
    let first = reference.image.modules.first().unwrap().name.clone();
    for (from, to) in [
        (reference.measurement.measurement.as_str(), "00"),
        ("\"vcpus\": 2", "\"vcpus\": 3"),
        ("\"development\"", "\"production\""),
        ("\"firmware_sha256\": null", "\"firmware_sha256\": \"00\""),
        (first.as_str(), "other"),
    ] {
        image(&parts);
        change(&folder, "reference-values.json", from, to);
        assert!(verify(&folder, None).is_err(), "{from}");
    }
}

#[test]
fn a_firmware_that_was_not_measured_is_refused() {
    let parts = Parts::new();
    let folder = image(&parts);
    let firmware = folder.join("vmlinuz");
    assert!(matches!(verify(&folder, Some(&firmware)), Err(VerificationError::OtherFirmware)));
}

#[test]
fn everything_in_the_initrd_is_listed() {
    let parts = Parts::new();
    let folder = image(&parts);
    let listed = list(&folder).unwrap();
    let init = listed.iter().find(|file| file.path == "init").unwrap();
    let agent = PartDigest::new(&fs::read(parts.recipe("image").agent).unwrap());
    assert_eq!((init.permissions, &init.content), (0o755, &Some(agent)));
    assert!(listed.iter().any(|file| file.path == "proc/" && file.content.is_none()));
    let modules = listed.iter().filter(|file| file.path.ends_with(".ko")).count();
    assert_eq!(modules, verify(&folder, None).unwrap().image.modules.len());
}
