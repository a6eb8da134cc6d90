//! The plan: all that a new process needs to set itself up, checked and compiled by the agent before it exists.
//!
//! It travels as sealed memory. Neither the launcher nor the new process parses anything of the host's.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use serde::{Deserialize, Serialize};

use super::hooks::HooksPlan;
use super::namespaces::{Files, NamespacePlan};
use super::seccomp::Filter;
use super::settings::SettingsPlan;
use super::sysctls::SysctlPlan;
use crate::sys::mount_attributes::{Changes, Extent};

/// The longest plan, in bytes: above any request that the transport accepts.
pub(crate) const PLAN_LENGTH_MAX: u64 = 8 << 20;

/// What the new process is to become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Plan {
    /// The init of a container. Descriptors: the namespaces to enter, the root, the sources of bind mounts in order, then
    /// standard streams. There is no root in a joined mount namespace.
    Init(Box<RootPlan>, ProcessPlan),
    /// A further process, in those namespaces of the init that the `CLONE_NEW*` bits say. Descriptors: the container's
    /// init, the root where that is attached nowhere, then standard streams.
    Exec(u32, Files, ProcessPlan),
    /// No process of a container: it is there for the new user namespace that it is born in, until the agent has that.
    UserNamespace,
}

/// The namespaces, the file system, the names and the kernel parameters that a container sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootPlan {
    pub(crate) namespaces: NamespacePlan,
    pub(crate) hostname: Option<String>,
    pub(crate) domainname: Option<String>,
    pub(crate) sysctls: Vec<SysctlPlan>,
    pub(crate) mounts: Vec<MountPlan>,
    pub(crate) devices: DevicesPlan,
    pub(crate) masked_paths: Vec<String>,
    pub(crate) readonly_paths: Vec<String>,
    pub(crate) readonly_rootfs: bool,
    /// Whether the process waits until the agent has taken it into its cgroups of version 1: what it mounts shows them, and
    /// its cgroup namespace begins with them.
    pub(crate) awaits_cgroups: bool,
    /// Whether the process waits for a word of the agent's before it exchanges the root.
    pub(crate) stops_before_pivot: bool,
    pub(crate) hooks: HooksPlan,
    pub(crate) propagation: Spreading,
}

/// How mounts below the root spread, `mount_namespaces(7)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Spreading {
    Private,
    Slave,
    Shared,
    Unbindable,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountPlan {
    /// Where, an absolute path in the container.
    pub(crate) destination: String,
    pub(crate) what: MountKind,
    /// What is set once it is attached, in order.
    pub(crate) propagation: Vec<MountSpreading>,
}

/// How mounts below a mount spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountSpreading {
    /// One of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED` and `MS_UNBINDABLE`.
    pub(crate) flags: u32,
    pub(crate) extent: Extent,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MountKind {
    /// A new instance of a virtual file system.
    Virtual {
        kind: Virtual,
        /// Parameters with an empty value are flags.
        parameters: Vec<(String, String)>,
        /// `MOUNT_ATTR_*` bits.
        attributes: u32,
        inherited: Inherited,
    },
    /// The control groups of version 1, a directory for each of these hierarchies, on a new tmpfs. The names are those
    /// of `/proc/<pid>/cgroup`.
    Hierarchies {
        hierarchies: Vec<String>,
        /// Whether each shows only what is below the cgroup of the process, which a cgroup namespace does in any case.
        own_only: bool,
        /// `MOUNT_ATTR_*` bits.
        attributes: u32,
    },
    /// The next of the trees that came as descriptors; its attributes are set already.
    Tree,
    /// No mount but changes of one that is there: of itself, and then of all below.
    Changes { mount: Changes, tree: Changes },
}

/// What a new file system has of the directory that it is mounted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Inherited {
    Nothing,
    /// Its permission bits.
    Mode,
    /// Copies of what is in it.
    Contents,
}

/// The device nodes of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DevicesPlan {
    /// Those of `/dev`; their paths are relative to it.
    pub(crate) dev: Vec<DeviceNodePlan>,
    /// Whether `/dev` is a directory of the root file system, and nothing is mounted there.
    pub(crate) dev_of_rootfs: bool,
    /// Those that are not below `/dev`.
    pub(crate) elsewhere: Vec<DeviceNodePlan>,
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceNodePlan {
    pub(crate) path: String,
    pub(crate) kind: NodeKind,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    /// Permission bits.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// What a device node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NodeKind {
    Character,
    Block,
    Fifo,
}

/// The file systems that a container may have instances of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Virtual {
    Proc,
    /// A tmpfs with the default device nodes.
    Dev,
    Devpts,
    Mqueue,
    Sysfs,
    Cgroup,
    Tmpfs,
}

impl Virtual {
    /// The kernel's name of it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Proc => "proc",
            Self::Dev | Self::Tmpfs => "tmpfs",
            Self::Devpts => "devpts",
            Self::Mqueue => "mqueue",
            Self::Sysfs => "sysfs",
            Self::Cgroup => "cgroup2",
        }
    }
}

/// A program, its identity and its limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessPlan {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) cwd: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) umask: u16,
    pub(crate) capabilities: CapabilityBits,
    pub(crate) no_new_privileges: bool,
    /// Whether what needs the guest's rights is done from outside: streams are the user's, and limits are set later.
    pub(crate) in_user_namespace: bool,
    pub(crate) rlimits: Vec<RlimitPlan>,
    /// Numbers of the descriptors that come after the standard streams.
    pub(crate) further: Vec<u32>,
    /// Rows and columns of the terminal, when it has one.
    pub(crate) terminal: Option<(u16, u16)>,
    pub(crate) oom_score_adj: Option<i16>,
    pub(crate) settings: SettingsPlan,
    pub(crate) seccomp: Option<Filter>,
}

/// Capability sets as the kernel's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct CapabilityBits {
    pub(crate) bounding: u64,
    pub(crate) effective: u64,
    pub(crate) inheritable: u64,
    pub(crate) permitted: u64,
    pub(crate) ambient: u64,
}

/// A resource limit; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RlimitPlan {
    pub(crate) kind: RlimitKind,
    pub(crate) soft: Option<u64>,
    pub(crate) hard: Option<u64>,
}

/// The resources of `getrlimit(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RlimitKind {
    As,
    Core,
    Cpu,
    Data,
    Fsize,
    Locks,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rss,
    Rtprio,
    Rttime,
    Sigpending,
    Stack,
}

impl Plan {
    /// The numbers of further descriptors.
    pub(crate) fn further(&self) -> &[u32] {
        match self {
            Self::Init(_, process) | Self::Exec(_, _, process) => &process.further,
            Self::UserNamespace => &[],
        }
    }

    /// Writes the plan into memory that nobody can change any more.
    pub(crate) fn seal(&self) -> io::Result<OwnedFd> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(memfd_create("plan", flags)?);
        file.write_all(&serde_json::to_vec(self)?)?;
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        file.rewind()?;
        Ok(file.into())
    }

    /// Reads what [`seal`](Self::seal) wrote.
    pub(crate) fn read(memory: OwnedFd) -> io::Result<Self> {
        let mut bytes = Vec::new();
        File::from(memory).take(PLAN_LENGTH_MAX).read_to_end(&mut bytes)?;
        serde_json::from_slice(&bytes).map_err(io::Error::from)
    }
}
