use std::fs;
use std::path::Path;

use layer_format::layer::hash_layer;

use super::*;
use crate::test_bench::{permissive_engine, target, unmount_device, with_private_mounts};

const MOUNTED: &str = "/run/mounts/scsi/m7";

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Gives one byte at a time, as a network may.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(1);
        self.0.read(buffer.get_mut(..count).unwrap_or_default())
    }
}

#[test]
fn an_archive_has_the_root_hash_that_tools_give_it() {
    let plain = archive(&[("etc/os-release", "ID=test\n"), ("a", "b")]);
    let expected = hash_layer(plain.as_slice()).unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(&plain[..], ruzstd::encoding::CompressionLevel::Fastest);
    for stored in [plain.clone(), gzip(&plain), zstd] {
        let layer = SealedLayer::from_archive(Trickle(&stored)).unwrap();
        assert_eq!(layer.root_hash().as_bytes(), expected.root_hash.as_bytes());
        assert_eq!(layer.size_bytes(), expected.data_size_bytes);
    }
}

#[test]
fn what_is_sealed_does_not_change() {
    let layer = SealedLayer::from_archive(archive(&[("a", "b")]).as_slice()).unwrap();
    assert!((&layer.content).write_all(b"x").is_err());
    assert!(layer.content.set_len(0).is_err());
    assert!(layer.content.set_len(1 << 30).is_err());
}

#[test]
fn a_sealed_layer_is_mounted_read_only_and_goes_away_again() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let archive = archive(&[("etc/os-release", "ID=test\n")]);
        let layer = Arc::new(SealedLayer::from_archive(archive.as_slice()).unwrap());
        let request = |root_hash| MountSealedLayer { target: target(7), root_hash };
        let other = engine.decide(request([7; 32].into())).unwrap();
        let error = mount_sealed_layer(other, &layer).unwrap_err();
        assert!(matches!(error, MountDeviceError::OtherContent(_)), "{error:?}");
        assert!(!Path::new(MOUNTED).exists());

        let mounted = mount_sealed_layer(engine.decide(request(layer.root_hash())).unwrap(), &layer).unwrap();
        assert_eq!(mounted.target(), &target(7));
        assert_eq!(mounted.root_hash(), layer.root_hash());
        let file = Path::new(MOUNTED).join("etc/os-release");
        let shared = Arc::downgrade(&layer);
        drop(layer);
        // The mount keeps it, to be mounted again.
        let again = MountSealedLayer { target: target(8), root_hash: mounted.root_hash() };
        let again = mount_sealed_layer(engine.decide(again).unwrap(), &shared.upgrade().unwrap()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "ID=test\n");
        assert_eq!(fs::write(&file, "x").unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
        unmount_device(&engine, mounted);
        assert!(!Path::new(MOUNTED).exists());
        unmount_device(&engine, again);
        assert!(shared.upgrade().is_none());
        assert!(!engine.is_poisoned());
    });
}

#[test]
fn what_is_no_archive_is_no_layer() {
    let plain = archive(&[("a", "some content")]);
    let cut = &gzip(&plain)[..40];
    for stored in [&b""[..], b"x", &[0; 100], &plain[..520], cut] {
        let error = SealedLayer::from_archive(stored).unwrap_err();
        assert!(matches!(error, SealLayerError::Build(_)), "{error:?}");
    }
    let broken = Trickle(&plain).chain(Failing);
    assert!(SealedLayer::from_archive(broken).is_ok(), "nothing is read beyond the end mark");
    assert!(matches!(SealedLayer::from_archive(Failing), Err(SealLayerError::Read(_))));
}

struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

#[test]
fn an_archive_that_never_ends_does_not_take_all_memory() {
    let mut budget = Budget { used: LAYER_SIZE_MAX - (1 << 20), checked: LAYER_SIZE_MAX };
    assert!(budget.spend(1 << 20).is_ok());
    assert_eq!(budget.spend(1).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    let mut endless = Watched {
        inner: io::repeat(0),
        budget: Budget { used: LAYER_SIZE_MAX - 10, checked: LAYER_SIZE_MAX },
    };
    let error = io::copy(&mut endless, &mut io::sink()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn available_memory_is_read_from_the_kernel() {
    assert!(available_memory().unwrap() > 0);
    assert_eq!(parse_available("MemTotal: 9 kB\nMemAvailable:    12 kB\n"), Some(12 << 10));
    assert_eq!(parse_available("MemTotal: 9 kB\n"), None);
}
