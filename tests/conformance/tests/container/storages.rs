//! Kata's storage drivers: each works under policy, or is refused by its name.

use proto::kata::agent::{
    CreateContainerRequest, CreateSandboxRequest, DestroySandboxRequest, FSGroup, Storage,
};
use proto::kata::oci;
use protobuf::MessageField;
use ttrpc::Code;

use crate::disks::{Policy, strings};
use crate::guest::{Guest, SANDBOX, id};
use crate::requests::{layers_of, root_path, scratch_of};

/// Where the policy's `sandbox:///tmp/atlas/emptydir/.+` points.
const VOLUME: &str = "/run/gcs/sandboxMounts/tmp/atlas/emptydir/data";
const POD_SCRATCH: &str =
    "/run/gcs/c/5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a/volumes";
const OPTIONS: [&str; 3] = ["rbind", "rshared", "rw"];
const WRITE: [&str; 3] = ["/bin/sh", "-c", "echo kept >/data/file; ls -ldn /data"];
const READ: [&str; 2] = ["/bin/cat", "/data/file"];

/// A container that has a volume at `/data`.
fn policy() -> Policy {
    Policy::of(&["/bin/cat"]).exec(&WRITE).exec(&READ).replace(
        r#""mounts":[]"#,
        r#""mounts":[{"destination":"/data","options":["rbind","rshared","rw"],"source":"sandbox:///tmp/atlas/emptydir/.+","type":"bind"}]"#,
    )
}

fn storage(driver: &str, fstype: &str, mount_point: &str, options: &[&str]) -> Storage {
    Storage {
        driver: driver.to_owned(),
        source: fstype.to_owned(),
        fstype: fstype.to_owned(),
        mount_point: mount_point.to_owned(),
        options: strings(options),
        ..Default::default()
    }
}

fn memory(options: &[&str]) -> Storage {
    storage("ephemeral", "tmpfs", VOLUME, options)
}

fn local() -> Storage {
    storage("local", "local", VOLUME, &["mode=0777"])
}

fn mount(source: &str) -> oci::Mount {
    oci::Mount {
        destination: "/data".to_owned(),
        source: source.to_owned(),
        type_: "bind".to_owned(),
        options: strings(&OPTIONS),
        ..Default::default()
    }
}

/// The policy's container, with a volume.
fn with_volume(guest: &Guest, id: &str, volume: Storage) -> CreateContainerRequest {
    let mut request = guest.container(id);
    request.storages.push(volume);
    request.OCI.as_mut().unwrap().Mounts.push(mount(VOLUME));
    request
}

fn sandbox(storages: Vec<Storage>) -> CreateSandboxRequest {
    CreateSandboxRequest { sandbox_id: SANDBOX.to_owned(), storages, ..Default::default() }
}

/// Two containers share the volume, and it outlives the first.
fn shared(guest: &Guest, volume: &Storage, listed: &str) {
    for number in [1, 2] {
        guest.launch_as(&with_volume(guest, &id(number), volume.clone()));
    }
    let written = guest.output_of(&id(1), "e1", &WRITE);
    assert!(written.starts_with(listed), "{written}");
    guest.remove(&id(1)).unwrap();
    assert_eq!(guest.output_of(&id(2), "e1", &READ), "kept\n");
    guest.launch_as(&with_volume(guest, &id(3), volume.clone()));
    assert_eq!(guest.output_of(&id(3), "e1", &READ), "kept\n");
    for number in [2, 3] {
        guest.remove(&id(number)).unwrap();
    }
    assert!(guest.mount_points().contains(&VOLUME.to_owned()), "the volume went with a container");
}

#[test]
fn ephemeral_volumes_are_shared_and_have_their_mode_and_group() {
    let Some(guest) = Guest::new(&policy()) else { return };
    let mut volume = memory(&["size=1048576", "nosuid", "nodev", "mode=0770"]);
    volume.fs_group = MessageField::some(FSGroup { group_id: 1000, ..Default::default() });
    shared(&guest, &volume, "drwxrws---    2 0        1000");
}

#[test]
fn local_volumes_lie_on_the_sandboxs_scratch() {
    let Some(guest) = Guest::without_sandbox(&policy()) else { return };
    guest.create_sandbox(SANDBOX).unwrap();
    let refused = guest.create(&with_volume(&guest, &id(9), local())).unwrap_err();
    assert_eq!(refused.code, Code::FAILED_PRECONDITION, "{refused:?}");
    let Some(guest) = Guest::without_sandbox(&policy()) else { return };
    let scratch = storage("ephemeral", "tmpfs", POD_SCRATCH, &["size=4m"]);
    guest.order("CreateSandbox", &sandbox(vec![scratch])).unwrap();
    shared(&guest, &local(), "drwxrwxrwx    2 0        0");
    guest.order("DestroySandbox", &DestroySandboxRequest::default()).unwrap();
    assert!(Guest::settles(|| guest.agent.log().contains("the sandbox is destroyed")));
    assert!(!guest.agent.log().contains("not taken down"), "{}", guest.agent.log());
}

#[test]
fn the_pods_shared_memory_is_a_volume_with_the_options_of_the_shim() {
    let Some(guest) = Guest::without_sandbox(&Policy::of(&["/bin/true"])) else { return };
    const SHARED_MEMORY: &str = "/run/kata-containers/sandbox/shm";
    let options = ["noexec", "nosuid", "nodev", "mode=1777", "size=67108864"];
    let shared_memory =
        Storage { source: "shm".to_owned(), ..storage("ephemeral", "tmpfs", SHARED_MEMORY, &options) };
    guest.order("CreateSandbox", &sandbox(vec![shared_memory])).unwrap();
    let line = guest.mount_of(SHARED_MEMORY).unwrap();
    for option in ["noexec", "nosuid", "nodev", "size=65536k"] {
        assert!(line.contains(option), "{option} is lost: {line}");
    }
}

/// Each is refused, and neither a container nor a volume stays.
#[test]
fn volumes_that_are_something_else() {
    let Some(guest) = Guest::new(&policy()) else { return };
    let before = guest.mount_points();
    let elsewhere = |place: &str| Storage { mount_point: place.to_owned(), ..memory(&[]) };
    for (case, code, volume) in [
        ("huge pages", Code::INVALID_ARGUMENT, storage("ephemeral", "hugetlbfs", VOLUME, &["pagesize=2M"])),
        ("a content", Code::INVALID_ARGUMENT, memory(&["remount"])),
        ("an option twice", Code::INVALID_ARGUMENT, memory(&["size=1", "size=2"])),
        ("more memory than there is", Code::INTERNAL, memory(&["size=9223372036854775807"])),
        ("a directory of the guest", Code::INVALID_ARGUMENT, elsewhere("/etc")),
        ("the directory of all volumes", Code::INVALID_ARGUMENT, elsewhere("/run/gcs/sandboxMounts")),
        ("a path that leads elsewhere", Code::INVALID_ARGUMENT, elsewhere("/run/gcs/sandboxMounts/../c/x")),
        (
            "a disk of the host's",
            Code::PERMISSION_DENIED,
            Storage { source: guest.layers[0].device.0.clone(), ..storage("blk", "ext4", VOLUME, &["rw"]) },
        ),
        ("watched files", Code::UNIMPLEMENTED, storage("watchable-bind", "bind", VOLUME, &[])),
        ("a shared directory", Code::UNIMPLEMENTED, storage("virtio-fs", "virtiofs", VOLUME, &[])),
    ] {
        let refused = guest.create(&with_volume(&guest, &id(1), volume)).unwrap_err();
        assert_eq!(refused.code, code, "{case}: {refused:?}");
        assert_eq!(guest.mount_points(), before, "{case} left a mount");
    }
    // One place has one volume, and none lies in another.
    guest.launch_as(&with_volume(&guest, &id(1), memory(&[])));
    for other in [memory(&["size=1k"]), elsewhere(&format!("{VOLUME}/in"))] {
        let refused = guest.create(&with_volume(&guest, &id(2), other)).unwrap_err();
        assert_eq!(refused.code, Code::ALREADY_EXISTS, "{refused:?}");
    }
}

/// A container reaches volumes that policy lets it mount, and nothing else of the guest.
#[test]
fn what_lies_beside_a_volume_is_out_of_reach() {
    let anything = r#""mounts":[{"destination":"/data","options":["rbind","rshared","rw"],"source":"sandbox://.*","type":"bind"}]"#;
    let policy = Policy::of(&["/bin/cat"]).replace(r#""mounts":[]"#, anything);
    let Some(guest) = Guest::new(&policy) else { return };
    for (source, code) in [
        ("/etc", Code::PERMISSION_DENIED),
        ("/run/gcs/sandboxMounts", Code::INTERNAL),
        ("/run/gcs/sandboxMounts/tmp/atlas", Code::INTERNAL),
        ("/run/gcs/sandboxMounts/absent", Code::INTERNAL),
    ] {
        let mut request = with_volume(&guest, &id(source.len().try_into().unwrap()), memory(&[]));
        request.OCI.as_mut().unwrap().Mounts.last_mut().unwrap().source = source.to_owned();
        let refused = guest.create(&request).unwrap_err();
        assert_eq!(refused.code, code, "{source}: {refused:?}");
    }
}

/// The form of Kata's shim for erofs layers; here the layers are ext4, which the driver takes as well.
#[test]
fn roots_of_the_multi_layer_form() {
    let Some(guest) = Guest::new(&Policy::of(&["/bin/echo", "layers"])) else { return };
    let before = guest.mount_points();
    let parts = |id: &str, driver: &str| {
        let mut request = guest.container(id);
        let mut parts = layers_of(&request);
        parts.reverse();
        for part in &mut parts {
            part.driver = driver.to_owned();
            part.mount_point = root_path(id);
            part.options.extend(strings(&["X-kata.overlay-lower", "X-kata.multi-layer=true"]));
        }
        request.storages = parts;
        request
    };
    for (number, driver) in [(1, "erofs.multi-layer"), (2, "blk")] {
        guest.launch_as(&parts(&id(number), driver));
        assert_eq!(guest.read_to_end("ReadStdout", &id(number), ""), "layers\n");
    }
    for number in [1, 2] {
        guest.remove(&id(number)).unwrap();
    }
    assert_eq!(guest.mount_points(), before);
    type Change = fn(&mut Vec<Storage>);
    let upper = Storage {
        source: guest.layers[0].device.0.clone(),
        ..storage(
            "blk",
            "ext4",
            &root_path(&id(3)),
            &["rw", "X-kata.overlay-upper", "X-kata.multi-layer=true"],
        )
    };
    let mut with_disk = parts(&id(3), "blk");
    with_disk.storages.push(upper);
    assert_eq!(
        guest.create(&with_disk).unwrap_err().code,
        Code::PERMISSION_DENIED,
        "a disk without encryption"
    );
    let changes: [(&str, Code, Change); 6] = [
        ("layers from the base up", Code::PERMISSION_DENIED, |parts| parts.reverse()),
        ("a layer twice", Code::INVALID_ARGUMENT, |parts| parts.push(parts[0].clone())),
        ("a layer without a root hash", Code::INVALID_ARGUMENT, |parts| {
            parts[0].options.retain(|option| !option.starts_with("X-kata.dmverity"));
        }),
        ("lower and upper", Code::INVALID_ARGUMENT, |parts| {
            parts[0].options.push("X-kata.overlay-upper".to_owned());
        }),
        ("a directory of the host's choice", Code::INVALID_ARGUMENT, |parts| {
            parts[0].options.push("X-kata.mkdir.path={{ mount 1 }}/etc".to_owned());
        }),
        ("another place", Code::INVALID_ARGUMENT, |parts| parts[0].mount_point = "/etc".to_owned()),
    ];
    for (number, (case, code, change)) in (4..).zip(changes) {
        let mut request = parts(&id(number), "blk");
        change(&mut request.storages);
        let refused = guest.create(&request).unwrap_err();
        assert_eq!(refused.code, code, "{case}: {refused:?}");
        assert_eq!(guest.mount_points(), before, "{case} left a mount");
    }
}

#[test]
fn a_root_without_scratch_is_read_only() {
    let script = "echo no >/new 2>/dev/null; echo $?";
    let Some(guest) = Guest::new(&Policy::of(&["/bin/sh", "-c", script]).running_as_root()) else { return };
    let mut request = guest.container(&id(1));
    request.OCI.as_mut().unwrap().Process.as_mut().unwrap().User = MessageField::some(oci::User::default());
    request.storages.retain(|storage| storage.driver != "ephemeral");
    let overlay = request.storages.last_mut().unwrap();
    overlay.options.truncate(1);
    guest.launch_as(&request);
    assert_eq!(guest.read_to_end("ReadStdout", &id(1), ""), "1\n");
}

#[test]
fn scratch_on_a_disk_that_the_host_reads_is_for_policies_that_say_so() {
    const ALLOWED: (&str, &str) = ("allow_unencrypted_scratch := false", "allow_unencrypted_scratch := true");
    let honest = Policy::of(&["/bin/echo", "honest"]);
    for (policy, code) in
        // The disk of the test is read-only: where policy allows it, it is the disk that does not serve.
        [
            (honest.clone(), Code::PERMISSION_DENIED),
            (honest.replace(ALLOWED.0, ALLOWED.1), Code::INTERNAL),
        ]
    {
        let Some(guest) = Guest::new(&policy) else { return };
        let before = guest.mount_points();
        let mut request = guest.container(&id(1));
        let device = guest.layers[0].device.0.clone();
        let scratch = scratch_of(&mut request);
        *scratch =
            Storage { source: device, ..storage("blk", "ext4", &scratch.mount_point.clone(), &["rw"]) };
        let refused = guest.create(&request).unwrap_err();
        assert_eq!(refused.code, code, "{refused:?}");
        scratch_of(&mut request).fstype = "xfs".to_owned();
        let refused = guest.create(&request).unwrap_err();
        assert!(refused.code == Code::INVALID_ARGUMENT && refused.message.contains("xfs"), "{refused:?}");
        assert_eq!(guest.mount_points(), before);
    }
}

/// CVE-2021-25741: a container leaves a link in a volume, and a part of the volume by that name is asked for.
#[test]
fn links_in_a_volume_lead_nowhere() {
    const LINK: [&str; 5] = ["/bin/busybox", "ln", "-s", "/", "/data/link"];
    let Some(guest) = Guest::new(&policy().exec(&LINK)) else { return };
    guest.launch_as(&with_volume(&guest, &id(1), memory(&[])));
    assert_eq!(guest.output_of(&id(1), "e1", &LINK), "");
    for (number, part) in [(2, "link"), (3, "link/etc")] {
        let mut request = with_volume(&guest, &id(number), memory(&[]));
        request.OCI.as_mut().unwrap().Mounts.last_mut().unwrap().source = format!("{VOLUME}/{part}");
        let refused = guest.create(&request).unwrap_err();
        assert_eq!(refused.code, Code::INTERNAL, "{part}: {refused:?}");
    }
}
