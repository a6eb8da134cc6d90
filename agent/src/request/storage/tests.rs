use policy_engine::request::{ScratchBacking, VolumeMode};
use proto::kata::agent::FSGroup;

use super::*;

const ID: &str = "c1c1c1c1";
const ROOT: &str = "/run/kata-containers/c1c1c1c1/rootfs";
const VOLUME: &str = "/run/gcs/sandboxMounts/tmp/atlas/emptydir/data";

fn storage(driver: &str, fstype: &str, place: &str, options: &[&str]) -> Storage {
    Storage {
        driver: driver.to_owned(),
        source: if matches!(fstype, "ext4" | "erofs" | "xfs") { "/dev/vdb" } else { fstype }.to_owned(),
        fstype: fstype.to_owned(),
        mount_point: place.to_owned(),
        options: options.iter().map(|&option| option.to_owned()).collect(),
        ..Default::default()
    }
}

fn lower(layer: u8) -> Storage {
    let root_hash = format!("X-kata.dmverity.roothash={}", format!("{layer:02x}").repeat(32));
    let options = ["ro", "X-kata.overlay-lower", "X-kata.multi-layer=true", "X-kata.dmverity-enabled=true"];
    let mut lower = storage("erofs.multi-layer", "erofs", ROOT, &options);
    lower.options.extend([root_hash, "X-kata.dmverity.hashoffset=4096".to_owned()]);
    lower
}

fn upper(options: &[&str]) -> Storage {
    let mut upper =
        storage("mmioblk", "ext4", ROOT, &["rw", "X-kata.overlay-upper", "X-kata.multi-layer=true"]);
    upper.options.extend(options.iter().map(|&option| option.to_owned()));
    upper
}

fn root(storages: &[Storage]) -> Result<RootFilesystem, RequestError> {
    root_filesystem(storages, &ID.parse().unwrap())
}

/// The disks of a root, base first.
fn disks(root: &RootFilesystem) -> &[MountDevice] {
    match &root.layers {
        RootLayers::Disks(layers) => layers,
        RootLayers::Image { .. } => panic!("it is pulled"),
    }
}

/// The volume of a storage.
fn volume_of(storage: Storage) -> Result<VolumePlan, RequestError> {
    root(&[lower(1), storage]).map(|mut root| root.volumes.remove(0))
}

fn encrypted() -> ScratchBacking {
    ScratchBacking::EncryptedDisk { source: "/dev/vdb".parse().unwrap() }
}

#[test]
fn a_volume_has_every_option_that_was_given() {
    let options = ["size=4m", "mode=0750", "fsgid=7", "nosuid", "noexec", "nodev", "rw"];
    let volume = volume_of(storage("ephemeral", "tmpfs", VOLUME, &options)).unwrap();
    let expected = VolumePlan {
        target: VOLUME.parse().unwrap(),
        backing: Some(ScratchBacking::Memory { size_bytes: 4 << 20 }),
        mode: VolumeMode::new(0o2750).unwrap(),
        group: Some(7),
        nosuid: true,
        noexec: true,
    };
    assert_eq!(volume, expected);
    let disk = volume_of(storage("scsi", "ext4", VOLUME, &["encryption_key=ephemeral"]));
    assert!(disk.is_err(), "a node is no SCSI address: {disk:?}");
    let disk = volume_of(storage("blk", "ext4", VOLUME, &["encryption_key=ephemeral", "fsgid=7"])).unwrap();
    assert_eq!((disk.backing, disk.group), (Some(encrypted()), Some(7)));
    let mut local = storage("local", "local", VOLUME, &["mode=0777"]);
    local.fs_group = Some(FSGroup { group_id: 9, ..Default::default() }).into();
    local.shared = true;
    let local = volume_of(local).unwrap();
    assert_eq!((local.backing, local.group, local.mode.bits()), (None, Some(9), 0o2777));
}

#[test]
fn what_a_volume_cannot_have_is_refused_by_name() {
    let options = [
        "size=0",
        "size=",
        "size=1t",
        "size=-1",
        "size=50%",
        "size=20000000000g",
        "mode=8",
        "mode=",
        "mode=10000",
        "fsgid=-1",
        "fsgid=4294967295",
        "nr_inodes=1",
        "uid=0",
        "remount",
        "bind",
        "suid",
        "huge=always",
    ];
    for option in options {
        assert!(volume_of(storage("ephemeral", "tmpfs", VOLUME, &[option])).is_err(), "{option}");
    }
    for twice in ["size=1", "mode=0777", "fsgid=1", "nosuid", "rw"] {
        assert!(volume_of(storage("ephemeral", "tmpfs", VOLUME, &[twice, twice])).is_err(), "{twice}");
    }
    for (driver, fstype, option, named) in [
        ("ephemeral", "hugetlbfs", "pagesize=2M", "hugetlbfs"),
        ("blk", "xfs", "rw", "xfs"),
        ("local", "local", "size=1", "size=1"),
        ("local", "tmpfs", "rw", "local"),
        ("blk", "ext4", "size=1", "size=1"),
        ("virtio-fs", "virtiofs", "rw", "virtio-fs"),
        ("watchable-bind", "bind", "rw", "watchable-bind"),
    ] {
        let error = volume_of(storage(driver, fstype, VOLUME, &[option])).unwrap_err().to_string();
        assert!(error.contains(named), "{driver} {fstype}: {error}");
    }
    for place in
        ["/run/gcs/sandboxMounts", "/run/gcs/sandboxMounts/../x", "/run/gcs/sandboxMountsX/a", "/etc"]
    {
        assert!(volume_of(storage("ephemeral", "tmpfs", place, &[])).is_err(), "{place}");
    }
    let mut both = storage("ephemeral", "tmpfs", VOLUME, &["fsgid=1"]);
    both.fs_group = Some(FSGroup::default()).into();
    assert!(volume_of(both).is_err(), "two groups");
}

#[test]
fn a_disk_is_encrypted_exactly_when_the_request_says_so() {
    let place = format!("/run/gcs/c/pod/scratch/{ID}");
    let disk = |fstype, options: &[&str]| {
        scratch::disk_scratch(&storage("blk", fstype, &place, options), &ID.parse().unwrap())
    };
    assert_eq!(disk("ext4", &["rw", "encryption_key=ephemeral"]).unwrap().backing, encrypted());
    let plain = ScratchBacking::PlainDisk { source: "/dev/vdb".parse().unwrap() };
    assert_eq!(disk("ext4", &["rw"]).unwrap().backing, plain);
    for options in [&["encryption_key=mine"][..], &["encryption_key="], &["rw", "rw"], &["ro"], &["noatime"]]
    {
        assert!(disk("ext4", options).is_err(), "{options:?}");
    }
    let refused = disk("xfs", &["rw", "encryption_key=ephemeral"]).unwrap_err();
    assert!(refused.to_string().contains("xfs"), "{refused}");
}

#[test]
fn a_sandbox_has_one_scratch_and_volumes() {
    let id = "pod".parse().unwrap();
    let place = "/run/gcs/c/pod/volumes";
    let scratch = || storage("blk", "ext4", place, &["encryption_key=ephemeral"]);
    let shared_memory = storage("ephemeral", "tmpfs", "/run/kata-containers/sandbox/shm", &["size=64m"]);
    let (made, volumes) = sandbox_storages(&[shared_memory, scratch()], &id).unwrap();
    assert_eq!((made.unwrap().target.as_str(), volumes.len()), (place, 1));
    assert!(sandbox_storages(&[scratch(), scratch()], &id).is_err());
    for place in ["/run/gcs/c/other/volumes", "/run/gcs/c/pod/scratch/c1", "/run/gcs/c/pod", "/"] {
        let elsewhere = Storage { mount_point: place.to_owned(), ..scratch() };
        assert!(sandbox_storages(&[elsewhere], &id).is_err(), "{place}");
    }
    assert!(sandbox_storages(&[lower(1)], &id).is_err());
}

#[test]
fn a_multi_layer_root_is_topmost_first_and_shares_layers_by_root_hash() {
    let made = ["X-kata.mkdir.path={{ mount 0 }}/upper:0755", "X-kata.mkdir.path={{ mount 0 }}/work:0755"];
    let disk = upper(&[made[0], made[1], "encryption_key=ephemeral"]);
    let top_first = root(&[disk, lower(3), lower(2), lower(1)]).unwrap();
    let base_first: Vec<_> = disks(&top_first).iter().map(|layer| layer.root_hash.to_string()).collect();
    assert_eq!(base_first, ["01".repeat(32), "02".repeat(32), "03".repeat(32)]);
    assert!(top_first.overlay.layers.iter().eq(disks(&top_first).iter().rev().map(|layer| &layer.target)));
    let scratch = top_first.scratch.as_ref().unwrap();
    assert_eq!((&scratch.backing, Some(&scratch.target)), (&encrypted(), top_first.overlay.scratch.as_ref()));
    assert_eq!(top_first.overlay.target.as_str(), ROOT);
    let other = root(&[Storage { source: "/dev/vdz".to_owned(), ..lower(1) }]).unwrap();
    assert_eq!(disks(&other)[0].target, disks(&top_first)[0].target);
    // Without a disk it writes to memory.
    assert!(matches!(other.scratch.unwrap().backing, ScratchBacking::Memory { .. }));
}

#[test]
fn a_multi_layer_root_is_nothing_else_beside() {
    let with = |option: &str| {
        let mut lower = lower(1);
        lower.options.push(option.to_owned());
        lower
    };
    let form = "X-kata.multi-layer=true".to_owned();
    let unverified = Storage { options: vec!["ro".to_owned(), form], ..lower(1) };
    let overlay = storage("overlayfs", "overlay", ROOT, &["lowerdir=/run/mounts/scsi/m1"]);
    for (case, storages) in [
        ("a layer twice", vec![lower(1), lower(1)]),
        ("two disks", vec![upper(&[]), upper(&[]), lower(1)]),
        ("an overlay as well", vec![lower(1), overlay]),
        ("a layer without a root hash", vec![unverified]),
        ("lower and upper", vec![with("X-kata.overlay-upper")]),
        ("a writable layer", vec![with("rw")]),
        ("the form denied", vec![with("X-kata.multi-layer=false")]),
        ("a directory in a layer", vec![with("X-kata.mkdir.path={{ mount 0 }}/upper")]),
        ("a directory elsewhere", vec![upper(&["X-kata.mkdir.path=/etc"]), lower(1)]),
        ("a mode of the host's", vec![upper(&["X-kata.mkdir.path={{ mount 0 }}/upper:0777"]), lower(1)]),
        ("another place", vec![Storage { mount_point: "/etc".to_owned(), ..lower(1) }]),
        (
            "another container's place",
            vec![Storage { mount_point: ROOT.replace("c1c1", "c2c2"), ..lower(1) }],
        ),
        ("an owner", vec![Storage { fs_group: Some(FSGroup::default()).into(), ..lower(1) }]),
    ] {
        assert!(root(&storages).is_err(), "{case}");
    }
}
