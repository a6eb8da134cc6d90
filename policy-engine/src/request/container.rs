//! Containers.

use super::linux::{self, IdMappings, LinuxSettings, SeccompProfile};
use super::process::texts;
use super::{EnforcementPoint, Judged, ProcessSpec, Request, Resources};
use crate::amendment::Amendment;
use crate::name::ContainerId;
use crate::path::GuestPath;
use crate::question::{self, Question};

/// What a container is to its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerKind {
    /// The pause container, which holds the pod's namespaces.
    Sandbox,
    /// A container of the tenant's.
    Workload,
}

/// A mount inside a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerMount {
    /// Where, inside the container.
    pub destination: GuestPath,
    /// What: a file system's name for virtual ones, a guest path for bind mounts.
    pub source: String,
    /// The file-system type, `bind` for bind mounts.
    pub fstype: String,
    /// Options, in order.
    pub options: Vec<String>,
    /// Who is who in it; empty for nobody else than in its file system. The rule `linux_settings` judges them.
    pub id_mappings: IdMappings,
}

/// Creates a container on a root file system that is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateContainer {
    /// The container; an id is never used again.
    pub container_id: ContainerId,
    /// What it is to its pod.
    pub kind: ContainerKind,
    /// Its init.
    pub process: ProcessSpec,
    /// The mounted overlay that is its root.
    pub rootfs: GuestPath,
    /// Whether the root is remounted read-only.
    pub readonly_rootfs: bool,
    /// Its mounts, in order.
    pub mounts: Vec<ContainerMount>,
    /// Whether it asks for all privileges.
    pub privileged: bool,
    /// Host name in its UTS namespace.
    pub hostname: Option<super::Hostname>,
    /// Paths hidden from it, on top of the guest's own list.
    pub masked_paths: Vec<GuestPath>,
    /// Paths made read-only, on top of the guest's own list.
    pub readonly_paths: Vec<GuestPath>,
    /// Its limits.
    pub resources: Resources,
    /// Which system calls its processes may make.
    pub seccomp: Option<SeccompProfile>,
    /// Settings beyond those that every container has.
    pub linux: LinuxSettings,
    /// Whether the host may read and write its stdio: granted by policy, never asked for.
    pub allow_stdio_access: bool,
}

/// Prefix of the paths that a policy's `sandbox://` mount sources stand for.
pub const SANDBOX_MOUNTS_DIRECTORY: &str = "/run/gcs/sandboxMounts";
/// Prefix of the paths that a policy's `hugepages://` mount sources stand for.
pub const HUGE_PAGES_DIRECTORY: &str = "/run/gcs/hugepages";

impl Request for CreateContainer {
    const POINT: EnforcementPoint = EnforcementPoint::CreateContainer;
}

impl Judged for CreateContainer {
    fn question(&self) -> Question<'_> {
        let mounts = self.mounts.iter().map(|mount| question::Mount {
            destination: mount.destination.as_str(),
            source: &mount.source,
            fstype: &mount.fstype,
            options: texts(&mount.options),
        });
        let process = &self.process;
        Question::CreateContainer(question::CreateContainer {
            container_id: self.container_id.as_str(),
            command: texts(&process.args),
            environment: texts(&process.env),
            working_dir: process.cwd.as_str(),
            sandbox_dir: SANDBOX_MOUNTS_DIRECTORY,
            huge_pages_dir: HUGE_PAGES_DIRECTORY,
            mounts: mounts.collect(),
            // Device nodes are among the settings, which are judged by themselves.
            devices: Vec::new(),
            privileged: self.privileged,
            no_new_privileges: process.no_new_privileges,
            user: process.user.id_name(),
            groups: process.user.groups(),
            umask: process.umask_text().into(),
            capabilities: process.capabilities.asked(),
            seccomp_profile_sha256: self
                .seccomp
                .as_ref()
                .map(SeccompProfile::digest)
                .unwrap_or_default()
                .into(),
            is_sandbox_container: self.kind == ContainerKind::Sandbox,
        })
    }

    fn settings(&self) -> Option<Question<'_>> {
        linux::question(&self.container_id, &self.linux, &self.process.settings, &self.mounts)
    }

    fn amend(&mut self, amendment: &Amendment) {
        self.process.amend(amendment);
        self.allow_stdio_access = amendment.allow_stdio_access;
    }
}
