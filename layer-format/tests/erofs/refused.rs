//! Archives that no image is made of, and broken ones.

use layer_format::layer::{ArchiveError, BuildLayerError, ErofsError, MkfsVersion, hash_erofs_layer};
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use super::archives::{File, Random, archive, kinds, random};
use super::{UUID, image_of};

fn refused(archive: &[u8]) -> BuildLayerError {
    hash_erofs_layer(archive, MkfsVersion::V1_9_3, || Ok(UUID)).unwrap_err()
}

fn refused_file(files: &[File]) -> ErofsError {
    match refused(&archive(files)) {
        BuildLayerError::ErofsEntry { source, .. } => source,
        other => panic!("{other:?}"),
    }
}

/// An archive of one entry, with records of its own.
fn raw(kind: EntryType, records: &[u8], change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.set_path("a").unwrap();
    header.set_mode(0o644);
    header.set_entry_type(kind);
    header.set_size(records.len() as u64);
    change(&mut header);
    header.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&header, records).unwrap();
    let mut header = Header::new_ustar();
    header.set_path("b").unwrap();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0);
    header.set_size(0);
    header.set_cksum();
    builder.append(&header, &[][..]).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn files_without_a_place_are_refused() {
    use EntryType::{Link, Regular};
    let file = |path: &str| File::regular(path, b"");
    let link = |path: &str, target: &str| File::link(Link, path, target);
    let whiteout = File::regular(".wh.a", b"data");
    let attributes = |value: &[u8]| File { attributes: vec![("user.large", value.to_vec())], ..file("a") };
    assert!(matches!(refused_file(&[file(&"n".repeat(256))]), ErofsError::NameSize));
    assert!(matches!(refused_file(&[file(".wh.")]), ErofsError::NameSize));
    assert!(matches!(refused_file(&[file(&"d/".repeat(3000))]), ErofsError::PathTooLong));
    assert!(matches!(refused_file(&[file("a/../b")]), ErofsError::ParentComponent));
    assert!(matches!(refused_file(&[file("a"), file("a/b")]), ErofsError::NotADirectory));
    assert!(matches!(refused_file(&[link("a", "b")]), ErofsError::LinkTargetMissing));
    assert!(matches!(refused_file(&[File::directory("d"), link("a", "d")]), ErofsError::LinkToDirectory));
    assert!(matches!(refused_file(&[file("./")]), ErofsError::Root));
    assert!(matches!(refused_file(&[file(".wh..wh..opq")]), ErofsError::Root));
    assert!(matches!(refused_file(&[whiteout]), ErofsError::Whiteout));
    assert!(matches!(refused_file(&[file("a"), link(".wh.b", "a")]), ErofsError::Whiteout));
    assert!(matches!(refused_file(&[file(".wh.a"), link("b", ".wh.a")]), ErofsError::Whiteout));
    assert!(matches!(refused_file(&[attributes(&[0; 65_536])]), ErofsError::AttributesTooLarge { .. }));
    assert!(image_of(&archive(&[attributes(&[0; 65_535])]), MkfsVersion::V1_9_3).is_ok());
    assert!(image_of(&archive(&[file("a"), File::new(Regular, "d/b")]), MkfsVersion::V1_9_3).is_ok());
}

#[test]
fn what_mkfs_reads_otherwise_is_refused() {
    let not_for_erofs = |archive: &[u8]| {
        matches!(refused(archive), BuildLayerError::Archive(ArchiveError::NotForErofs { .. }))
    };
    assert!(not_for_erofs(&raw(EntryType::XGlobalHeader, b"10 uid=77\n", |_| ())));
    assert!(not_for_erofs(&raw(EntryType::new(b'V'), b"", |_| ())));
    assert!(not_for_erofs(&raw(EntryType::Regular, b"", |header| header.as_mut_bytes()[156] = 0)));
    assert!(not_for_erofs(&raw(EntryType::Regular, b"", |header| header.as_mut_bytes()[257..265].fill(0))));
    assert!(not_for_erofs(&raw(EntryType::XHeader, b"30 LIBARCHIVE.xattr.user.a=MQ\n", |_| ())));
    let comment = raw(EntryType::XGlobalHeader, b"13 comment=x\n", |_| ());
    let without = archive(&[File { mode: 0, modified: "0", ..File::regular("b", b"") }]);
    let hash = |archive: &[u8]| hash_erofs_layer(archive, MkfsVersion::V1_9_3, || Ok(UUID)).unwrap();
    assert_eq!(hash(&comment), hash(&without));
}

#[test]
fn a_digest_that_cannot_be_told_is_an_error() {
    let archive = archive(&kinds());
    let untold =
        hash_erofs_layer(&archive[..], MkfsVersion::V1_9_3, || Err(std::io::ErrorKind::NotFound.into()));
    assert!(matches!(untold, Err(BuildLayerError::Uuid(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn changed_archives_never_panic_and_hash_as_their_image(
        seed in any::<u64>(),
        changes in proptest::collection::vec((0.0..1.0, any::<u8>()), 0..4),
        cut in proptest::option::weighted(0.2, 0.0..1.0),
    ) {
        let mut archive = archive(&random(&mut Random(seed), 40));
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
        let hashed = hash_erofs_layer(&archive[..], MkfsVersion::V1_8, || Ok(UUID)).ok();
        prop_assert_eq!(image_of(&archive, MkfsVersion::V1_8).ok().map(|(_, image)| image.digest), hashed);
    }
}
