//! What a host can say of a hash tree, and that none of it leads to other bytes than the root hash names.

use layer_format::filesystem::{Filesystem, FilesystemSizeError};
use layer_format::verity::{self, BLOCK_SIZE, Salt, VeritySuperblock};
use policy_engine::request::HashSalt;

use super::super::origin::Origin;
use super::*;
use crate::test_bench::source_of;

/// A salt of so many zeros: the one of all layers has 32.
fn zeros(bytes: usize) -> HashSalt {
    "00".repeat(bytes).parse().unwrap()
}

fn with_superblock(offset: Option<u64>, salt: Option<HashSalt>) -> HashTree {
    HashTree::WithSuperblock { offset: offset.map(|bytes| HashOffset::new(bytes).unwrap()), salt }
}

fn bare(offset: u64, salt: HashSalt) -> HashTree {
    HashTree::Bare { offset: HashOffset::new(offset).unwrap(), salt }
}

fn root_of(data: &[u8]) -> RootHash {
    let blocks = (data.len() / BLOCK_SIZE) as u64;
    let root = verity::root_of(&mut &data[..], blocks, &Salt::of_layers()).unwrap();
    (*root.as_bytes()).into()
}

/// Data, the superblock that a host writes behind it, and whatever tree.
fn with_tree(data: &[u8], data_blocks: u64, tree: &[u8]) -> fs::File {
    let superblock = VeritySuperblock::new([0; 16], data_blocks, Salt::of_layers()).unwrap().format();
    Disk::with_content(&[data, &superblock, tree].concat())
}

#[test]
fn a_superblock_is_found_behind_the_file_system() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let disk = Disk::with_files(&[("a", "content")]);
        let found = MountDevice { hash_tree: HashTree::BEHIND_FILESYSTEM, ..disk.request(7) };
        unmount_device(&engine, mount_device(engine.decide(found.clone()).unwrap()).unwrap());
        let other_kind = MountDevice { filesystem: LayerFilesystem::Squashfs, ..found.clone() };
        let error = refused(&engine, other_kind);
        let expected = FilesystemSizeError::Signature(Filesystem::Squashfs);
        assert!(matches!(error, MountDeviceError::Filesystem(found) if found == expected), "{error:?}");
        // The length is the host's word: elsewhere there is no superblock, or no disk.
        for blocks in [1_u32, u32::MAX] {
            let mut content = disk.content();
            content[1024 + 4..1024 + 8].copy_from_slice(&blocks.to_le_bytes());
            let shorter = Disk::with_content(&content);
            let error = refused(&engine, MountDevice { source: source_of(&shorter), ..found.clone() });
            let expected =
                matches!(error, MountDeviceError::Superblock(_) | MountDeviceError::HashOffset { .. });
            assert!(expected, "{error:?}");
        }
    });
}

#[test]
fn without_a_superblock_the_request_says_it_all() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let disk = Disk::with_files(&[("a", "content")]);
        let (content, data) = (disk.content(), disk.digest.data_size_bytes);
        let end = usize::try_from(data).unwrap();
        let device = Disk::with_content(&[&content[..end], &content[end + BLOCK_SIZE..]].concat());
        let request = |hash_tree| MountDevice { source: source_of(&device), hash_tree, ..disk.request(7) };
        let honest = request(bare(data, zeros(32)));
        unmount_device(&engine, mount_device(engine.decide(honest).unwrap()).unwrap());
        // No longer and no shorter salt, and no other end of the data, has the same root hash.
        for salt in [0, 1, 31, 33, 64, 256].map(zeros) {
            let error = refused(&engine, request(bare(data, salt)));
            assert!(matches!(error, MountDeviceError::RootHashMismatch(_)), "{error:?}");
        }
        let error = refused(&engine, request(bare(data - 4096, zeros(32))));
        assert!(matches!(error, MountDeviceError::RootHashMismatch(_)), "{error:?}");
        let error = refused(&engine, request(bare(1 << 40, zeros(32))));
        assert!(matches!(error, MountDeviceError::HashOffset { .. }), "{error:?}");
        let error = refused(&engine, request(with_superblock(Some(data), None)));
        assert!(matches!(error, MountDeviceError::Superblock(_)), "{error:?}");
    });
}

#[test]
fn a_salt_that_is_said_twice_is_the_same() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let disk = Disk::with_files(&[("a", "content")]);
        let request = |salt| MountDevice { hash_tree: with_superblock(None, Some(salt)), ..disk.request(7) };
        unmount_device(&engine, mount_device(engine.decide(request(zeros(32))).unwrap()).unwrap());
        for salt in [zeros(0), zeros(31), "01".parse().unwrap()] {
            assert!(matches!(refused(&engine, request(salt)), MountDeviceError::OtherSalt));
        }
    });
}

/// A tree of one level less has the tree's own blocks as data, and the same root hash.
#[test]
fn blocks_of_the_tree_are_not_mounted_as_data() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let disk = Disk::with_files(&[("a", "content")]);
        let content = disk.content();
        let tree = usize::try_from(disk.digest.data_size_bytes).unwrap() + BLOCK_SIZE;
        let top = &content[tree..tree + BLOCK_SIZE];
        let root_hash = disk.request(7).root_hash;
        assert_eq!(root_of(top), root_hash, "the digest alone does not tell the levels apart");
        let device = with_tree(top, 1, &[]);
        for filesystem in [LayerFilesystem::Ext4, LayerFilesystem::Erofs, LayerFilesystem::Squashfs] {
            let hash_tree = with_superblock(Some(4096), None);
            let source = source_of(&device);
            let request = MountDevice { source, hash_tree, filesystem, ..disk.request(7) };
            let error = refused(&engine, request);
            let signature = matches!(error, MountDeviceError::Filesystem(FilesystemSizeError::Signature(_)));
            assert!(signature, "{error:?}");
        }
        // With the digest of other data it is no more than that data.
        let request =
            MountDevice { source: source_of(&device), root_hash: [7; 32].into(), ..disk.request(7) };
        let request = MountDevice { hash_tree: with_superblock(Some(4096), None), ..request };
        assert!(matches!(refused(&engine, request), MountDeviceError::RootHashMismatch(_)));
    });
}

#[test]
fn a_file_system_ends_within_its_proven_data() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let disk = Disk::with_files(&[("a", "content")]);
        let data = &disk.content()[..usize::try_from(disk.digest.data_size_bytes).unwrap()];
        let cut = &data[..data.len() - BLOCK_SIZE];
        let blocks = (cut.len() / BLOCK_SIZE) as u64;
        let device = with_tree(cut, blocks, &[]);
        let request = MountDevice {
            source: source_of(&device),
            root_hash: root_of(cut),
            hash_tree: with_superblock(Some(cut.len() as u64), None),
            ..disk.request(7)
        };
        let error = refused(&engine, request);
        assert!(matches!(error, MountDeviceError::FilesystemTooLong { .. }), "{error:?}");
        // Longer data than the file system needs is proven as well.
        let padded = [data, &[0; BLOCK_SIZE]].concat();
        let device = with_tree(&padded, blocks + 2, &[]);
        let request = MountDevice {
            source: source_of(&device),
            root_hash: root_of(&padded),
            hash_tree: with_superblock(Some(padded.len() as u64), None),
            ..disk.request(7)
        };
        unmount_device(&engine, mount_device(engine.decide(request).unwrap()).unwrap());
    });
}

#[test]
fn a_disk_is_still_the_one_that_was_opened() {
    with_private_mounts(|| {
        let (first, second) = (Disk::with_files(&[("a", "")]), Disk::with_files(&[("b", "")]));
        let origin = Origin::open(&first.request(7), &mut Rollback::default()).unwrap();
        assert!(origin.confirm(&first.request(7)).is_ok());
        assert!(matches!(origin.confirm(&second.request(7)), Err(MountDeviceError::Exchanged)));
        let gone = MountDevice { source: "/dev/nosuchdisk".parse().unwrap(), ..first.request(7) };
        assert!(matches!(origin.confirm(&gone), Err(MountDeviceError::FindAgain(_))));
    });
}
