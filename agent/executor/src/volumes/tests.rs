use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use policy_engine::Engine;
use policy_engine::request::{ScratchBacking, ScratchMount, ScratchUnmount};

use super::*;
use crate::scratch::{mount_scratch, unmount_scratch};
use crate::test_bench::{memory_scratch, path, permissive_engine, with_private_mounts};

const DATA: &str = "/run/gcs/sandboxMounts/tmp/atlas/emptydir/data";
const POD: &str = "/run/gcs/c/pod/volumes";

fn volume(target: &str, backing: VolumeBacking) -> MountVolume {
    MountVolume {
        target: target.parse().unwrap(),
        backing,
        mode: VolumeMode::OPEN,
        group: None,
        nosuid: false,
        noexec: false,
    }
}

fn memory() -> VolumeBacking {
    VolumeBacking::Own(ScratchBacking::Memory { size_bytes: 1 << 20 })
}

fn directory() -> VolumeBacking {
    VolumeBacking::Directory { scratch: path(POD), encrypted: true }
}

fn unmount_request(target: &str) -> UnmountVolume {
    UnmountVolume { target: target.parse().unwrap() }
}

fn pod_scratch(engine: &Engine) -> Scratch {
    let request = ScratchMount { target: path(POD), ..memory_scratch(POD) };
    mount_scratch(engine.decide(request).unwrap()).unwrap()
}

/// The options of the mount at `point`, as `/proc/thread-self/mountinfo` has them.
fn options(point: &str) -> String {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.split(' ').nth(4) == Some(point)).unwrap();
    line.split(' ').nth(5).unwrap().to_owned()
}

#[test]
fn a_volume_in_memory_is_bounded_and_has_the_owner_and_mode_asked_for() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let mode = VolumeMode::new(0o770).unwrap().with_set_group();
        let request =
            MountVolume { mode, group: Some(2000), nosuid: true, noexec: true, ..volume(DATA, memory()) };
        let made = mount_volume(engine.decide(request).unwrap(), None).unwrap();
        let status = fs::metadata(DATA).unwrap();
        assert_eq!((status.mode() & 0o7777, status.uid(), status.gid()), (0o2770, 0, 2000));
        for option in ["nodev", "nosuid", "noexec"] {
            assert!(options(DATA).contains(option), "{}", options(DATA));
        }
        let error = fs::write(Path::new(DATA).join("file"), vec![1; 2 << 20]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        unmount_volume(engine.decide(unmount_request(DATA)).unwrap(), made).unwrap();
        assert!(!Path::new(DATA).exists());
        assert!(!engine.is_poisoned());
    });
}

#[test]
fn a_directory_of_the_sandboxs_scratch_is_a_volume_that_leaves_when_it_is_empty() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let scratch = pod_scratch(&engine);
        let request = volume(DATA, directory());
        let made = mount_volume(engine.decide(request).unwrap(), Some(&scratch)).unwrap();
        assert_eq!(fs::metadata(DATA).unwrap().permissions().mode() & 0o7777, 0o777);
        assert!(!options(DATA).contains("noexec") && options(DATA).contains("nodev"), "{}", options(DATA));
        fs::write(Path::new(DATA).join("file"), "written").unwrap();
        assert_eq!(fs::read_dir(POD).unwrap().count(), 1, "it is not on the scratch");
        fs::remove_file(Path::new(DATA).join("file")).unwrap();
        unmount_volume(engine.decide(unmount_request(DATA)).unwrap(), made).unwrap();
        assert_eq!(fs::read_dir(POD).unwrap().count(), 0);
        unmount_scratch(engine.decide(ScratchUnmount { target: path(POD) }).unwrap(), scratch).unwrap();
        assert!(!engine.is_poisoned());
    });
}

#[test]
fn a_volume_that_is_not_made_leaves_nothing() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let scratch = pod_scratch(&engine);
        let other = VolumeBacking::Directory { scratch: path("/run/gcs/c/other/volumes"), encrypted: true };
        let refused = |backing, scratch| {
            let permit = engine.decide(volume(DATA, backing)).unwrap();
            mount_volume(permit, scratch).unwrap_err()
        };
        assert!(matches!(refused(other, Some(&scratch)), MountVolumeError::OtherScratch));
        assert!(matches!(refused(directory(), None), MountVolumeError::OtherScratch));
        let much = VolumeBacking::Own(ScratchBacking::Memory { size_bytes: u64::MAX });
        assert!(matches!(refused(much, None), MountVolumeError::Space(SpaceError::Memory { .. })));
        assert!(!Path::new(DATA).exists());
        // In the way: a directory with something in it, and a link to another place.
        fs::create_dir_all(Path::new(DATA).join("file")).unwrap();
        assert!(matches!(refused(memory(), None), MountVolumeError::MountPoint(MountPointError::InUse)));
        fs::remove_dir_all(DATA).unwrap();
        std::os::unix::fs::symlink("/run", DATA).unwrap();
        let error = refused(directory(), Some(&scratch));
        assert!(matches!(error, MountVolumeError::MountPoint(MountPointError::Directory(_))), "{error:?}");
        assert_eq!(fs::read_dir(POD).unwrap().count(), 0, "a directory stays on the scratch");
        assert!(!engine.is_poisoned());
    });
}

#[test]
fn a_permit_for_another_volume_takes_nothing_down_and_poisons() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let made = mount_volume(engine.decide(volume(DATA, memory())).unwrap(), None).unwrap();
        let permit = engine.decide(unmount_request("/run/gcs/sandboxMounts/other")).unwrap();
        let error = unmount_volume(permit, made).unwrap_err();
        assert!(matches!(error, UnmountVolumeError::OtherVolume), "{error:?}");
        assert!(Path::new(DATA).exists());
        assert!(engine.is_poisoned());
    });
}
