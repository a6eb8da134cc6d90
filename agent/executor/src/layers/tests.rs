mod hash_trees;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use policy_engine::request::{HashOffset, HashTree};
use policy_engine::{Engine, Refusal};

use super::*;
use crate::devices::{Access, OpenDeviceError};
use crate::mounts::MountPointError;
use crate::sys::block_device::is_read_only;
use crate::test_bench::{
    Disk, permissive_engine, source_of, target, unmount_device, with_private_mounts, writable_device,
};

const MOUNTED: &str = "/run/mounts/scsi/m7";

#[test]
fn a_layer_is_mounted_read_only_and_goes_away_again() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let disk = Disk::with_files(&[("etc/os-release", "ID=test\n")]);
        let layer = disk.mount(&engine, 7);
        assert_eq!(layer.target(), &target(7));
        assert_eq!(layer.root_hash().as_bytes(), disk.digest.root_hash.as_bytes());
        let file = Path::new(MOUNTED).join("etc/os-release");
        assert_eq!(fs::read_to_string(&file).unwrap(), "ID=test\n");
        assert_eq!(fs::write(&file, "x").unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
        unmount_device(&engine, layer);
        assert!(!Path::new(MOUNTED).exists());
        assert!(!engine.is_poisoned());
        // What is gone can come again.
        unmount_device(&engine, disk.mount(&engine, 7));
    });
}

/// Mounts and expects failure with nothing left behind.
fn refused(engine: &Engine, request: MountDevice) -> MountDeviceError {
    let error = mount_device(engine.decide(request).unwrap()).unwrap_err();
    assert!(!engine.is_poisoned(), "{error:?}");
    assert!(!Path::new(MOUNTED).exists(), "{error:?}");
    error
}

#[test]
fn one_flipped_bit_anywhere_in_the_data_is_refused() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let mut disk = Disk::with_files(&[("a", "content")]);
        let end = disk.digest.data_size_bytes - 1;
        for offset in [0, 1024 + 56, 4095, end - 4095, end - 1024, end] {
            disk.flip(offset);
            let error = refused(&engine, disk.request(7));
            let expected = disk.request(7).root_hash;
            assert!(
                matches!(error, MountDeviceError::RootHashMismatch(hash) if hash == expected),
                "{error:?}"
            );
            disk.flip(offset);
            unmount_device(&engine, disk.mount(&engine, 7));
        }
    });
}

#[test]
fn another_root_hash_or_salt_is_refused() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let mut disk = Disk::with_files(&[("a", "content")]);
        let request = MountDevice { root_hash: [7; 32].into(), ..disk.request(7) };
        assert!(matches!(refused(&engine, request), MountDeviceError::RootHashMismatch(_)));
        // The salt stands at byte 88 of the superblock.
        disk.write(&[1], disk.digest.data_size_bytes + 88);
        assert!(matches!(refused(&engine, disk.request(7)), MountDeviceError::RootHashMismatch(_)));
    });
}

#[test]
fn a_disk_that_is_not_as_the_request_says_is_refused() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let mut disk = Disk::with_files(&[("a", "content")]);
        let data = disk.digest.data_size_bytes;
        let at = |offset| HashTree::WithSuperblock { offset: HashOffset::new(offset), salt: None };
        for offset in [1 << 40, (1 << 62) - 4096] {
            let error = refused(&engine, MountDevice { hash_tree: at(offset), ..disk.request(7) });
            assert!(matches!(error, MountDeviceError::HashOffset { .. }), "{offset}: {error:?}");
        }
        let request = MountDevice { hash_tree: at(data - 4096), ..disk.request(7) };
        assert!(matches!(refused(&engine, request), MountDeviceError::Superblock(_)));
        // Fewer data blocks than the data area has: the tail would be unchecked.
        let blocks = data / 4096 - 1;
        disk.write(&blocks.to_le_bytes(), data + 72);
        assert!(matches!(refused(&engine, disk.request(7)), MountDeviceError::DataSize { .. }));
        let request = MountDevice { source: "/dev/null".parse().unwrap(), ..disk.request(7) };
        assert!(matches!(refused(&engine, request), MountDeviceError::Open(OpenDeviceError::NotBlock)));
    });
}

#[test]
fn another_file_system_than_said_is_refused() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let disk = Disk::with_files(&[("a", "content")]);
        let request = MountDevice { filesystem: LayerFilesystem::Erofs, ..disk.request(7) };
        assert!(matches!(refused(&engine, request), MountDeviceError::Filesystem(_)));
    });
}

#[test]
fn a_target_in_use_stays_as_it_is() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let first = Disk::with_files(&[("first", "")]);
        let second = Disk::with_files(&[("second", "")]);
        let layer = first.mount(&engine, 7);
        let error = mount_device(engine.decide(second.request(7)).unwrap()).unwrap_err();
        assert!(matches!(error, MountDeviceError::MountPoint(MountPointError::InUse)), "{error:?}");
        assert!(Path::new(MOUNTED).join("first").exists());
        unmount_device(&engine, layer);
        // A link in the place of the target leads nowhere.
        std::os::unix::fs::symlink("/etc", MOUNTED).unwrap();
        let error = mount_device(engine.decide(second.request(7)).unwrap()).unwrap_err();
        assert!(matches!(error, MountDeviceError::MountPoint(MountPointError::Directory(_))), "{error:?}");
        assert!(!engine.is_poisoned());
    });
}

#[test]
fn a_permit_for_another_layer_takes_nothing_down_and_poisons() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let disk = Disk::with_files(&[("a", "content")]);
        let layer = disk.mount(&engine, 7);
        let permit = engine.decide(UnmountDevice { target: target(8) }).unwrap();
        let error = super::unmount_device(permit, layer).unwrap_err();
        assert!(matches!(error, UnmountDeviceError::OtherLayer), "{error:?}");
        assert!(Path::new(MOUNTED).join("a").exists());
        assert!(matches!(engine.decide(disk.request(9)), Err(Refusal::Poisoned)));
    });
}

#[test]
fn a_layer_in_use_does_not_unmount_and_poisons() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let disk = Disk::with_files(&[("a", "content")]);
        let layer = disk.mount(&engine, 7);
        let open = fs::File::open(Path::new(MOUNTED).join("a")).unwrap();
        let permit = engine.decide(UnmountDevice { target: target(7) }).unwrap();
        let error = super::unmount_device(permit, layer).unwrap_err();
        assert!(matches!(error, UnmountDeviceError::Unmount(_)), "{error:?}");
        assert!(engine.is_poisoned());
        drop(open);
    });
}

fn refuses_writes(source: &policy_engine::request::BlockSource) -> bool {
    let device = BlockDevice::open_now(source, Access::ReadOnly).unwrap();
    is_read_only(device.as_fd()).unwrap()
}

#[test]
fn a_disk_is_as_it_was_found_when_its_last_layer_is_gone() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let disk = Disk::with_files(&[("a", "content")]);
        let image = tempfile::NamedTempFile::new_in("/tmp").unwrap();
        image.as_file().set_len(disk.content().len() as u64).unwrap();
        let device = writable_device(image.as_file());
        device.write_all_at(&disk.content(), 0).unwrap();
        let source = source_of(&device);
        let request = |number| MountDevice { source: source.clone(), ..disk.request(number) };
        let mount = |number| mount_device(engine.decide(request(number)).unwrap()).unwrap();
        let layers = [mount(1), mount(2)];
        refused(&engine, MountDevice { root_hash: [7; 32].into(), ..request(7) });
        for layer in layers {
            assert!(refuses_writes(&source));
            unmount_device(&engine, layer);
        }
        assert!(!refuses_writes(&source));
        refused(&engine, MountDevice { root_hash: [7; 32].into(), ..request(7) });
        assert!(!refuses_writes(&source));
        // What the host made read-only stays so.
        unmount_device(&engine, disk.mount(&engine, 3));
        assert!(refuses_writes(&disk.source()));
    });
}
