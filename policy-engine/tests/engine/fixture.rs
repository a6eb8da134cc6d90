//! A policy of the form that `az confcom` writes, and requests that fit it.

use policy_engine::request::linux::{IdMappings, LinuxSettings, ProcessSettings};
use policy_engine::request::{
    CapabilitySets, ContainerKind, ContainerMount, CreateContainer, DeviceTarget, ExecInContainer, HashTree,
    LayerFilesystem, MountDevice, MountOverlay, ProcessSpec, Request, Resources, SANDBOX_MOUNTS_DIRECTORY,
    Signal, SignalContainerProcess, User,
};
use policy_engine::{ContainerId, Engine, GuestPath, Permit, RootHash};

/// The policy: a web container of two layers and a pause container.
pub(crate) const POLICY: &str = include_str!("../policies/confcom.rego");

pub(crate) const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The web container's layers, base first, and one that no container has.
pub(crate) const BASE: [u8; 32] = [1; 32];
pub(crate) const TOP: [u8; 32] = [2; 32];
pub(crate) const FOREIGN: [u8; 32] = [9; 32];

pub(crate) fn engine() -> Engine {
    Engine::load(POLICY.as_bytes()).expect("the policy loads")
}

pub(crate) fn path(text: &str) -> GuestPath {
    text.parse().unwrap()
}

pub(crate) fn id(text: &str) -> ContainerId {
    text.parse().unwrap()
}

pub(crate) fn target(number: u32) -> DeviceTarget {
    format!("/run/mounts/scsi/m{number}").parse().unwrap()
}

pub(crate) fn mount_device(number: u32, root_hash: [u8; 32]) -> MountDevice {
    MountDevice {
        target: target(number),
        root_hash: RootHash::from(root_hash),
        source: "/dev/vda".parse().unwrap(),
        partition: None,
        hash_tree: HashTree::BEHIND_FILESYSTEM,
        filesystem: LayerFilesystem::Ext4,
    }
}

pub(crate) fn rootfs(container: &str) -> GuestPath {
    path(&format!("/run/containers/{container}/rootfs"))
}

/// Mounts the overlay of the web container from `m1` (top) and `m0` (base).
pub(crate) fn mount_overlay(container: &str) -> MountOverlay {
    MountOverlay {
        container_id: id(container),
        layers: vec![target(1), target(0)],
        scratch: None,
        target: rootfs(container),
    }
}

pub(crate) fn process(args: &[&str]) -> ProcessSpec {
    let capabilities = || vec!["CAP_KILL".to_owned(), "CAP_CHOWN".to_owned()];
    ProcessSpec {
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        env: [PATH, "MODE=fast", "HOSTNAME=web"].map(str::to_owned).into(),
        cwd: path("/srv"),
        user: User::default(),
        umask: 0o022,
        capabilities: CapabilitySets {
            bounding: capabilities(),
            effective: capabilities(),
            permitted: capabilities(),
            ..CapabilitySets::default()
        },
        no_new_privileges: true,
        rlimits: Vec::new(),
        terminal: None,
        oom_score_adj: None,
        settings: ProcessSettings::default(),
    }
}

/// Creates the web container exactly as the policy wants it.
pub(crate) fn create_container(container: &str) -> CreateContainer {
    CreateContainer {
        container_id: id(container),
        kind: ContainerKind::Workload,
        process: process(&["/bin/busybox", "sh", "-c", "echo started; sleep 600"]),
        rootfs: rootfs(container),
        readonly_rootfs: false,
        mounts: vec![
            ContainerMount {
                destination: path("/proc"),
                source: "proc".to_owned(),
                fstype: "proc".to_owned(),
                options: ["nosuid", "noexec", "nodev"].map(str::to_owned).into(),
                id_mappings: IdMappings::default(),
            },
            ContainerMount {
                destination: path("/etc/resolv.conf"),
                source: format!("{SANDBOX_MOUNTS_DIRECTORY}/tmp/atlas/resolvconf/web"),
                fstype: "bind".to_owned(),
                options: ["rbind", "rshared", "rw"].map(str::to_owned).into(),
                id_mappings: IdMappings::default(),
            },
        ],
        privileged: false,
        hostname: None,
        masked_paths: Vec::new(),
        readonly_paths: Vec::new(),
        resources: Resources::default(),
        seccomp: None,
        linux: LinuxSettings::default(),
        allow_stdio_access: false,
    }
}

pub(crate) fn exec(container: &str, args: &[&str]) -> ExecInContainer {
    ExecInContainer {
        container_id: id(container),
        exec_id: "exec-1".parse().unwrap(),
        process: process(args),
    }
}

pub(crate) fn signal(container: &str, number: u32) -> SignalContainerProcess {
    SignalContainerProcess {
        container_id: id(container),
        exec_id: None,
        signal: Signal::new(number).unwrap(),
        all: false,
        args: create_container(container).process.args,
    }
}

/// Decides and settles as done.
pub(crate) fn does<R: Request>(engine: &Engine, request: R) {
    engine.decide(request).map(Permit::done).map(drop).expect("allowed");
}

/// The reasons of a denial.
pub(crate) fn denied<R: Request>(engine: &Engine, request: R) -> Vec<String> {
    match engine.decide(request) {
        Err(policy_engine::Refusal::Denied(denial)) => denial.reasons,
        other => unreachable_allow(other.map(Permit::done).map(drop)),
    }
}

fn unreachable_allow<T: std::fmt::Debug>(answer: T) -> Vec<String> {
    panic!("expected a denial, got {answer:?}")
}

/// An engine with both layers of the web container mounted, and its overlay.
pub(crate) fn with_overlay(container: &str) -> Engine {
    let engine = engine();
    does(&engine, mount_device(0, BASE));
    does(&engine, mount_device(1, TOP));
    does(&engine, mount_overlay(container));
    engine
}

/// An engine with the web container running.
pub(crate) fn with_container(container: &str) -> Engine {
    let engine = with_overlay(container);
    does(&engine, create_container(container));
    engine
}
