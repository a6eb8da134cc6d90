use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use policy_engine::Engine;
use policy_engine::request::ScratchUnmount;

use super::*;
use crate::boot::publish;
use crate::scratch::{mount_scratch, unmount_scratch};
use crate::test_bench::{
    Disk, memory_scratch, overlay, path, permissive_engine, unmount_device, unmount_overlay,
    with_private_mounts,
};

const ROOTFS: &str = "/run/kata-containers/c1/rootfs";
const SCRATCH: &str = "/run/kata-containers/c1/scratch";

fn two_layers(engine: &Engine) -> (Disk, Disk, Layer, Layer) {
    let lower = Disk::with_files(&[("etc/name", "lower"), ("lower", "")]);
    let upper = Disk::with_files(&[("etc/name", "upper"), ("upper", "")]);
    let (bottom, top) = (lower.mount(engine, 0), upper.mount(engine, 1));
    (lower, upper, bottom, top)
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(ROOTFS).join(file)).unwrap()
}

#[test]
fn layers_are_stacked_in_order_and_writes_go_to_scratch() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let (_lower, _upper, bottom, top) = two_layers(&engine);
        let scratch = mount_scratch(engine.decide(memory_scratch(SCRATCH)).unwrap()).unwrap();
        let context = publish(&[("security-policy-base64", b"cG9saWN5")]).unwrap();
        let permit = engine.decide(overlay(&[&top, &bottom], Some(SCRATCH), ROOTFS)).unwrap();
        let mounted = mount_overlay(permit, &[&top, &bottom], Some(&scratch), Some(&context)).unwrap();
        assert_eq!((mounted.target().as_str(), mounted.container_id().as_str()), (ROOTFS, "c1"));
        assert_eq!(read("etc/name"), "upper");
        assert!(Path::new(ROOTFS).join("lower").exists());
        let published = format!("{}/security-policy-base64", context.directory_name());
        assert_eq!(read(&published), "cG9saWN5");
        assert_eq!(fs::metadata(ROOTFS).unwrap().permissions().mode() & 0o7777, 0o755);
        fs::write(Path::new(ROOTFS).join("etc/name"), "written").unwrap();
        assert_eq!(read("etc/name"), "written");
        let below = fs::read_to_string(format!("{}/etc/name", top.target().path())).unwrap();
        assert_eq!(below, "upper");
        super::unmount_overlay(engine.decide(unmount_overlay(ROOTFS)).unwrap(), mounted).unwrap();
        assert!(!Path::new(ROOTFS).exists());
        let permit = engine.decide(ScratchUnmount { target: path(SCRATCH) }).unwrap();
        unmount_scratch(permit, scratch).unwrap();
        unmount_device(&engine, top);
        unmount_device(&engine, bottom);
        assert!(!engine.is_poisoned());
    });
}

#[test]
fn an_older_kernel_stacks_the_same_by_one_option() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let (_lower, _upper, bottom, top) = two_layers(&engine);
        let stacked = one_lower_option(&[top.root(), bottom.root()]).unwrap();
        let root = stacked.flag("ro").unwrap().mount(MountAttrFlags::MOUNT_ATTR_RDONLY).unwrap();
        let name = fs::read_to_string(format!("{}/etc/name", descriptor_path(&root))).unwrap();
        assert_eq!(name, "upper");
        drop(root);
        unmount_device(&engine, top);
        unmount_device(&engine, bottom);
    });
}

#[test]
fn without_scratch_the_root_is_read_only() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let (_lower, _upper, bottom, top) = two_layers(&engine);
        let context = publish(&[("security-policy-base64", b"cG9saWN5")]).unwrap();
        for (layers, context) in
            [(vec![&top, &bottom], Some(&context)), (vec![&bottom], Some(&context)), (vec![&bottom], None)]
        {
            let permit = engine.decide(overlay(&layers, None, ROOTFS)).unwrap();
            let mounted = mount_overlay(permit, &layers, None, context).unwrap();
            let error = fs::write(Path::new(ROOTFS).join("etc/name"), "x").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ReadOnlyFilesystem);
            if let Some(context) = context {
                let file = format!("{}/security-policy-base64", context.directory_name());
                assert_eq!(read(&file), "cG9saWN5");
            }
            super::unmount_overlay(engine.decide(unmount_overlay(ROOTFS)).unwrap(), mounted).unwrap();
        }
    });
}

#[test]
fn only_the_layers_and_the_scratch_of_the_permit_are_mounted() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let (_lower, _upper, bottom, top) = two_layers(&engine);
        let scratch = mount_scratch(engine.decide(memory_scratch(SCRATCH)).unwrap()).unwrap();
        let permit = || engine.decide(overlay(&[&top, &bottom], None, ROOTFS)).unwrap();
        for layers in [vec![&bottom, &top], vec![&top], vec![&top, &bottom, &bottom], vec![]] {
            let error = mount_overlay(permit(), &layers, None, None).unwrap_err();
            assert!(matches!(error, MountOverlayError::OtherLayers), "{error:?}");
        }
        let error = mount_overlay(permit(), &[&top, &bottom], Some(&scratch), None).unwrap_err();
        assert!(matches!(error, MountOverlayError::OtherScratch), "{error:?}");
        let wanted = engine.decide(overlay(&[&top], Some("/run/kata-containers/c2"), ROOTFS)).unwrap();
        let error = mount_overlay(wanted, &[&top], Some(&scratch), None).unwrap_err();
        assert!(matches!(error, MountOverlayError::OtherScratch), "{error:?}");
        let error = mount_overlay(engine.decide(overlay(&[], None, ROOTFS)).unwrap(), &[], None, None);
        assert!(matches!(error, Err(MountOverlayError::LayerCount { count: 0 })), "{error:?}");
        assert!(!engine.is_poisoned());
        assert!(!Path::new(ROOTFS).exists());
    });
}

#[test]
fn roots_are_mounted_in_their_places_only() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let (_lower, _upper, bottom, _top) = two_layers(&engine);
        for target in ["/etc", "/run", "/run/kata-containers", "/run/mounts/scsi/m9", "/run/cce/additions/x"]
        {
            let permit = engine.decide(overlay(&[&bottom], None, target)).unwrap();
            let error = mount_overlay(permit, &[&bottom], None, None).unwrap_err();
            assert!(
                matches!(error, MountOverlayError::MountPoint(MountPointError::Place)),
                "{target}: {error:?}"
            );
        }
        // Not below the root of another container, whose processes could move it.
        let outer = engine.decide(overlay(&[&bottom], None, ROOTFS)).unwrap();
        let outer = mount_overlay(outer, &[&bottom], None, None).unwrap();
        let permit = engine.decide(overlay(&[&bottom], None, &format!("{ROOTFS}/etc"))).unwrap();
        let error = mount_overlay(permit, &[&bottom], None, None).unwrap_err();
        assert!(matches!(error, MountOverlayError::MountPoint(MountPointError::Container)), "{error:?}");
        // Nor over files, nor through a link.
        fs::create_dir_all("/run/gcs/c/full/inside").unwrap();
        std::os::unix::fs::symlink("/etc", "/run/gcs/c/link").unwrap();
        for target in ["/run/gcs/c/full", "/run/gcs/c/link", "/run/gcs/c/link/x"] {
            let permit = engine.decide(overlay(&[&bottom], None, target)).unwrap();
            assert!(mount_overlay(permit, &[&bottom], None, None).is_err(), "{target}");
        }
        assert!(!engine.is_poisoned());
        drop(outer);
    });
}

#[test]
fn one_scratch_serves_one_container() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let (_lower, _upper, bottom, _top) = two_layers(&engine);
        let scratch = mount_scratch(engine.decide(memory_scratch(SCRATCH)).unwrap()).unwrap();
        let permit = |target| engine.decide(overlay(&[&bottom], Some(SCRATCH), target)).unwrap();
        // A failure leaves the scratch as it was.
        let error = mount_overlay(permit("/etc"), &[&bottom], Some(&scratch), None).unwrap_err();
        assert!(matches!(error, MountOverlayError::MountPoint(_)), "{error:?}");
        let first = mount_overlay(permit(ROOTFS), &[&bottom], Some(&scratch), None).unwrap();
        let second = permit("/run/kata-containers/c2/rootfs");
        let error = mount_overlay(second, &[&bottom], Some(&scratch), None).unwrap_err();
        assert!(matches!(error, MountOverlayError::WriteDirectories(_)), "{error:?}");
        assert!(!engine.is_poisoned());
        assert!(fs::write(Path::new(ROOTFS).join("new"), "x").is_ok());
        drop(first);
    });
}

#[test]
fn device_nodes_in_a_root_open_nothing() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let (_lower, _upper, bottom, _top) = two_layers(&engine);
        let scratch = mount_scratch(engine.decide(memory_scratch(SCRATCH)).unwrap()).unwrap();
        let permit = engine.decide(overlay(&[&bottom], Some(SCRATCH), ROOTFS)).unwrap();
        let mounted = mount_overlay(permit, &[&bottom], Some(&scratch), None).unwrap();
        let node = Path::new(ROOTFS).join("zero");
        let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::RUSR);
        let zero = fs::metadata("/dev/zero").unwrap().rdev();
        rustix::fs::mknodat(mounted.root(), "zero", kind, mode, zero).unwrap();
        assert_eq!(fs::File::open(node).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    });
}

/// Layers and scratch forbid execution where they are mounted themselves; the overlay above does not.
#[test]
#[expect(clippy::disallowed_methods, reason = "only running a program shows that it runs")]
fn programs_run_from_the_root_and_from_nowhere_else() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let disk = Disk::with_programs(&[("true", &fs::read("/bin/true").unwrap())]);
        let layer = disk.mount(&engine, 0);
        let scratch = mount_scratch(engine.decide(memory_scratch(SCRATCH)).unwrap()).unwrap();
        let permit = engine.decide(overlay(&[&layer], Some(SCRATCH), ROOTFS)).unwrap();
        let mounted = mount_overlay(permit, &[&layer], Some(&scratch), None).unwrap();
        fs::copy(Path::new(ROOTFS).join("true"), Path::new(ROOTFS).join("copy")).unwrap();
        let run = |program: &Path| std::process::Command::new(program).status();
        assert!(run(&Path::new(ROOTFS).join("true")).unwrap().success());
        assert!(run(&Path::new(ROOTFS).join("copy")).unwrap().success());
        for hidden in [layer.target().path().as_path().join("true"), Path::new(SCRATCH).join("upper/copy")] {
            assert_eq!(run(&hidden).unwrap_err().kind(), io::ErrorKind::PermissionDenied, "{hidden:?}");
        }
        drop(mounted);
    });
}

#[test]
fn many_layers_are_all_there() {
    with_private_mounts(|| {
        let engine = permissive_engine();
        let disk = Disk::with_files(&[("a", "content")]);
        // One image under many targets: the list of their paths is longer than a page.
        let layers: Vec<Layer> = (0..12).map(|number| disk.mount(&engine, 100_000_000 + number)).collect();
        let layers: Vec<&Layer> = layers.iter().collect();
        let permit = engine.decide(overlay(&layers, None, ROOTFS)).unwrap();
        let mounted = mount_overlay(permit, &layers, None, None).unwrap();
        assert_eq!(read("a"), "content");
        drop(mounted);
    });
}
