use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use policy_engine::request::{BlockSource, ScratchBacking};

use super::*;
use crate::devices::BlockDevice;
use crate::test_bench::{
    Disk, memory_scratch, path, permissive_engine, source_of, with_private_mounts, writable_device,
};

const SCRATCH: &str = "/run/gcs/c/c1/scratch";

#[test]
fn memory_scratch_is_bounded_private_and_gone_afterwards() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let scratch = mount_scratch(engine.decide(memory_scratch(SCRATCH)).unwrap()).unwrap();
        assert_eq!(scratch.target().as_str(), SCRATCH);
        assert_eq!(fs::metadata(SCRATCH).unwrap().permissions().mode() & 0o7777, 0o700);
        let file = Path::new(SCRATCH).join("file");
        fs::write(&file, vec![1; 512 << 10]).unwrap();
        assert_eq!(fs::write(&file, vec![1; 2 << 20]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        let permit = engine.decide(ScratchUnmount { target: path(SCRATCH) }).unwrap();
        unmount_scratch(permit, scratch).unwrap();
        assert!(!Path::new(SCRATCH).exists());
        assert!(!engine.is_poisoned());
    });
}

#[test]
fn a_size_of_zero_is_not_unlimited() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let request =
            ScratchMount { backing: ScratchBacking::Memory { size_bytes: 0 }, ..memory_scratch(SCRATCH) };
        let _scratch = mount_scratch(engine.decide(request).unwrap()).unwrap();
        let error = fs::write(Path::new(SCRATCH).join("file"), vec![1; 64 << 10]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    });
}

#[test]
fn a_disk_that_cannot_be_encrypted_is_never_mounted() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let read_only = Disk::with_files(&[]);
        for source in [read_only.source(), BlockSource::Node("null".to_owned())] {
            let backing = ScratchBacking::EncryptedDisk { source };
            let request = ScratchMount { backing, ..memory_scratch(SCRATCH) };
            let error = mount_scratch(engine.decide(request).unwrap()).unwrap_err();
            assert!(matches!(error, ScratchMountError::Space(SpaceError::EncryptedDisk(_))), "{error:?}");
            assert!(!Path::new(SCRATCH).exists());
            assert!(!engine.is_poisoned());
        }
    });
}

#[test]
fn a_permit_for_another_scratch_takes_nothing_down_and_poisons() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let scratch = mount_scratch(engine.decide(memory_scratch(SCRATCH)).unwrap()).unwrap();
        let permit = engine.decide(ScratchUnmount { target: path("/run/gcs/c/c2") }).unwrap();
        let error = unmount_scratch(permit, scratch).unwrap_err();
        assert!(matches!(error, ScratchUnmountError::OtherScratch), "{error:?}");
        assert!(Path::new(SCRATCH).exists());
        assert!(engine.is_poisoned());
    });
}

/// The file system of an encrypted disk, on a plain one: the kernel takes it and keeps what is written.
#[test]
fn the_kernel_mounts_what_was_formatted() {
    with_private_mounts(|| {
        let file = tempfile::NamedTempFile::new_in("/tmp").unwrap();
        file.as_file().set_len(300 << 20).unwrap();
        ext4_format::format(file.as_file(), 300 << 20).unwrap();
        let device = crate::sys::loop_device::attach_read_only(file.as_file(), 4096).unwrap();
        let device = BlockDevice::from_file(device).unwrap();
        let root = space::ext4(&device).unwrap().flag("ro").unwrap().mount(INERT).unwrap();
        let mut rollback = Rollback::default();
        let point = MountPoint::create(&path(SCRATCH), &CONTAINER_PLACES, &mut rollback).unwrap();
        point.attach(root.as_fd(), &mut rollback).unwrap();
        assert!(Path::new(SCRATCH).join("lost+found").is_dir());
    });
}

#[test]
fn a_plain_disk_is_formatted_anew_and_not_one_that_is_in_use() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let image = tempfile::NamedTempFile::new_in("/tmp").unwrap();
        image.as_file().set_len(64 << 20).unwrap();
        let device = writable_device(image.as_file());
        let source = source_of(&device);
        let request = |target: &str| ScratchMount {
            target: path(target),
            backing: ScratchBacking::PlainDisk { source: source.clone() },
        };
        let scratch = mount_scratch(engine.decide(request(SCRATCH)).unwrap()).unwrap();
        fs::write(Path::new(SCRATCH).join("file"), "written").unwrap();
        let error = mount_scratch(engine.decide(request("/run/gcs/c/c2")).unwrap()).unwrap_err();
        let in_use = PlainDiskError::Open(OpenDiskError::InUse(io::Error::from_raw_os_error(16)));
        assert_eq!(
            format!("{error:?}"),
            format!("{:?}", ScratchMountError::Space(SpaceError::PlainDisk(in_use)))
        );
        let permit = engine.decide(ScratchUnmount { target: path(SCRATCH) }).unwrap();
        unmount_scratch(permit, scratch).unwrap();
        let scratch = mount_scratch(engine.decide(request(SCRATCH)).unwrap()).unwrap();
        assert!(!Path::new(SCRATCH).join("file").exists());
        let permit = engine.decide(ScratchUnmount { target: path(SCRATCH) }).unwrap();
        unmount_scratch(permit, scratch).unwrap();
        assert!(
            fs::read(image.path()).unwrap().iter().all(|byte| *byte == 0),
            "its blocks are not given back"
        );
        assert!(!engine.is_poisoned());
    });
}
