//! Images against those of `mkfs.erofs`, where one that reads archives is installed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use layer_format::layer::MkfsVersion;

use super::archives::{Random, archive, random, samples};
use super::{UUID_TEXT, image_of};

/// Which images the installed tool makes; nothing when it makes none of archives.
fn installed() -> Option<MkfsVersion> {
    let output = Command::new("mkfs.erofs").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version =
        text.split_whitespace().find(|word| word.starts_with(|start: char| start.is_ascii_digit()))?;
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    let (major, minor, patch) = (numbers.next()?, numbers.next()?, numbers.next().unwrap_or_default());
    match (major, minor, patch) {
        (1, 8, 2..) => Some(MkfsVersion::V1_8),
        (1, 9, 2) => Some(MkfsVersion::V1_9_2),
        (1, 9, 3..) | (1, 10.., _) | (2.., _, _) => Some(MkfsVersion::V1_9_3),
        _ => None,
    }
}

fn image_of_tool(archive: &[u8], folder: &Path) -> Vec<u8> {
    let (tar, image) = (folder.join("tar"), folder.join("image"));
    fs::write(&tar, archive).unwrap();
    let made = Command::new("mkfs.erofs")
        .args([
            "--tar=f",
            "--aufs",
            "--quiet",
            "-Enoinline_data",
            "-b4096",
            "-T0",
            "--mkfs-time",
            "--sort=none",
            "-U",
        ])
        .arg(UUID_TEXT)
        .arg(&image)
        .stdin(Stdio::from(fs::File::open(tar).unwrap()))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let bytes = fs::read(&image).unwrap();
    fs::remove_file(image).unwrap();
    bytes
}

#[test]
fn images_are_those_of_mkfs_erofs() {
    let Some(version) = installed() else {
        eprintln!("skipped: no mkfs.erofs of version 1.8.2 or later is installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let random = (10..40).map(|seed| ("random", archive(&random(&mut Random(seed), 20 * seed as usize))));
    for (index, (name, archive)) in samples().into_iter().chain(random).enumerate() {
        let (ours, described) = image_of(&archive, version).unwrap();
        let theirs = image_of_tool(&archive, folder.path());
        assert_eq!(theirs.len() as u64, described.digest.data_size_bytes, "{name} ({index})");
        assert!(ours[..theirs.len()] == theirs[..], "{name} ({index})");
    }
}
