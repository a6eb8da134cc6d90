//! The measurement binds each part, and equals one that is computed here from the specification alone.

use sha2::{Digest as _, Sha256, Sha384};

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

/// SNP ABI specification 1.55, section 8.17.2, table 67: PAGE_INFO.
fn extend(digest: &mut [u8; 48], content: &[u8; 48], kind: u8, address: u64) {
    let mut info = Vec::new();
    info.extend_from_slice(digest);
    info.extend_from_slice(content);
    info.extend_from_slice(&0x70_u16.to_le_bytes());
    info.extend_from_slice(&[kind, 0, 0, 0, 0, 0]);
    info.extend_from_slice(&address.to_le_bytes());
    *digest = Sha384::digest(&info).into();
}

/// QEMU `target/i386/sev.c`: the table of digests, each entry a GUID, its size and a SHA-256.
fn hash_page(kernel: &[u8], initrd: &[u8], command_line: &str) -> Vec<u8> {
    let entry = |guid: [u8; 16], content: &[u8]| {
        [&guid[..], &50_u16.to_le_bytes(), Sha256::digest(content).as_slice()].concat()
    };
    let mut page = b"\x06\xd6\x38\x94\x22\x4f\xc9\x4c\xb4\x79\xa7\x93\xd4\x11\xfd\x21".to_vec();
    page.extend_from_slice(&168_u16.to_le_bytes());
    let terminated = [command_line.as_bytes(), b"\0"].concat();
    page.extend(entry(*b"\xd8\x2d\xd0\x97\x20\xbd\x94\x4c\xaa\x78\xe7\x71\x4d\x36\xab\x2a", &terminated));
    page.extend(entry(*b"\x31\xf7\xba\x44\x2f\x3a\xd7\x4b\x9a\xf1\x41\xe2\x91\x69\x78\x1d", initrd));
    page.extend(entry(*b"\x37\x94\xe7\x4d\xd2\xab\x7f\x42\xb8\x35\xd5\xb1\x72\xd2\x04\x5b", kernel));
    page.resize(4096, 0);
    page
}

#[test]
fn the_pages_before_the_cpus_follow_the_specification() {
    let parts = parts();
    let mut digest = [0; 48];
    let normal = |page: &[u8]| -> [u8; 48] { Sha384::digest(page).into() };
    extend(&mut digest, &normal(&table_page()), 1, 0x1_0000_0000 - 4096);
    extend(&mut digest, &[0; 48], 5, SECRETS_ADDRESS.into());
    extend(&mut digest, &[0; 48], 6, CPUID_ADDRESS.into());
    let hashes = hash_page(b"kernel", b"initrd", "console=ttyS0");
    extend(&mut digest, &normal(&hashes), 1, HASH_TABLE_ADDRESS.into());
    let launch = Launch { vcpus: 0, ..parts.launch("console=ttyS0") };
    assert_eq!(launch.measure().unwrap().measurement, hex::encode(digest));
}
