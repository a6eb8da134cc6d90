//! The measurement binds each part, and equals one that is computed from the specifications alone.

use super::*;

struct Parts {
    folder: tempfile::TempDir,
    kernel: PathBuf,
    initrd: PathBuf,
}

fn parts() -> Parts {
    let folder = tempfile::tempdir().unwrap();
    let (kernel, initrd) = (folder.path().join("vmlinuz"), folder.path().join("initrd"));
    std::fs::write(&kernel, b"kernel").unwrap();
    std::fs::write(&initrd, b"initrd").unwrap();
    Parts { folder, kernel, initrd }
}

impl Parts {
    fn launch<'a>(&'a self, command_line: &'a str) -> Launch<'a> {
        Launch { kernel: &self.kernel, initrd: &self.initrd, command_line, vcpus: 2, firmware: None }
    }

    fn measure(&self, command_line: &str) -> String {
        self.launch(command_line).measure().unwrap().measurement
    }
}

#[test]
fn every_part_changes_the_measurement() {
    let parts = parts();
    let original = parts.measure("console=ttyS0");
    assert_eq!(original.len(), 96);
    assert_eq!(parts.measure("console=ttyS0"), original);
    assert_ne!(parts.measure("console=ttyS1"), original);
    let one_cpu = Launch { vcpus: 1, ..parts.launch("console=ttyS0") };
    assert_ne!(one_cpu.measure().unwrap().measurement, original);
    std::fs::write(&parts.initrd, b"initrE").unwrap();
    let other_initrd = parts.measure("console=ttyS0");
    assert_ne!(other_initrd, original);
    std::fs::write(&parts.kernel, b"kernem").unwrap();
    assert_ne!(parts.measure("console=ttyS0"), other_initrd);
}

#[test]
fn white_space_that_would_not_be_hashed_is_refused() {
    let parts = parts();
    for line in [" a", "a ", "a\n"] {
        assert!(matches!(parts.launch(line).measure(), Err(MeasurementError::CommandLine)), "{line:?}");
    }
}

#[test]
fn a_firmware_without_a_table_of_digests_is_refused() {
    let parts = parts();
    let mut page = table_page();
    // The kind of the third page: no longer the digests' one.
    page[16 + 2 * 12 + 8] = 1;
    let firmware = parts.folder.path().join("firmware");
    std::fs::write(&firmware, page).unwrap();
    let launch = Launch { firmware: Some(&firmware), ..parts.launch("a") };
    assert!(matches!(launch.measure(), Err(MeasurementError::Digest(_))));
}

#[test]
fn a_firmware_is_named_by_its_digest() {
    let parts = parts();
    let mut page = table_page();
    // A byte that no table uses stands for code.
    page[2048] = 0x90;
    let firmware = parts.folder.path().join("firmware");
    std::fs::write(&firmware, &page).unwrap();
    let measured = Launch { firmware: Some(&firmware), ..parts.launch("a") }.measure().unwrap();
    assert_eq!(measured.firmware_sha256, Some(sha256_hex(&page)));
    assert_ne!(measured.measurement, parts.measure("a"));
}

fn recomputed(firmware: Option<&[u8]>, vcpus: u32) -> Result<String, FirmwareError> {
    recompute(firmware, b"kernel", b"initrd", "console=ttyS0", vcpus)
}

#[test]
fn both_computations_agree() {
    let parts = parts();
    for vcpus in [0, 1, 2, 5] {
        let launch = Launch { vcpus, ..parts.launch("console=ttyS0") };
        assert_eq!(launch.measure().unwrap().measurement, recomputed(None, vcpus).unwrap(), "{vcpus}");
    }
    // A firmware of two pages, with code, its digests elsewhere in their page and a section that is only cleared.
    let mut firmware = vec![0x90; PAGE_SIZE];
    firmware.extend(table_page());
    let place = firmware.windows(4).rposition(|bytes| bytes == HASH_TABLE_ADDRESS.to_le_bytes()).unwrap();
    firmware[place] = 0x40;
    firmware[PAGE_SIZE + 16 + 8] = 1;
    let path = parts.folder.path().join("firmware");
    std::fs::write(&path, &firmware).unwrap();
    let launch = Launch { firmware: Some(&path), ..parts.launch("console=ttyS0") };
    assert_eq!(launch.measure().unwrap().measurement, recomputed(Some(&firmware), 2).unwrap());
}

#[test]
fn a_firmware_with_damaged_tables_is_an_error_and_never_a_panic() {
    let page = table_page();
    assert!(recomputed(Some(&[]), 1).is_err());
    for length in 0..page.len() {
        drop(recomputed(Some(&page[..length]), 1));
    }
    for index in (0..64).chain(PAGE_SIZE - 128..PAGE_SIZE) {
        for value in [0, 0x7f, 0xff] {
            let mut damaged = page.clone();
            damaged[index] = value;
            drop(recomputed(Some(&damaged), 1));
        }
    }
}
