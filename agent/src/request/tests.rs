use policy_engine::request::linux::SeccompProfile;
use policy_engine::request::{BlockSource, ContainerKind, ScratchBacking};
use proto::kata::agent::{
    CreateContainerRequest, CreateSandboxRequest, Device, ExecProcessRequest, KernelModule, SharedMount,
    Storage, StringUser,
};
use proto::kata::oci;
use proto::kata::oci::{
    Hook, Hooks, LinuxDevice, LinuxIDMapping, LinuxNamespace, LinuxSeccomp, LinuxSeccompArg, LinuxSyscall,
    Spec,
};

use super::*;

const ID: &str = "c1c1c1c1";
const HASH: &str = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c";

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn layer(number: u8) -> Storage {
    Storage {
        driver: "blk".into(),
        source: format!("{number:02x}"),
        fstype: "ext4".into(),
        options: vec![
            "ro".into(),
            "X-kata.dmverity-enabled=true".into(),
            format!("X-kata.dmverity.roothash={HASH}"),
            "X-kata.dmverity.hashoffset=1048576".into(),
        ],
        mount_point: format!("/run/mounts/scsi/m{number}"),
        ..Storage::default()
    }
}

fn scratch() -> Storage {
    Storage {
        driver: "ephemeral".into(),
        source: "tmpfs".into(),
        fstype: "tmpfs".into(),
        options: strings(&["size=1048576"]),
        mount_point: format!("/run/gcs/c/sandbox/scratch/{ID}"),
        ..Storage::default()
    }
}

fn overlay() -> Storage {
    Storage {
        driver: "overlayfs".into(),
        source: "overlay".into(),
        fstype: "overlay".into(),
        options: vec![
            "lowerdir=/run/mounts/scsi/m2:/run/mounts/scsi/m1".into(),
            format!("X-kata.overlay-upper=/run/gcs/c/sandbox/scratch/{ID}"),
        ],
        mount_point: format!("/run/kata-containers/{ID}/rootfs"),
        ..Storage::default()
    }
}

fn spec() -> Spec {
    let process = oci::Process {
        Args: strings(&["/bin/sh", "-c", "true"]),
        Env: strings(&["PATH=/bin", "A= padded "]),
        Cwd: "/".into(),
        User: Some(oci::User { UID: 1, GID: 2, AdditionalGids: vec![3], ..Default::default() }).into(),
        Capabilities: Some(oci::LinuxCapabilities {
            Bounding: strings(&["CHOWN", "CAP_KILL"]),
            ..Default::default()
        })
        .into(),
        ..Default::default()
    };
    Spec {
        Process: Some(process).into(),
        Root: Some(oci::Root { Path: format!("/run/kata-containers/{ID}/rootfs"), ..Default::default() })
            .into(),
        Linux: Some(oci::Linux::default()).into(),
        ..Spec::default()
    }
}

fn message() -> CreateContainerRequest {
    CreateContainerRequest {
        container_id: ID.into(),
        storages: vec![layer(1), layer(2), scratch(), overlay()],
        OCI: Some(spec()).into(),
        ..CreateContainerRequest::default()
    }
}

/// The error for `message` after `change`.
fn refused(change: impl FnOnce(&mut CreateContainerRequest)) -> RequestError {
    let mut message = message();
    change(&mut message);
    ContainerPlan::try_from(&message).expect_err("the change makes it no request")
}

fn refused_spec(change: impl FnOnce(&mut Spec)) -> RequestError {
    refused(|message| change(message.OCI.mut_or_insert_default()))
}

#[test]
fn a_container_is_layers_scratch_overlay_and_a_process() {
    let plan = ContainerPlan::try_from(&message()).unwrap();
    let RootLayers::Disks(layers) = plan.root.layers else { panic!("no disks") };
    assert_eq!(layers.len(), 2);
    assert_eq!(layers[0].source, BlockSource::PciPath(vec![1]));
    assert_eq!(layers[0].root_hash.to_string(), HASH);
    assert_eq!(plan.root.scratch.unwrap().backing, ScratchBacking::Memory { size_bytes: 1 << 20 });
    let lower: Vec<_> =
        plan.root.overlay.layers.iter().map(|layer| layer.path().as_str().to_owned()).collect();
    assert_eq!(lower, ["/run/mounts/scsi/m2", "/run/mounts/scsi/m1"]);
    assert_eq!(plan.container.kind, ContainerKind::Workload);
    assert!(!plan.container.allow_stdio_access, "stdio is granted by policy, not asked for");
    let process = plan.container.process;
    assert_eq!(process.env, ["PATH=/bin", "A= padded "], "what is judged is what runs: nothing is trimmed");
    assert_eq!(process.capabilities.bounding, ["CAP_CHOWN", "CAP_KILL"]);
    assert_eq!((process.user.uid, process.user.gid), (1, 2));
}

#[test]
fn ids_are_single_path_components() {
    for id in ["", "a/b", "..", "../etc", ".hidden", "a\0b", "a b", &"a".repeat(300)] {
        let error = refused(|message| message.container_id = id.to_owned());
        assert!(matches!(error, RequestError::Name { field: "container_id", .. }), "{id:?}: {error:?}");
    }
    let exec = ExecProcessRequest { container_id: ID.into(), exec_id: "a/b".into(), ..Default::default() };
    assert!(matches!(super::exec(&exec), Err(RequestError::Name { field: "exec_id", .. })));
}

#[test]
fn unknown_storage_drivers_are_refused_by_name() {
    for driver in ["", "virtio-fs", "9p", "watchable-bind", "bind", "local", "blk-ccw", "vfio-pci"] {
        let error = refused(|message| message.storages[0].driver = driver.to_owned());
        assert!(matches!(&error, RequestError::Driver { driver: named, .. } if named == driver), "{error:?}");
    }
    let long = refused(|message| message.storages[0].driver = "x\n".repeat(1000));
    assert!(long.to_string().len() < 200 && !long.to_string().contains('\n'), "{long}");
}

#[test]
fn storages_go_to_their_own_places_only() {
    for place in
        ["/", "/etc", "/run/mounts/scsi/m1/../../../../etc", "run/mounts/scsi/m1", "/run/mounts/scsi/"]
    {
        let error = refused(|message| message.storages[0].mount_point = place.to_owned());
        assert!(matches!(error, RequestError::Value { .. }), "{place}: {error:?}");
    }
    for place in [
        "/",
        "/run/gcs/c/sandbox/scratch/other",
        "/run/gcs/c/../scratch/c1c1c1c1",
        "/run/gcs/c/a/b/scratch/c1c1c1c1",
    ] {
        let error = refused(|message| message.storages[2].mount_point = place.to_owned());
        assert!(matches!(error, RequestError::Value { .. }), "{place}: {error:?}");
    }
    let error =
        refused(|message| message.storages[3].mount_point = "/run/kata-containers/other/rootfs".into());
    assert!(matches!(error, RequestError::Value { .. }), "{error:?}");
    let error = refused_spec(|spec| spec.Root.mut_or_insert_default().Path = "../..".into());
    assert!(matches!(error, RequestError::Value { field: "OCI.Root.Path", .. }), "{error:?}");
}

#[test]
fn a_layer_is_read_only_and_behind_dm_verity() {
    for without in 0..3 {
        let error = refused(|message| drop(message.storages[0].options.remove(without)));
        assert!(matches!(error, RequestError::Value { .. } | RequestError::Missing { .. }), "{error:?}");
    }
    for extra in ["rw", "exec", "X-kata.mkdir.path=/x"] {
        let error = refused(|message| message.storages[0].options.push(extra.to_owned()));
        assert!(matches!(error, RequestError::Option { driver: "a layer", .. }), "{extra}: {error:?}");
    }
    // A plaintext disk is scratch at the most, and only where scratch is.
    let error = refused(|message| message.storages[0].options = strings(&["rw"]));
    assert!(matches!(error, RequestError::Value { field: "storages.mount_point", .. }), "{error:?}");
}

#[test]
fn the_overlay_names_each_layer_once_in_order() {
    for lower in [
        "lowerdir=/run/mounts/scsi/m1:/run/mounts/scsi/m2",
        "lowerdir=/run/mounts/scsi/m2",
        "lowerdir=/run/mounts/scsi/m2:/run/mounts/scsi/m1:/run/mounts/scsi/m1",
        "lowerdir=/etc",
        "lowerdir=",
    ] {
        let error = refused(|message| message.storages[3].options[0] = lower.to_owned());
        assert!(matches!(error, RequestError::Value { field: "lowerdir", .. }), "{lower}: {error:?}");
    }
    refused(|message| message.storages.push(overlay()));
    refused(|message| message.storages.push(scratch()));
    refused(|message| drop(message.storages.remove(3)));
    refused(|message| drop(message.storages.remove(2)));
    refused(|message| message.storages[3].options.push("upperdir=/etc".into()));
    refused(|message| message.storages.extend((3..=140).map(layer)));
}

/// A profile as the wire has it.
fn seccomp() -> LinuxSeccomp {
    let argument = LinuxSeccompArg {
        Index: 1,
        Value: 7,
        ValueTwo: 3,
        Op: "SCMP_CMP_MASKED_EQ".into(),
        ..Default::default()
    };
    let mut syscall = LinuxSyscall {
        Names: strings(&["clone", "unshare"]),
        Action: "SCMP_ACT_ERRNO".into(),
        Args: vec![argument],
        ..Default::default()
    };
    syscall.set_errnoret(38);
    LinuxSeccomp {
        DefaultAction: "SCMP_ACT_ALLOW".into(),
        Architectures: strings(&["SCMP_ARCH_X86_64"]),
        Flags: strings(&["SECCOMP_FILTER_FLAG_LOG"]),
        Syscalls: vec![syscall],
        ..Default::default()
    }
}

#[test]
fn a_seccomp_profile_is_taken_as_it_is() {
    let mut message = message();
    message.OCI.mut_or_insert_default().Linux.mut_or_insert_default().Seccomp = Some(seccomp()).into();
    let json = concat!(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],"#,
        r#""flags":["SECCOMP_FILTER_FLAG_LOG"],"syscalls":[{"names":["clone","unshare"],"#,
        r#""action":"SCMP_ACT_ERRNO","errnoRet":38,"#,
        r#""args":[{"index":1,"value":7,"valueTwo":3,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#
    );
    let expected: SeccompProfile = serde_json::from_str(json).unwrap();
    assert_eq!(ContainerPlan::try_from(&message).unwrap().container.seccomp, Some(expected));
}

#[test]
fn what_no_policy_judges_is_refused() {
    refused(|message| message.devices.push(Device::default()));
    refused(|message| message.shared_mounts.push(SharedMount::default()));
    refused(|message| message.sandbox_pidns = true);
    refused(|message| message.stdout_port = 1);
    refused(|message| message.string_user = Some(StringUser::default()).into());
    refused(|message| message.storages[0].shared = true);
    refused(|message| message.storages[0].driver_options = strings(&["encryption_key=ephemeral"]));
    refused_spec(|spec| {
        spec.Hooks = Some(Hooks { CreateRuntime: vec![Hook::default()], ..Default::default() }).into()
    });
    let linux = |change: fn(&mut oci::Linux)| refused_spec(|spec| change(spec.Linux.mut_or_insert_default()));
    linux(|linux| linux.Devices.push(LinuxDevice::default()));
    linux(|linux| drop(linux.Sysctl.insert("net.ipv4.ip_forward".into(), "1".into())));
    linux(|linux| linux.UIDMappings.push(LinuxIDMapping::default()));
    linux(|linux| linux.Seccomp = Some(LinuxSeccomp::default()).into());
    let seccomp = |change: fn(&mut LinuxSeccomp)| {
        refused_spec(|spec| {
            let mut profile = seccomp();
            change(&mut profile);
            spec.Linux.mut_or_insert_default().Seccomp = Some(profile).into();
        })
    };
    seccomp(|profile| profile.DefaultAction = "SCMP_ACT_DENY".into());
    seccomp(|profile| profile.Syscalls[0].Action = "allow".into());
    seccomp(|profile| profile.Syscalls[0].Names.clear());
    seccomp(|profile| profile.Syscalls[0].Args[0].Index = 6);
    seccomp(|profile| profile.Syscalls[0].Args[0].Index = 1 << 32);
    seccomp(|profile| profile.Syscalls[0].Args[0].Op = "==".into());
    linux(|linux| linux.RootfsPropagation = "shared".into());
    for path in ["proc/keys", "/", "/proc", "/sys", "/etc/passwd", "/processes", "/proc/../etc"] {
        for masked in [true, false] {
            refused_spec(|spec| {
                let linux = spec.Linux.mut_or_insert_default();
                if masked { &mut linux.MaskedPaths } else { &mut linux.ReadonlyPaths }.push(path.into());
            });
        }
    }
    linux(|linux| linux.MaskedPaths = vec!["/proc/keys".into(); 513]);
    for (kind, path) in [("user", ""), ("net", ""), ("pid", "/proc/1/ns/pid"), ("network", "/run/netns/x")] {
        let namespace = LinuxNamespace { Type: kind.into(), Path: path.into(), ..Default::default() };
        refused_spec(|spec| spec.Linux.mut_or_insert_default().Namespaces.push(namespace));
    }
    let process =
        |change: fn(&mut oci::Process)| refused_spec(|spec| change(spec.Process.mut_or_insert_default()));
    process(|process| process.Args.clear());
    process(|process| process.Args.push("a\0b".into()));
    process(|process| process.Env.push("A\0=b".into()));
    process(|process| process.Cwd = "tmp/../..".into());
    process(|process| process.OOMScoreAdj = 1001);
    process(|process| process.ApparmorProfile = "unconfined".into());
    process(|process| process.SelinuxLabel = "x".into());
    process(|process| process.User.mut_or_insert_default().Username = "root".into());
    process(|process| process.Capabilities.mut_or_insert_default().Ambient.push("all".into()));
    process(|process| {
        process.Rlimits.push(oci::POSIXRlimit { Type: "RLIMIT_X".into(), ..Default::default() })
    });
    process(|process| {
        let core = oci::POSIXRlimit { Type: "RLIMIT_CORE".into(), Soft: 1, Hard: 1, ..Default::default() };
        process.Rlimits.push(core);
    });
}

#[test]
fn what_engines_hide_and_limit_everywhere_is_taken() {
    let mut message = message();
    let spec = message.OCI.mut_or_insert_default();
    let linux = spec.Linux.mut_or_insert_default();
    linux.MaskedPaths = strings(&["/proc/keys", "/sys/devices/system/cpu/cpu0/thermal_throttle"]);
    linux.ReadonlyPaths = strings(&["/proc/sys"]);
    let core = oci::POSIXRlimit { Type: "RLIMIT_CORE".into(), Soft: 0, Hard: u64::MAX, ..Default::default() };
    spec.Process.mut_or_insert_default().Rlimits.push(core);
    let container = ContainerPlan::try_from(&message).unwrap().container;
    assert_eq!((container.masked_paths.len(), container.readonly_paths.len()), (2, 1));
    assert_eq!((container.process.rlimits[0].soft, container.process.rlimits[0].hard), (0, u64::MAX));
}

#[test]
fn bind_mounts_are_absolute_and_say_so() {
    let mount = |kind: &str, source: &str, options: &[&str]| oci::Mount {
        destination: "/data".into(),
        source: source.into(),
        type_: kind.into(),
        options: strings(options),
        ..Default::default()
    };
    for bad in [
        mount("bind", "../..", &["rbind"]),
        mount("tmpfs", "/etc", &["bind"]),
        mount("bind", "/etc", &["ro"]),
        mount("bind", "/a/../b", &["bind"]),
    ] {
        refused_spec(|spec| spec.Mounts.push(bad));
    }
}

#[test]
fn a_container_type_is_said_once() {
    let mut message = message();
    let annotations = &mut message.OCI.mut_or_insert_default().Annotations;
    annotations.insert("io.kubernetes.cri.container-type".into(), "sandbox".into());
    assert_eq!(ContainerPlan::try_from(&message).unwrap().container.kind, ContainerKind::Sandbox);
    let annotations = &mut message.OCI.mut_or_insert_default().Annotations;
    annotations.insert("io.katacontainers.pkg.oci.container_type".into(), "pod_container".into());
    assert!(ContainerPlan::try_from(&message).is_err());
}

#[test]
fn a_sandbox_is_a_name_and_nothing_that_runs() {
    let good =
        CreateSandboxRequest { sandbox_id: "sb".into(), hostname: "pod-1".into(), ..Default::default() };
    assert_eq!(SandboxPlan::try_from(&good).unwrap().sandbox.sandbox_id.as_str(), "sb");
    let bad = |change: fn(&mut CreateSandboxRequest)| {
        let mut message = good.clone();
        change(&mut message);
        SandboxPlan::try_from(&message).expect_err("the change makes it no request")
    };
    bad(|message| message.kernel_modules.push(KernelModule::default()));
    bad(|message| message.guest_hook_path = "/hooks".into());
    bad(|message| message.dns.push("1.1.1.1\nsearch evil".into()));
    bad(|message| message.sandbox_pidns = true);
    bad(|message| message.hostname = "a b".into());
    bad(|message| message.sandbox_id = "../x".into());
    bad(|message| message.storages.push(layer(1)));
}
