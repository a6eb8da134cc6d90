//! Requests that no policy needs to judge: what is malformed, leads elsewhere, or asks for what the guest does not do.

use conformance::connection::{Connection, FIRST_STREAM_ID, Frame, request};
use proto::kata::agent::{
    CreateContainerRequest, CreateSandboxRequest, Device, KernelModule, SharedMount, Storage,
};
use proto::kata::oci;
use protobuf::{Message as _, MessageField};
use ttrpc::Code;

use crate::disks::{Policy, strings};
use crate::guest::{Guest, SANDBOX, id};

const HONEST: [&str; 2] = ["/bin/echo", "honest"];

type Change = fn(&mut CreateContainerRequest);
type SandboxChange = fn(&mut CreateSandboxRequest);

/// Each changed request is refused with `code`, without any effect.
fn refused(code: Code, changes: &[(&str, Change)]) {
    let Some(guest) = Guest::new(&Policy::of(&HONEST)) else { return };
    let before = guest.mount_points();
    for (case, change) in changes {
        let mut request = guest.container(&id(1));
        change(&mut request);
        let Err(refused) = guest.create(&request) else { panic!("{case} was accepted") };
        assert_eq!(refused.code, code, "{case}: {refused:?}");
        assert_eq!(guest.mount_points(), before, "{case} left a mount");
    }
    assert_eq!(guest.run(&id(1)), "honest\n");
}

fn spec(request: &mut CreateContainerRequest) -> &mut oci::Spec {
    request.OCI.as_mut().unwrap()
}

fn linux(request: &mut CreateContainerRequest) -> &mut oci::Linux {
    spec(request).Linux.as_mut().unwrap()
}

fn bind(source: &str, kind: &str, options: &[&str]) -> oci::Mount {
    oci::Mount {
        destination: "/data".to_owned(),
        source: source.to_owned(),
        type_: kind.to_owned(),
        options: strings(options),
        ..Default::default()
    }
}

/// c8s 315 and microsoft 518: drivers that copy, pull, or bind from the host.
#[test]
fn storage_drivers_that_the_guest_does_not_have() {
    refused(
        Code::UNIMPLEMENTED,
        &[
            ("no driver", |request| request.storages[0].driver.clear()),
            ("virtio-fs", |request| request.storages[0].driver = "virtio-fs".to_owned()),
            ("watched binds", |request| {
                request.storages.push(Storage { driver: "watchable-bind".to_owned(), ..Default::default() });
            }),
        ],
    );
}

/// CVE-2020-2026 and c8s 315: a mount on a path of the host's choice.
#[test]
fn paths_that_lead_elsewhere() {
    refused(
        Code::INVALID_ARGUMENT,
        &[
            ("a layer over /etc", |request| request.storages[0].mount_point = "/etc".to_owned()),
            ("a layer that escapes", |request| request.storages[0].mount_point += "/../../../../etc"),
            ("a relative layer", |request| request.storages[0].mount_point = "run/mounts/scsi/m0".to_owned()),
            ("a scratch elsewhere", |request| request.storages[2].mount_point = "/run".to_owned()),
            ("a scratch that escapes", |request| {
                request.storages[2].mount_point = format!("/run/gcs/c/../scratch/{}", id(1))
            }),
            ("an overlay over another container", |request| {
                request.storages[3].mount_point = format!("/run/kata-containers/{}/rootfs", id(2));
            }),
            ("an overlay of the guest's files", |request| {
                request.storages[3].options[0] = "lowerdir=/etc".to_owned()
            }),
            ("an overlay with a second option", |request| {
                request.storages[3].options.push("upperdir=/etc".to_owned())
            }),
            ("a root elsewhere", |request| spec(request).Root.as_mut().unwrap().Path = "/".to_owned()),
            ("a relative root", |request| spec(request).Root.as_mut().unwrap().Path = "../..".to_owned()),
            ("a device that escapes", |request| request.storages[0].source = "/dev/../etc/passwd".to_owned()),
            ("a device that is none", |request| request.storages[0].source = "/etc/passwd".to_owned()),
            ("a relative mask", |request| linux(request).MaskedPaths.push("proc/keys".to_owned())),
            ("a mask that escapes", |request| linux(request).MaskedPaths.push("/proc/../etc".to_owned())),
            ("a working directory that escapes", |request| {
                spec(request).Process.as_mut().unwrap().Cwd = "/tmp/../..".to_owned();
            }),
            ("a relative bind source", |request| {
                spec(request).Mounts.push(bind("../..", "bind", &["rbind"]))
            }),
            ("a bind of another type", |request| spec(request).Mounts.push(bind("/etc", "tmpfs", &["bind"]))),
            ("a mount that escapes", |request| {
                let mut mount = bind("tmpfs", "tmpfs", &[]);
                mount.destination = "/data/../../etc".to_owned();
                spec(request).Mounts.push(mount);
            }),
        ],
    );
}

#[test]
fn layers_without_verity_or_with_options_of_the_hosts() {
    refused(
        Code::INVALID_ARGUMENT,
        &[
            ("a writable layer", |request| request.storages[0].options[0] = "rw".to_owned()),
            ("a layer without verity", |request| request.storages[0].options.truncate(1)),
            ("a salt that is none", |request| {
                request.storages[0].options.push("X-kata.dmverity.salt=xx".to_owned());
            }),
            ("a file system of the host's choice", |request| request.storages[0].fstype = "xfs".to_owned()),
            ("a short root hash", |request| {
                request.storages[0].options[2] = "X-kata.dmverity.roothash=00".to_owned()
            }),
            ("two overlays", |request| request.storages.push(request.storages[3].clone())),
            ("no overlay", |request| drop(request.storages.pop())),
        ],
    );
}

/// c8s 378 and 379: hooks run as root of the guest. The rest is what no policy of this form judges.
#[test]
fn what_reaches_beyond_the_container() {
    refused(
        Code::INVALID_ARGUMENT,
        &[
            ("a hook", |request| {
                let hook = oci::Hook { Path: "/bin/busybox".to_owned(), ..Default::default() };
                spec(request).Hooks =
                    MessageField::some(oci::Hooks { Prestart: vec![hook], ..Default::default() });
            }),
            ("a device", |request| request.devices.push(Device::default())),
            ("a device node", |request| linux(request).Devices.push(oci::LinuxDevice::default())),
            ("a shared mount", |request| request.shared_mounts.push(SharedMount::default())),
            ("a shared process namespace", |request| request.sandbox_pidns = true),
            ("a namespace of the guest", |request| {
                linux(request).Namespaces[0].Path = "/proc/1/ns/mnt".to_owned()
            }),
            ("a kernel setting", |request| {
                drop(linux(request).Sysctl.insert("kernel.core_pattern".to_owned(), "|/x".to_owned()));
            }),
            ("a file of a layer hidden", |request| linux(request).MaskedPaths.push("/etc/passwd".to_owned())),
            ("a volume made read-only", |request| linux(request).ReadonlyPaths.push("/data".to_owned())),
            ("dumps of memory", |request| {
                let core = oci::POSIXRlimit {
                    Type: "RLIMIT_CORE".to_owned(),
                    Soft: u64::MAX,
                    Hard: u64::MAX,
                    ..Default::default()
                };
                spec(request).Process.as_mut().unwrap().Rlimits.push(core);
            }),
            ("shared propagation", |request| linux(request).RootfsPropagation = "shared".to_owned()),
            ("an id with a slash", |request| request.container_id = "a/b".to_owned()),
            ("an argument with a NUL", |request| {
                spec(request).Process.as_mut().unwrap().Args.push("a\0b".to_owned());
            }),
            ("no specification", |request| request.OCI = MessageField::none()),
        ],
    );
}

#[test]
fn a_sandbox_that_asks_for_more_than_a_name() {
    let Some(guest) = Guest::without_sandbox(&Policy::of(&HONEST)) else { return };
    let before = guest.mount_points();
    let changes: [(&str, SandboxChange); 5] = [
        ("a kernel module", |request| request.kernel_modules.push(KernelModule::default())),
        ("hooks", |request| request.guest_hook_path = "/hooks".to_owned()),
        ("a resolver", |request| request.dns.push("192.0.2.1".to_owned())),
        ("a storage", |request| {
            request.storages.push(Storage { driver: "blk".to_owned(), ..Default::default() });
        }),
        ("a host name that is none", |request| request.hostname = "a b".to_owned()),
    ];
    for (case, change) in changes {
        let mut request = CreateSandboxRequest { sandbox_id: SANDBOX.to_owned(), ..Default::default() };
        change(&mut request);
        let Err(refused) = guest.order("CreateSandbox", &request) else { panic!("{case} was accepted") };
        assert_eq!(refused.code, Code::INVALID_ARGUMENT, "{case}: {refused:?}");
        assert_eq!(guest.mount_points(), before, "{case} left a mount");
    }
    guest.create_sandbox(SANDBOX).unwrap();
    assert_eq!(guest.run(&id(1)), "honest\n");
}

#[test]
fn a_process_id_with_a_slash() {
    let Some(guest) = Guest::new(&Policy::of(&["/bin/cat"]).exec(&HONEST)) else { return };
    guest.launch(&id(1));
    for exec_id in ["a/b", "..", "/etc"] {
        assert_eq!(
            guest.exec(&id(1), exec_id, &HONEST).unwrap_err().code,
            Code::INVALID_ARGUMENT,
            "{exec_id}"
        );
    }
    assert_eq!(guest.output_of(&id(1), "e1", &HONEST), "honest\n");
}

/// A host that gives up waiting cancels nothing halfway: the container is there in full, or not at all.
#[test]
fn a_host_that_hangs_up_leaves_a_whole_container_or_none() {
    let Some(guest) = Guest::new(&Policy::of(&HONEST)) else { return };
    let before = guest.mount_points();
    for number in 1..=3 {
        let create = guest.container(&id(number)).write_to_bytes().unwrap();
        let mut connection = Connection::open(guest.agent.address()).unwrap();
        let frame =
            Frame::request(FIRST_STREAM_ID, &request("grpc.AgentService", "CreateContainer", &create));
        connection.send(&frame.to_bytes()).unwrap();
        drop(connection);
    }
    let settled = Guest::settles(|| {
        for number in 1..=3 {
            match guest.start_container(&id(number)) {
                Ok(()) => {
                    assert_eq!(guest.read_to_end("ReadStdout", &id(number), ""), "honest\n");
                    guest.remove(&id(number)).unwrap();
                }
                Err(refused) => assert_eq!(refused.code, Code::INVALID_ARGUMENT, "{refused:?}"),
            }
        }
        guest.mount_points() == before
    });
    assert!(settled, "mounts of a cancelled request stay: {:?}", guest.mount_points());
    assert_eq!(guest.run(&id(8)), "honest\n");
}

/// kata-agent 4.1.0 has grown to 58 MB after errors, each with a backtrace.
#[test]
fn refusals_take_no_memory() {
    const ROUNDS: usize = 100;
    const GROWTH_KIB_MAX: u64 = 4 << 10;
    let Some(guest) = Guest::new(&Policy::of(&HONEST)) else { return };
    let mut denied = guest.container(&id(1));
    spec(&mut denied).Process.as_mut().unwrap().Args = strings(&["/bin/sh", "-c", &"x".repeat(100_000)]);
    let mut malformed = guest.container(&id(2));
    malformed.storages[0].driver = "x".repeat(100_000);
    let round = || {
        assert_eq!(guest.create(&denied).unwrap_err().code, Code::PERMISSION_DENIED);
        for _ in 0..8 {
            assert_eq!(guest.create(&malformed).unwrap_err().code, Code::UNIMPLEMENTED);
            assert_eq!(guest.remove(&id(3)).unwrap_err().code, Code::INVALID_ARGUMENT);
            assert_eq!(guest.exec(&id(3), "../x", &HONEST).unwrap_err().code, Code::INVALID_ARGUMENT);
        }
    };
    (0..ROUNDS / 4).for_each(|_| round());
    let before = guest.anonymous_kib();
    (0..ROUNDS).for_each(|_| round());
    let after = guest.anonymous_kib();
    assert!(after <= before + GROWTH_KIB_MAX, "{before} KiB became {after}");
    assert_eq!(guest.run(&id(8)), "honest\n");
}
