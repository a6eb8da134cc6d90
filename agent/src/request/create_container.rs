//! Containers.

use policy_engine::request::linux::{IdMappings, LinuxSettings};
use policy_engine::request::{ContainerKind, ContainerMount, CreateContainer, Hostname};
use policy_engine::{ContainerId, GuestPath};
use proto::kata::agent::CreateContainerRequest;
use proto::kata::oci;

use super::process::process_spec;
use super::resources::resources;
use super::storage::{Metadata, RootFilesystem, RootLayers, root_filesystem};
use super::{RequestError, container_id, refuse, refuse_stdio_ports, refuse_string_user, seccomp};

/// Annotations that tell a pause container from a workload, of containerd's CRI and of Kata's shims.
pub(super) const CONTAINER_TYPE_KEYS: [&str; 2] =
    ["io.kubernetes.cri.container-type", "io.katacontainers.pkg.oci.container_type"];

/// Where paths can be masked and made read-only.
const KERNEL_TREES: [&str; 2] = ["/proc/", "/sys/"];
/// The most paths of each kind: engines send some for each processor.
const PATHS_MAX: usize = 512;

/// What one `CreateContainer` of Kata's stands for: each part is decided and done in this order.
#[derive(Debug)]
pub(crate) struct ContainerPlan {
    /// What it stands on.
    pub(crate) root: RootFilesystem,
    /// The container on that. The names of its users are not known before it is mounted.
    pub(crate) container: CreateContainer,
}

impl TryFrom<&CreateContainerRequest> for ContainerPlan {
    type Error = RequestError;

    fn try_from(message: &CreateContainerRequest) -> Result<Self, Self::Error> {
        let id = container_id(&message.container_id)?;
        refuse(
            super::exec_id(&message.exec_id, &id)?.is_some(),
            "exec_id",
            "an init has the container's id",
        )?;
        refuse(!message.devices.is_empty(), "devices", "no host device enters a container")?;
        refuse(!message.shared_mounts.is_empty(), "shared_mounts", "containers share no mounts")?;
        refuse(message.sandbox_pidns, "sandbox_pidns", "each container has its own process namespace")?;
        refuse_stdio_ports(message.stdin_port, message.stdout_port, message.stderr_port)?;
        refuse_string_user(message.string_user.as_ref())?;
        let root = root_filesystem(&message.storages, &id)?;
        let spec = message.OCI.as_ref().ok_or(RequestError::Missing { field: "OCI" })?;
        let metadata = match &root.layers {
            RootLayers::Disks(_) => None,
            RootLayers::Image { metadata, .. } => Some(metadata),
        };
        let container = create_container(id, spec, metadata, &root.overlay.target)?;
        Ok(Self { root, container })
    }
}

fn create_container(
    container_id: ContainerId,
    spec: &oci::Spec,
    metadata: Option<&Metadata>,
    overlay: &GuestPath,
) -> Result<CreateContainer, RequestError> {
    refuse(spec.Solaris.is_some() || spec.Windows.is_some(), "OCI.Windows", "the guest runs Linux")?;
    if let Some(hooks) = spec.Hooks.as_ref() {
        refuse_hooks(hooks)?;
    }
    let root = spec.Root.as_ref().ok_or(RequestError::Missing { field: "OCI.Root" })?;
    if root.Path != overlay.as_str() {
        return Err(RequestError::Value {
            field: "OCI.Root.Path",
            expected: "the mount point of the request's overlay",
        });
    }
    let process = spec.Process.as_ref().ok_or(RequestError::Missing { field: "OCI.Process" })?;
    let linux = spec.Linux.as_ref().ok_or(RequestError::Missing { field: "OCI.Linux" })?;
    refuse_linux(linux)?;
    Ok(CreateContainer {
        container_id,
        kind: container_kind(spec, metadata)?,
        process: process_spec(process)?,
        rootfs: overlay.clone(),
        readonly_rootfs: root.Readonly,
        mounts: spec.Mounts.iter().map(container_mount).collect::<Result<_, _>>()?,
        privileged: false,
        hostname: hostname(&spec.Hostname)?,
        masked_paths: kernel_paths("OCI.Linux.MaskedPaths", &linux.MaskedPaths)?,
        readonly_paths: kernel_paths("OCI.Linux.ReadonlyPaths", &linux.ReadonlyPaths)?,
        resources: linux.Resources.as_ref().map(resources).transpose()?.unwrap_or_default(),
        seccomp: linux.Seccomp.as_ref().map(seccomp::profile).transpose()?,
        linux: LinuxSettings::default(),
        allow_stdio_access: false,
    })
}

/// Attack: OCI hooks run as root of the guest, outside the container.
fn refuse_hooks(hooks: &oci::Hooks) -> Result<(), RequestError> {
    let lists = [
        &hooks.Prestart,
        &hooks.Poststart,
        &hooks.Poststop,
        &hooks.CreateRuntime,
        &hooks.CreateContainer,
        &hooks.StartContainer,
    ];
    refuse(lists.iter().any(|list| !list.is_empty()), "OCI.Hooks", "the guest runs no hooks")
}

/// Refuses what no policy judges and the guest does not do.
fn refuse_linux(linux: &oci::Linux) -> Result<(), RequestError> {
    let mapped = !linux.UIDMappings.is_empty() || !linux.GIDMappings.is_empty();
    refuse(mapped, "OCI.Linux.UIDMappings", "containers have no user namespace")?;
    refuse(!linux.Sysctl.is_empty(), "OCI.Linux.Sysctl", "no policy can judge kernel settings")?;
    refuse(!linux.Devices.is_empty(), "OCI.Linux.Devices", "no host device enters a container")?;
    refuse(linux.IntelRdt.is_some(), "OCI.Linux.IntelRdt", "the guest has no such resource")?;
    refuse(!linux.MountLabel.is_empty(), "OCI.Linux.MountLabel", "the guest has no SELinux policy")?;
    let propagation = !matches!(linux.RootfsPropagation.as_str(), "" | "private" | "rprivate");
    refuse(propagation, "OCI.Linux.RootfsPropagation", "mounts of containers stay in them")?;
    for namespace in &linux.Namespaces {
        let known =
            ["pid", "ipc", "uts", "mnt", "mount", "cgroup", "network"].contains(&namespace.Type.as_str());
        refuse(!known, "OCI.Linux.Namespaces", "of a type that the guest does not make")?;
        // Attack: a path joins a namespace of the host's choice, such as the guest's own.
        refuse(!namespace.Path.is_empty(), "OCI.Linux.Namespaces.Path", "the guest makes namespaces itself")?;
    }
    Ok(())
}

/// What the container is, of which there is one opinion wherever it is said.
///
/// Attack: the image is chosen by what one place says, the process is judged by what another does.
fn container_kind(spec: &oci::Spec, metadata: Option<&Metadata>) -> Result<ContainerKind, RequestError> {
    let said = CONTAINER_TYPE_KEYS.iter().flat_map(|key| {
        let beside = metadata.and_then(|metadata| metadata.get(*key));
        spec.Annotations.get(*key).into_iter().chain(beside)
    });
    let mut kinds = said.map(|kind| match kind.as_str() {
        "sandbox" | "pod_sandbox" => Ok(ContainerKind::Sandbox),
        "container" | "pod_container" | "single_container" => Ok(ContainerKind::Workload),
        _ => Err(RequestError::Value { field: "OCI.Annotations", expected: "a container type that CRI has" }),
    });
    let first = kinds.next().unwrap_or(Ok(ContainerKind::Workload))?;
    for kind in kinds {
        refuse(kind? != first, "OCI.Annotations", "two container types that disagree")?;
    }
    Ok(first)
}

fn container_mount(mount: &oci::Mount) -> Result<ContainerMount, RequestError> {
    let destination = mount
        .destination
        .parse()
        .map_err(|source| RequestError::Path { field: "OCI.Mounts.destination", source })?;
    if mount.source.contains('\0') || mount.options.iter().any(|option| option.contains('\0')) {
        return Err(RequestError::Value { field: "OCI.Mounts", expected: "strings without NUL bytes" });
    }
    // Attack: a `bind` option makes a bind mount of any type, and its source relative to the agent.
    let binds = mount.options.iter().any(|option| matches!(option.as_str(), "bind" | "rbind"));
    if binds || mount.type_ == "bind" {
        refuse(mount.type_ != "bind" || !binds, "OCI.Mounts", "a bind mount of another type")?;
        mount
            .source
            .parse::<GuestPath>()
            .map_err(|source| RequestError::Path { field: "OCI.Mounts.source", source })?;
    }
    Ok(ContainerMount {
        destination,
        source: mount.source.clone(),
        fstype: mount.type_.clone(),
        options: mount.options.clone(),
        id_mappings: IdMappings::default(),
    })
}

fn hostname(text: &str) -> Result<Option<Hostname>, RequestError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| RequestError::Value {
        field: "OCI.Hostname",
        expected: "labels of letters, digits and inner hyphens, 64 characters at most",
    })
}

/// Paths in the trees of the kernel, which no layer has.
///
/// Attack: a file of a layer is hidden from a program that does without it, and policy is asked about neither.
fn kernel_paths(field: &'static str, texts: &[String]) -> Result<Vec<GuestPath>, RequestError> {
    refuse(texts.len() > PATHS_MAX, field, "more than 512 paths")?;
    let path = |text: &String| {
        let path: GuestPath = text.parse().map_err(|source| RequestError::Path { field, source })?;
        let is_kernels = KERNEL_TREES.iter().any(|tree| path.as_str().starts_with(tree));
        refuse(!is_kernels, field, "outside of `/proc` and `/sys` a container has what policy judged")?;
        Ok(path)
    };
    texts.iter().map(path).collect()
}
