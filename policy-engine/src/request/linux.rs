//! What the `linux` section of an OCI configuration can ask for, and no rule of a CCE policy speaks of.
//!
//! The defaults are what the guest gives every container of its own accord. Anything else is judged by the rule
//! `linux_settings`, which sees these types under the names of the OCI runtime specification; a policy without such a
//! rule denies it. A seccomp profile alone is judged by its digest, as part of `create_container`.

mod cgroup;
mod device;
mod hook;
mod mount;
mod namespace;
mod process;
mod seccomp;

use serde::Serialize;
use serde_json::Value as Json;

pub use cgroup::{CgroupsPath, ParseCgroupsPathError};
pub use device::{DeviceAccess, DeviceKind, DeviceNode, DeviceRule};
pub use hook::{Hook, Hooks};
pub use mount::MountSet;
pub use namespace::{IdMapping, IdMappings, Namespace, Namespaces, TimeOffset, TimeOffsets};
pub use process::{
    CpuAffinity, IoPriority, IoPriorityClass, ProcessSettings, SchedulerFlag, SchedulerPolicy,
    SchedulerSettings,
};
pub use seccomp::{SeccompAction, SeccompArgument, SeccompComparison, SeccompProfile, SeccompSyscall};

use crate::name::ContainerId;
use crate::question::{self, Question};
use crate::request::ContainerMount;

/// Settings of a container beyond those that every container has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LinuxSettings {
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// Name in its UTS namespace, `setdomainname(2)`.
    pub domainname: Option<String>,
    /// Kernel parameters of its namespaces, in order.
    pub sysctls: Vec<Sysctl>,
    /// Which mounts it gets.
    pub mounts: MountSet,
    /// Device nodes beside the default ones.
    pub devices: Vec<DeviceNode>,
    /// Which devices its processes may use beside the default ones, in order; the last that fits decides.
    pub device_rules: Vec<DeviceRule>,
    /// How mounts of its root spread.
    pub rootfs_propagation: Propagation,
    /// SELinux label of its mounts.
    pub mount_label: Option<String>,
    /// Execution domain of its processes, `personality(2)`.
    pub personality: Personality,
    /// Where its cgroup is, instead of a directory of the guest's choice.
    pub cgroups_path: Option<CgroupsPath>,
    /// Programs that run at points of its life.
    pub hooks: Hooks,
    /// Whether a seccomp profile may hand descriptors of its system calls to somebody else (`SCMP_ACT_NOTIFY`).
    pub seccomp_notify: bool,
}

/// What a policy is asked of settings; nothing of those that every container and process has.
pub(super) fn question<'a>(
    container_id: &'a ContainerId,
    linux: &LinuxSettings,
    process: &ProcessSettings,
    mounts: &[ContainerMount],
) -> Option<Question<'a>> {
    let mappings = mount::id_mappings(mounts);
    if mappings.is_empty() && *linux == LinuxSettings::default() && *process == ProcessSettings::default() {
        return None;
    }
    // Texts, numbers, lists and records of them: nothing of it can fail.
    let document = |settings: serde_json::Result<Json>| settings.unwrap_or(Json::Null);
    Some(Question::LinuxSettings(question::LinuxSettings {
        container_id: container_id.as_str(),
        linux: document(serde_json::to_value(linux)),
        process: document(serde_json::to_value(process)),
        mount_id_mappings: document(serde_json::to_value(mappings)),
    }))
}

/// A kernel parameter: `net.ipv4.ip_forward`, or with slashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sysctl {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// How mounts spread between a mount and its copies, `mount_namespaces(7)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the kernel's names, mount_namespaces(7)")]
pub enum Propagation {
    #[default]
    Private,
    Slave,
    Shared,
    Unbindable,
}

/// The execution domain of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum Personality {
    /// That of the guest.
    #[default]
    #[serde(rename = "LINUX")]
    Linux,
    /// A 32-bit one.
    #[serde(rename = "LINUX32")]
    Linux32,
}
