use policy_engine::request::ContainerKind;
use proto::kata::agent::CreateContainerRequest;
use proto::kata::oci;

use super::*;
use crate::request::ContainerPlan;

const ID: &str = "c1c1c1c1";
const IMAGE: &str = "registry.example/team/app:1";

fn storage(source: &str, metadata: &str) -> Storage {
    Storage {
        driver: DRIVER.into(),
        source: source.into(),
        fstype: "overlay".into(),
        driver_options: vec![format!("image_guest_pull={{\"metadata\":{metadata}}}")],
        mount_point: format!("/run/kata-containers/{ID}/rootfs"),
        ..Storage::default()
    }
}

fn other(driver: &str, fstype: &str, place: &str, options: &[&str]) -> Storage {
    Storage {
        driver: driver.into(),
        source: fstype.into(),
        fstype: fstype.into(),
        mount_point: place.into(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Storage::default()
    }
}

fn message(storages: Vec<Storage>) -> CreateContainerRequest {
    let spec = oci::Spec {
        Process: Some(oci::Process {
            Args: vec!["/app".into()],
            Cwd: "/".into(),
            User: Some(oci::User::default()).into(),
            ..Default::default()
        })
        .into(),
        Root: Some(oci::Root { Path: format!("/run/kata-containers/{ID}/rootfs"), ..Default::default() })
            .into(),
        Linux: Some(oci::Linux::default()).into(),
        ..Default::default()
    };
    CreateContainerRequest {
        container_id: ID.into(),
        storages,
        OCI: Some(spec).into(),
        ..CreateContainerRequest::default()
    }
}

fn plan(storage: Storage) -> Result<ContainerPlan, RequestError> {
    ContainerPlan::try_from(&message(vec![storage]))
}

fn image_of(storage: Storage) -> String {
    match plan(storage).unwrap().root.layers {
        RootLayers::Image { reference, .. } => reference.to_string(),
        RootLayers::Disks(disks) => panic!("disks: {disks:?}"),
    }
}

#[test]
fn an_image_is_a_root_by_itself() {
    let metadata = format!(
        r#"{{"io.kubernetes.cri.image-name":"{IMAGE}","io.kubernetes.cri.container-type":"container"}}"#
    );
    let plan = plan(storage(IMAGE, &metadata)).unwrap();
    let root = plan.root;
    assert!(matches!(&root.layers, RootLayers::Image { reference, .. } if reference.to_string() == IMAGE));
    assert!(root.overlay.layers.is_empty(), "the guest finds the layers, not the host");
    assert_eq!(root.overlay.target.as_str(), format!("/run/kata-containers/{ID}/rootfs"));
    let scratch = root.scratch.unwrap();
    assert_eq!(scratch.backing, ScratchBacking::Memory { size_bytes: MEMORY_DEFAULT_BYTES });
    assert_eq!(root.overlay.scratch, Some(scratch.target));
    assert_eq!(plan.container.kind, ContainerKind::Workload);
    assert!(image_of(storage(IMAGE, "null")).starts_with("registry.example/"));
}

#[test]
fn scratch_may_come_with_an_image() {
    let place = format!("/run/gcs/c/pod/scratch/{ID}");
    let scratch = other("ephemeral", "tmpfs", &place, &["size=1048576"]);
    let plan = ContainerPlan::try_from(&message(vec![scratch, storage(IMAGE, "{}")])).unwrap();
    assert_eq!(plan.root.scratch.unwrap().backing, ScratchBacking::Memory { size_bytes: 1 << 20 });
    assert_eq!(plan.root.overlay.scratch.unwrap().as_str(), place);
}

#[test]
fn a_container_has_one_root() {
    let layer = other(
        "blk",
        "ext4",
        "/run/mounts/scsi/m1",
        &[
            "ro",
            "X-kata.dmverity-enabled=true",
            "X-kata.dmverity.roothash=b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c",
            "X-kata.dmverity.hashoffset=4096",
        ],
    );
    let layer = Storage { source: "01".into(), ..layer };
    let overlay = other("overlayfs", "overlay", &format!("/run/kata-containers/{ID}/rootfs"), &["lowerdir="]);
    let multi = Storage { driver: "erofs.multi-layer".into(), ..storage(IMAGE, "{}") };
    for beside in [storage("registry.example/other", "{}"), layer, overlay, multi] {
        let refused = ContainerPlan::try_from(&message(vec![storage(IMAGE, "{}"), beside.clone()]));
        assert!(matches!(refused, Err(RequestError::Refused { .. })), "{beside:?}: {refused:?}");
    }
    // Attack: no pull at all, so that what the host left in the place of the root is used.
    let refused = ContainerPlan::try_from(&message(Vec::new()));
    assert!(matches!(refused, Err(RequestError::Missing { .. })), "{refused:?}");
}

#[test]
fn an_image_is_mounted_in_its_own_place_only() {
    let changes: [fn(&mut Storage); 7] = [
        |storage| storage.mount_point = "/run/kata-containers/other/rootfs".into(),
        |storage| storage.mount_point = "/etc".into(),
        |storage| storage.fstype = "ext4".into(),
        |storage| storage.options = vec!["lowerdir=/".into()],
        |storage| storage.options = vec!["X-kata.multi-layer=true".into()],
        |storage| storage.shared = true,
        |storage| storage.fs_group = Some(Default::default()).into(),
    ];
    for change in changes {
        let mut storage = storage(IMAGE, "{}");
        change(&mut storage);
        assert!(plan(storage.clone()).is_err(), "{storage:?}");
    }
}

#[test]
fn there_is_one_opinion_about_the_image() {
    let named = |key: &str, name: &str| storage(IMAGE, &format!(r#"{{"{key}":"{name}"}}"#));
    for key in IMAGE_NAMES {
        assert_eq!(image_of(named(key, IMAGE)), IMAGE);
        let refused = plan(named(key, "registry.example/team/app@sha256:00"));
        assert!(matches!(refused, Err(RequestError::Refused { .. })), "{refused:?}");
    }
    for source in ["", "https://registry.example/app", "a b", "registry.example/APP", "../x", "app@sha256:00"]
    {
        assert!(matches!(plan(storage(source, "{}")), Err(RequestError::Image { .. })), "{source:?}");
    }
}

#[test]
fn the_sandbox_has_an_image_like_any_other() {
    let metadata = r#"{"io.kubernetes.cri.podsandbox.image-name":"registry.example/pause:3"}"#;
    assert_eq!(image_of(storage("pause", metadata)), "registry.example/pause:3");
    assert!(matches!(plan(storage("pause", "{}")), Err(RequestError::Refused { .. })));
    assert!(
        plan(storage("pause", r#"{"io.kubernetes.cri.podsandbox.image-name":"/pause_bundle"}"#)).is_err()
    );
}

#[test]
fn there_is_one_opinion_about_what_the_container_is() {
    let kinds = |annotation: &str, metadata: &str| {
        let key = "io.kubernetes.cri.container-type";
        let mut message = message(vec![storage(IMAGE, &format!(r#"{{"{key}":"{metadata}"}}"#))]);
        message.OCI.mut_or_insert_default().Annotations.insert(key.into(), annotation.into());
        ContainerPlan::try_from(&message)
    };
    assert_eq!(kinds("sandbox", "sandbox").unwrap().container.kind, ContainerKind::Sandbox);
    assert_eq!(kinds("container", "container").unwrap().container.kind, ContainerKind::Workload);
    for (annotation, metadata) in [("container", "sandbox"), ("sandbox", "container"), ("container", "x")] {
        assert!(kinds(annotation, metadata).is_err(), "{annotation} {metadata}");
    }
}

#[test]
fn of_the_metadata_only_what_is_used_is_held() {
    let entry = |number| format!("\"{number:x}\":\"\"");
    let many = |count| (0..count).map(entry).collect::<Vec<_>>().join(",");
    let kind = r#""io.kubernetes.cri.container-type":"container""#;
    let held = storage(IMAGE, &format!("{{{kind},{}}}", many(10_000)));
    let RootLayers::Image { metadata, .. } = plan(held).unwrap().root.layers else { panic!("no image") };
    assert_eq!(metadata.into_keys().collect::<Vec<_>>(), ["io.kubernetes.cri.container-type"]);
    let refused = plan(storage(IMAGE, &format!("{{{kind},{}}}", many(120_000))));
    assert!(matches!(refused, Err(RequestError::Refused { .. })), "{:?}", refused.map(|_| ()));
}

#[test]
fn the_option_is_one_object_of_texts() {
    let good = r#"image_guest_pull={"metadata":{"a":"b"}}"#;
    let bad: [&[&str]; 8] = [
        &[],
        &[good, good],
        &["image_guest_pull"],
        &["image_guest_pull={}x"],
        &[r#"image_guest_pull={"metadata":{"a":1}}"#],
        &[r#"image_guest_pull={"metadata":{},"metadata":{}}"#],
        &[r#"image_guest_pull={"bundle":"/pause_bundle"}"#],
        &[r#"other={"metadata":{}}"#],
    ];
    for options in bad {
        let driver_options = options.iter().map(|option| (*option).to_owned()).collect();
        let refused = plan(Storage { driver_options, ..storage(IMAGE, "{}") });
        assert!(matches!(refused, Err(RequestError::Value { .. })), "{options:?}: {refused:?}");
    }
    let driver_options = vec![good.to_owned()];
    assert!(plan(Storage { driver_options, ..storage(IMAGE, "{}") }).is_ok());
}
