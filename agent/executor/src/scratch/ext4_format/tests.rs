#![expect(clippy::disallowed_methods, reason = "the judge of the format is e2fsck, a program")]

use std::process::Command;

use super::*;

const MIB: u64 = 1 << 20;

fn formatted(size_bytes: u64) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(size_bytes).unwrap();
    format(file.as_file(), size_bytes).unwrap();
    file
}

#[test]
fn e2fsck_finds_nothing_to_say() {
    let mib = [8, 16, 100, 127, 128, 129, 130, 256, 1000, 4100];
    let sizes = mib.map(|mib| mib * MIB).into_iter().chain([128 * MIB + 4096, 300 * MIB + 777]);
    for size_bytes in sizes {
        let file = formatted(size_bytes);
        let output = match Command::new("/usr/sbin/e2fsck").arg("-fn").arg(file.path()).output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                println!("skipped: e2fsck is not installed");
                return;
            }
            output => output.unwrap(),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{size_bytes}: {text}");
        assert!(!text.contains("Fix? no"), "{size_bytes}: {text}");
    }
}

#[test]
fn devices_without_room_are_refused() {
    let file = tempfile::tempfile().unwrap();
    for size_bytes in [0, 4096, 8 * MIB - 1, 1 << 44, u64::MAX] {
        assert!(matches!(format(&file, size_bytes), Err(FormatError::Size { .. })), "{size_bytes}");
    }
}

#[test]
fn a_scrap_at_the_end_is_no_group() {
    let groups = |size_bytes| Geometry::new(size_bytes).unwrap().groups();
    assert_eq!(groups(128 * MIB), 1);
    assert_eq!(groups(128 * MIB + 4096), 1);
    assert_eq!(groups(130 * MIB), 2);
    assert_eq!(Geometry::new(128 * MIB + 4096), Geometry::new(128 * MIB));
}
