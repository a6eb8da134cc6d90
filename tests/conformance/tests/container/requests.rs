//! The requests of an honest shim, for tests to change.

use std::collections::BTreeMap;

use proto::kata::agent::{CreateContainerRequest, ExecProcessRequest, Storage};
use proto::kata::oci;
use protobuf::MessageField;

use crate::disks::{Layer, strings};
use crate::guest::{Guest, SANDBOX};
use crate::image::{ENVIRONMENT, USER, WORKING_DIR};

/// What a policy of `cce policy create` grants a container that is not privileged.
const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];
/// Destination, type, source and options of the mounts that CRI gives every container.
const MOUNTS: [(&str, &str, &str, &[&str]); 4] = [
    ("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
    ("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ("/run", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
];

impl Guest {
    /// Creates the policy's container.
    pub(crate) fn container(&self, id: &str) -> CreateContainerRequest {
        CreateContainerRequest {
            container_id: id.to_owned(),
            exec_id: id.to_owned(),
            storages: storages(&self.layers, id),
            OCI: MessageField::some(specification(id, process(self.command.clone()))),
            ..Default::default()
        }
    }

    /// Adds a process to a container.
    pub(crate) fn exec_request(&self, id: &str, exec_id: &str, command: &[&str]) -> ExecProcessRequest {
        ExecProcessRequest {
            container_id: id.to_owned(),
            exec_id: exec_id.to_owned(),
            process: MessageField::some(process(strings(command))),
            ..Default::default()
        }
    }
}

/// Layers base first, scratch in memory, and the overlay of both.
fn storages(layers: &[Layer], id: &str) -> Vec<Storage> {
    let mut storages: Vec<Storage> =
        layers.iter().enumerate().map(|(number, layer)| layer_storage(layer, number)).collect();
    let scratch = format!("/run/gcs/c/{SANDBOX}/scratch/{id}");
    let lower = lower_directories(&storages);
    storages.push(Storage {
        driver: "ephemeral".to_owned(),
        source: "tmpfs".to_owned(),
        fstype: "tmpfs".to_owned(),
        options: vec!["size=16777216".to_owned()],
        mount_point: scratch.clone(),
        ..Default::default()
    });
    storages.push(Storage {
        driver: "overlayfs".to_owned(),
        source: "overlay".to_owned(),
        fstype: "overlay".to_owned(),
        options: vec![lower, format!("X-kata.overlay-upper={scratch}")],
        mount_point: root_path(id),
        ..Default::default()
    });
    storages
}

fn layer_storage(layer: &Layer, number: usize) -> Storage {
    Storage {
        driver: "blk".to_owned(),
        source: layer.device.0.clone(),
        fstype: "ext4".to_owned(),
        options: vec![
            "ro".to_owned(),
            "X-kata.dmverity-enabled=true".to_owned(),
            format!("X-kata.dmverity.roothash={}", layer.root_hash),
            format!("X-kata.dmverity.hashoffset={}", layer.hash_offset_bytes),
        ],
        mount_point: format!("/run/mounts/scsi/m{number}"),
        ..Default::default()
    }
}

/// The overlay's option that names these layers: the topmost comes first.
fn lower_directories(layers: &[Storage]) -> String {
    let lower: Vec<&str> = layers.iter().rev().map(|layer| layer.mount_point.as_str()).collect();
    format!("lowerdir={}", lower.join(":"))
}

/// Gives a request other layers, base first, and an overlay that fits them.
pub(crate) fn set_layers(request: &mut CreateContainerRequest, layers: Vec<Storage>) {
    request.storages.retain(|storage| storage.driver != "blk");
    let overlay = request.storages.iter_mut().find(|storage| storage.driver == "overlayfs").unwrap();
    overlay.options[0] = lower_directories(&layers);
    request.storages.splice(0..0, layers);
}

/// The scratch of a request.
pub(crate) fn scratch_of(request: &mut CreateContainerRequest) -> &mut Storage {
    request.storages.iter_mut().find(|storage| storage.mount_point.contains("/scratch/")).unwrap()
}

/// The layers of a request, base first.
pub(crate) fn layers_of(request: &CreateContainerRequest) -> Vec<Storage> {
    request.storages.iter().filter(|storage| storage.driver == "blk").cloned().collect()
}

pub(crate) fn root_path(id: &str) -> String {
    format!("/run/kata-containers/{id}/rootfs")
}

fn process(command: Vec<String>) -> oci::Process {
    oci::Process {
        User: MessageField::some(oci::User { UID: USER, GID: USER, ..Default::default() }),
        Args: command,
        Env: strings(&ENVIRONMENT),
        Cwd: WORKING_DIR.to_owned(),
        Capabilities: MessageField::some(oci::LinuxCapabilities {
            Bounding: strings(&CAPABILITIES),
            Effective: strings(&CAPABILITIES),
            Permitted: strings(&CAPABILITIES),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn specification(id: &str, process: oci::Process) -> oci::Spec {
    let mount = |(destination, kind, source, options): (&str, &str, &str, &[&str])| oci::Mount {
        destination: destination.to_owned(),
        source: source.to_owned(),
        type_: kind.to_owned(),
        options: strings(options),
        ..Default::default()
    };
    let namespace = |kind: &str| oci::LinuxNamespace { Type: kind.to_owned(), ..Default::default() };
    oci::Spec {
        Version: "1.1.0".to_owned(),
        Process: MessageField::some(process),
        Root: MessageField::some(oci::Root { Path: root_path(id), ..Default::default() }),
        Mounts: MOUNTS.into_iter().map(mount).collect(),
        Annotations: BTreeMap::from([
            ("io.kubernetes.cri.container-type".to_owned(), "container".to_owned()),
            ("io.kubernetes.cri.sandbox-id".to_owned(), SANDBOX.to_owned()),
        ]),
        Linux: MessageField::some(oci::Linux {
            CgroupsPath: format!("/k8s.io/{id}"),
            Namespaces: ["mount", "ipc", "uts", "pid", "cgroup"].into_iter().map(namespace).collect(),
            MaskedPaths: strings(&["/proc/kcore", "/proc/keys", "/sys/firmware"]),
            ReadonlyPaths: strings(&["/proc/sys", "/proc/sysrq-trigger"]),
            ..Default::default()
        }),
        ..Default::default()
    }
}
