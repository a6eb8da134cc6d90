//! Layers from archives made here: the hash against its definition, the image against itself and against other
//! readers of ext4, broken archives.
#![cfg(feature = "build")]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::arithmetic_side_effects, reason = "sizes in tests are small")]
#![expect(clippy::disallowed_methods, reason = "debugfs is a program")]

use std::fs;
use std::io::{self, Cursor};
use std::process::Command;

use layer_format::layer::{
    ArchiveError, BuildLayerError, Ext4Error, Footer, hash_layer, write_file_system, write_layer,
};
use layer_format::verity::{BLOCK_SIZE, VeritySuperblock};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

struct Archive(Builder<Vec<u8>>);

impl Archive {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn add(mut self, kind: EntryType, path: &str, data: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o640);
        header.set_uid(70_000);
        header.set_gid(5);
        header.set_mtime(1_600_000_000);
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name(std::str::from_utf8(data).unwrap()).unwrap();
            header.set_size(0);
            self.0.append_data(&mut header, path, &[][..]).unwrap();
        } else {
            header.set_size(data.len() as u64);
            self.0.append_data(&mut header, path, data).unwrap();
        }
        self
    }

    fn file(self, path: &str, data: &[u8]) -> Self {
        self.add(EntryType::Regular, path, data)
    }

    fn attributes(mut self, attributes: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(attributes.iter().copied()).unwrap();
        self
    }

    fn finish(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn sample() -> Vec<u8> {
    let long_target = "t".repeat(90);
    Archive::new()
        .add(EntryType::Directory, "etc/", b"")
        .attributes(&[("SCHILY.xattr.user.small", b"1"), ("SCHILY.xattr.user.large", &[b'v'; 900])])
        .file("etc/config", &b"0123456789".repeat(1000))
        .file("deep/er/file", b"below directories that the archive does not list")
        .file("empty", b"")
        .add(EntryType::Symlink, "short", b"etc/config")
        .add(EntryType::Symlink, "long", long_target.as_bytes())
        .add(EntryType::Link, "second-name", b"etc/config")
        .file("etc/.wh.deleted", b"")
        .file("etc/.wh..wh..opq", b"")
        .finish()
}

fn image_of(archive: &[u8], footer: Footer) -> (Vec<u8>, layer_format::layer::LayerImage) {
    let mut image = Cursor::new(Vec::new());
    let described = write_layer(archive, &mut image, footer).unwrap();
    (image.into_inner(), described)
}

/// The definition of the root hash.
fn naive_root(data: &[u8]) -> [u8; 32] {
    let hash = |block: &[u8]| <[u8; 32]>::from(Sha256::digest([&[0; 32], block].concat()));
    let digests: Vec<_> = data.chunks(BLOCK_SIZE).map(hash).collect();
    if let [root] = digests[..] {
        return root;
    }
    let mut level = digests.concat();
    level.resize(level.len().next_multiple_of(BLOCK_SIZE), 0);
    naive_root(&level)
}

#[test]
fn hash_and_image_agree_with_the_definition() {
    let archive = sample();
    let (image, described) = image_of(&archive, Footer::None);
    let data_size = usize::try_from(described.digest.data_size_bytes).unwrap();
    assert_eq!(described.digest.root_hash.as_bytes(), &naive_root(&image[..data_size]));
    assert_eq!(hash_layer(&archive[..]).unwrap(), described.digest);
    assert_eq!(image_of(&archive, Footer::None).0, image, "the image is always the same");

    let superblock = VeritySuperblock::parse(&image[data_size..]).unwrap();
    assert_eq!(superblock.data_blocks(), described.data_blocks);
    assert_eq!(superblock.data_size_bytes(), described.digest.data_size_bytes);
    assert_eq!(image.len() as u64, described.image_size_bytes);
    // The root hash is that of the first hash block, which follows the superblock.
    let top = &image[data_size + BLOCK_SIZE..data_size + 2 * BLOCK_SIZE];
    assert_eq!(described.digest.root_hash.as_bytes(), &naive_root(top));
}

#[test]
fn a_file_system_alone_is_the_start_of_the_image() {
    let (image, written) = image_of(&sample(), Footer::None);
    let mut alone = Cursor::new(Vec::new());
    let digest = write_file_system(sample().as_slice(), &mut alone, 1000).unwrap();
    assert_eq!(digest, written.digest);
    assert_eq!(alone.get_ref().len() as u64, digest.data_size_bytes);
    assert!(image.starts_with(alone.get_ref()));
}

#[test]
fn more_files_than_there_is_room_for_are_refused() {
    let build = |files_max| write_file_system(sample().as_slice(), Cursor::new(Vec::new()), files_max);
    let error = build(13).unwrap_err();
    assert!(
        matches!(error, BuildLayerError::Entry { source: Ext4Error::TooManyFiles { files_max: 13 }, .. }),
        "{error:?}"
    );
    // Directories that only a path names count like others.
    let mut archive = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(0);
    archive.append_data(&mut header, "d/".repeat(60) + "f", io::empty()).unwrap();
    let archive = archive.into_inner().unwrap();
    let build = |files_max| write_file_system(archive.as_slice(), Cursor::new(Vec::new()), files_max);
    assert!(build(40).is_err());
    assert!(build(100).is_ok());
}

#[test]
fn a_vhd_footer_changes_nothing_before_it() {
    let (plain, _) = image_of(&sample(), Footer::None);
    let (vhd, described) = image_of(&sample(), Footer::Vhd);
    assert_eq!(vhd.len(), plain.len() + 512);
    assert_eq!(described.image_size_bytes, vhd.len() as u64);
    assert!(vhd.starts_with(&plain));
    let footer = &vhd[plain.len()..];
    assert!(footer.starts_with(b"conectix"));
    let checksum = u32::from_be_bytes(footer[64..68].try_into().unwrap());
    let sum: u32 = footer.iter().map(|byte| u32::from(*byte)).sum();
    let of_checksum: u32 = footer[64..68].iter().map(|byte| u32::from(*byte)).sum();
    assert_eq!(checksum, !(sum - of_checksum));
}

#[test]
fn another_reader_finds_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    fs::write(&path, image_of(&sample(), Footer::None).0).unwrap();
    let ask = |request: &str| Command::new("debugfs").args(["-R", request]).arg(&path).output();
    let Ok(content) = ask("cat /second-name") else {
        eprintln!("skipped: debugfs is not installed");
        return;
    };
    assert_eq!(content.stdout, b"0123456789".repeat(1000));
    let told = |request| String::from_utf8(ask(request).unwrap().stdout).unwrap();
    let stat = told("stat /etc/config");
    for expected in ["Mode:  0640", "User: 70000", "Group:     5", "Links: 2", "0x5f5e1000"] {
        assert!(stat.contains(expected), "{expected}: {stat}");
    }
    assert!(told("ea_get /etc/config user.large").contains(&"v".repeat(900)));
    assert!(told("ea_get /etc/config user.small").contains("\"1\""));
    assert!(told("ea_get /etc trusted.overlay.opaque").contains("\"y\""));
    assert!(told("stat /etc/deleted").contains("character special"));
    assert!(told("stat /short").contains("etc/config"));
    assert!(told("cat /deep/er/file").contains("does not list"));
    assert!(told("stat /deep").contains("Mode:  0755"), "a missing parent is like its own parent");
}

#[test]
fn what_makes_no_file_system_is_refused() {
    let refused = |archive: Archive| match hash_layer(&archive.finish()[..]) {
        Err(BuildLayerError::Entry { path, source }) => (path, source),
        other => panic!("{other:?}"),
    };
    let directory = EntryType::Directory;
    let (path, why) = refused(Archive::new().file("a", b"1").file("a", b"2"));
    assert!(path == "a" && matches!(why, Ext4Error::ReplacesData), "{why:?}");
    let (_, why) = refused(Archive::new().add(directory, "a", b"").file("a", b""));
    assert!(matches!(why, Ext4Error::ReplacesDirectory), "{why:?}");
    let (_, why) = refused(Archive::new().file("a", b"").add(directory, "a", b""));
    assert!(matches!(why, Ext4Error::ReplacesFile), "{why:?}");
    let (_, why) = refused(Archive::new().file("a", b"").file("a/b/c", b""));
    assert!(matches!(why, Ext4Error::NotADirectory), "{why:?}");
    let (_, why) = refused(Archive::new().add(EntryType::Link, "a", b"missing"));
    assert!(matches!(why, Ext4Error::LinkTargetMissing), "{why:?}");
    let (_, why) = refused(Archive::new().add(directory, "d", b"").add(EntryType::Link, "a", b"d"));
    assert!(matches!(why, Ext4Error::LinkToDirectory), "{why:?}");
    let (_, why) = refused(Archive::new().file("a", b"").file("b", b"").add(EntryType::Link, "a", b"b"));
    assert!(matches!(why, Ext4Error::LinkReplacesFile), "{why:?}");
    let (_, why) = refused(Archive::new().file(&format!("d/{}", "n".repeat(256)), b""));
    assert!(matches!(why, Ext4Error::NameTooLong), "{why:?}");
    let huge = [("SCHILY.xattr.user.huge", [b'v'; 5000].as_slice())];
    let (_, why) = refused(Archive::new().attributes(&huge).file("a", b""));
    assert!(matches!(why, Ext4Error::AttributesTooLarge { .. }), "{why:?}");
}

#[test]
fn an_empty_file_can_be_replaced() {
    let twice = Archive::new().file("a", b"").file("a", b"data").finish();
    assert_eq!(
        hash_layer(&twice[..]).unwrap(),
        hash_layer(&Archive::new().file("a", b"data").finish()[..]).unwrap()
    );
}

#[test]
fn broken_archives_are_refused() {
    let refused = |archive: &[u8]| match hash_layer(archive) {
        Err(BuildLayerError::Archive(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(refused(b""), ArchiveError::Empty));
    assert!(matches!(refused(&[7; 1024]), ArchiveError::Checksum { offset: 0 }));
    assert!(matches!(refused(&sample()[..700]), ArchiveError::Read(_)));
    let mut continued = vec![0; 512];
    continued.extend(sample());
    assert!(matches!(refused(&continued), ArchiveError::AfterEnd { .. }));
    let sparse = Archive::new().add(EntryType::GNUSparse, "sparse", b"").finish();
    assert!(matches!(refused(&sparse), ArchiveError::Sparse { .. }));
    let sparse = Archive::new().attributes(&[("GNU.sparse.major", b"1")]).file("sparse", b"").finish();
    assert!(matches!(refused(&sparse), ArchiveError::Sparse { .. }));
    let malformed = Archive::new().add(EntryType::XHeader, "pax", b"99 path=a\n").finish();
    assert!(matches!(refused(&malformed), ArchiveError::Pax { .. }));
    // A file that ends within its data.
    let whole = Archive::new().file("a", &[1; 5000]).finish();
    assert!(matches!(
        hash_layer(&whole[..3000]),
        Err(BuildLayerError::Entry { source: Ext4Error::ReadData(_), .. })
    ));
}

#[test]
fn a_global_header_becomes_an_empty_file() {
    let global = Archive::new().add(EntryType::XGlobalHeader, "@PaxHeader", b"13 comment=x\n").finish();
    let without = Archive::new().finish();
    assert_ne!(hash_layer(&global[..]).unwrap(), hash_layer(&without[..]).unwrap());
    let (image, _) = image_of(&global, Footer::None);
    assert!(image.windows(10).any(|bytes| bytes == b"@PaxHeader"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn changed_archives_never_panic_and_hash_as_their_image(
        changes in proptest::collection::vec((0.0..1.0, any::<u8>()), 0..4),
        cut in proptest::option::weighted(0.2, 0.0..1.0),
    ) {
        let mut archive = sample();
        let at = |fraction: f64, length: usize| (fraction * length as f64) as usize;
        for (fraction, value) in changes {
            let offset = at(fraction, archive.len());
            archive[offset] = value;
            // Half of the changes keep the header's checksum right, to get beyond it.
            let header = offset / 512 * 512;
            if value % 2 == 0 {
                let block = &mut archive[header..header + 512];
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        if let Some(fraction) = cut {
            archive.truncate(at(fraction, archive.len()));
        }
        let mut image = Cursor::new(Vec::new());
        let written = write_layer(&archive[..], &mut image, Footer::None);
        prop_assert_eq!(written.ok().map(|image| image.digest), hash_layer(&archive[..]).ok());
    }
}
