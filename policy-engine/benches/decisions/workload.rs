//! A policy of realistic weight in the form of `az confcom`, and requests for its last container.

use std::fmt::Write as _;

use policy_engine::request::linux::{IdMappings, LinuxSettings, ProcessSettings};
use policy_engine::request::{
    BlockSource, CapabilitySets, ContainerKind, ContainerMount, CreateContainer, DEFAULT_CAPABILITIES,
    ExecInContainer, HashTree, LayerFilesystem, MountDevice, MountOverlay, ProcessSpec, Resources,
    SANDBOX_MOUNTS_DIRECTORY, Signal, SignalContainerProcess, User,
};
use policy_engine::{GuestPath, RootHash};
use serde_json::{Value, json};

/// Layers of each container.
pub(crate) const LAYERS: usize = 4;
const VARIABLES: usize = 8;
const MOUNTS: usize = 3;

/// A rule that makes a policy more than a list of objects, without changing an answer.
pub(crate) const OWN_RULE: &str = "\nown_rule := 1 + 1\n";

/// The root hash of a layer that only one container has.
pub(crate) fn layers(container: usize, layer: usize) -> RootHash {
    format!("{:064x}", container * LAYERS + layer + 1).parse().unwrap()
}

fn variable(number: usize) -> String {
    format!("SERVICE_SETTING_{number}=https://service-{number}.example/api/v1")
}

fn container(number: usize, layers: impl Fn(usize, usize) -> RootHash) -> Value {
    let rule = |pattern: String, strategy: &str| json!({ "pattern": pattern, "required": false, "strategy": strategy });
    let mut rules: Vec<Value> = (0..VARIABLES).map(|number| rule(variable(number), "string")).collect();
    rules.push(rule("(?i)(FABRIC)_.+=.+".to_owned(), "re2"));
    rules.push(rule("HOSTNAME=.+".to_owned(), "re2"));
    let mounts: Vec<Value> = (0..MOUNTS)
        .map(|mount| {
            json!({
                "destination": format!("/var/lib/data-{mount}"),
                "options": ["rbind", "rshared", "rw"],
                "source": format!("sandbox:///tmp/atlas/emptydir/data-{mount}/.+"),
                "type": "bind",
            })
        })
        .collect();
    let hashes: Vec<String> = (0..LAYERS).map(|layer| layers(number, layer).to_string()).collect();
    json!({
        "allow_elevated": false,
        "allow_stdio_access": true,
        "capabilities": {
            "ambient": [], "bounding": DEFAULT_CAPABILITIES, "effective": DEFAULT_CAPABILITIES, "inheritable": [],
            "permitted": DEFAULT_CAPABILITIES,
        },
        "command": ["/usr/bin/service", "--instance", number.to_string()],
        "env_rules": rules,
        "exec_processes": [{ "command": ["/usr/bin/probe"], "signals": [15] }],
        "id": format!("registry.example/team/service-{number}:1.0"),
        "layers": hashes,
        "mounts": mounts,
        "name": format!("service-{number}"),
        "no_new_privileges": false,
        "seccomp_profile_sha256": "",
        "signals": [9, 15],
        "user": {
            "group_idnames": [{ "pattern": "", "strategy": "any" }],
            "umask": "0022",
            "user_idname": { "pattern": "", "strategy": "any" },
        },
        "working_dir": "/srv",
    })
}

/// A policy of `containers`, whose layers are `layers(container, layer)`.
pub(crate) fn policy(containers: usize, layers: impl Fn(usize, usize) -> RootHash) -> String {
    let containers: Vec<Value> = (0..containers).map(|number| container(number, &layers)).collect();
    let mut text = format!(
        "package policy\n\napi_version := \"0.10.0\"\nframework_version := \"0.2.3\"\n\nfragments := []\n\
         containers := {}\n\nallow_environment_variable_dropping := true\nallow_capability_dropping := true\n",
        Value::Array(containers)
    );
    for rule in
        ["mount_device", "mount_overlay", "create_container", "exec_in_container", "signal_container_process"]
    {
        writeln!(text, "{rule} := data.framework.{rule}").unwrap();
    }
    text.push_str("reason := {\"errors\": data.framework.errors}\n");
    text
}

fn path(text: &str) -> GuestPath {
    text.parse().unwrap()
}

pub(crate) fn mount_device(container: usize, layer: usize) -> MountDevice {
    MountDevice {
        target: format!("/run/mounts/scsi/m{layer}").parse().unwrap(),
        root_hash: layers(container, layer),
        source: BlockSource::Node("vda".into()),
        partition: None,
        hash_tree: HashTree::BEHIND_FILESYSTEM,
        filesystem: LayerFilesystem::Ext4,
    }
}

pub(crate) fn mount_overlay() -> MountOverlay {
    MountOverlay {
        container_id: "c1".parse().unwrap(),
        layers: (0..LAYERS)
            .rev()
            .map(|layer| format!("/run/mounts/scsi/m{layer}").parse().unwrap())
            .collect(),
        scratch: None,
        target: path("/run/kata-containers/c1/rootfs"),
    }
}

fn process(args: &[&str]) -> ProcessSpec {
    let capabilities = || DEFAULT_CAPABILITIES.map(str::to_owned).to_vec();
    let mut env: Vec<String> = (0..VARIABLES).map(variable).collect();
    env.extend(["Fabric_Node=1", "HOSTNAME=service"].map(str::to_owned));
    ProcessSpec {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env,
        cwd: path("/srv"),
        user: User { group_names: vec![String::new()], ..User::default() },
        umask: 0o022,
        capabilities: CapabilitySets {
            bounding: capabilities(),
            effective: capabilities(),
            permitted: capabilities(),
            ..CapabilitySets::default()
        },
        no_new_privileges: false,
        rlimits: Vec::new(),
        terminal: None,
        oom_score_adj: None,
        settings: ProcessSettings::default(),
    }
}

fn mount(destination: &str, fstype: &str, source: &str, options: &[&str]) -> ContainerMount {
    ContainerMount {
        destination: path(destination),
        source: source.to_owned(),
        fstype: fstype.to_owned(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        id_mappings: IdMappings::default(),
    }
}

/// The seven mounts that container runtimes always ask for, and the container's own.
fn mounts() -> Vec<ContainerMount> {
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/run", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ];
    mounts.extend((0..MOUNTS).map(|number| {
        let source = format!("{SANDBOX_MOUNTS_DIRECTORY}/tmp/atlas/emptydir/data-{number}/volume");
        mount(&format!("/var/lib/data-{number}"), "bind", &source, &["rbind", "rshared", "rw"])
    }));
    mounts
}

pub(crate) fn create_container(container: usize) -> CreateContainer {
    CreateContainer {
        container_id: "c1".parse().unwrap(),
        kind: ContainerKind::Workload,
        process: process(&["/usr/bin/service", "--instance", &container.to_string()]),
        rootfs: path("/run/kata-containers/c1/rootfs"),
        readonly_rootfs: false,
        mounts: mounts(),
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

/// A create that no container of the policy fits, for the file mode creation mask alone.
pub(crate) fn denied_create_container(container: usize) -> CreateContainer {
    let mut request = create_container(container);
    request.process.umask = 0o027;
    request
}

pub(crate) fn exec() -> ExecInContainer {
    ExecInContainer {
        container_id: "c1".parse().unwrap(),
        exec_id: "e1".parse().unwrap(),
        process: process(&["/usr/bin/probe"]),
    }
}

pub(crate) fn signal() -> SignalContainerProcess {
    SignalContainerProcess {
        container_id: "c1".parse().unwrap(),
        exec_id: Some("e1".parse().unwrap()),
        signal: Signal::TERM,
        all: false,
        args: vec!["/usr/bin/probe".to_owned()],
    }
}
