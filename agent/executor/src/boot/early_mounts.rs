//! The guest's own file systems.

use std::fs;
use std::io;

use rustix::mount::MountFlags;

/// Why a file system of the guest's is missing.
#[derive(Debug, thiserror::Error)]
pub enum EarlyMountError {
    /// The directory could not be made.
    #[error("cannot make {target}")]
    Directory {
        /// The directory.
        target: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The kernel does not mount it.
    #[error("cannot mount {target}")]
    Mount {
        /// Where.
        target: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Limits of containers would not be enforced.
    #[error("cannot enable the cgroup controllers")]
    Controllers(#[source] io::Error),
}

struct EarlyMount {
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    data: &'static str,
}

const NOTHING_SPECIAL: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// In the order in which they are mounted. `/dev` is the only one with devices.
const BASE: [EarlyMount; 7] = [
    EarlyMount { kind: "proc", target: "/proc", flags: NOTHING_SPECIAL, data: "" },
    EarlyMount { kind: "sysfs", target: "/sys", flags: NOTHING_SPECIAL, data: "" },
    EarlyMount {
        kind: "devtmpfs",
        target: "/dev",
        flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
        data: "mode=0755",
    },
    EarlyMount {
        kind: "devpts",
        target: "/dev/pts",
        flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
        data: "mode=0620,ptmxmode=0666",
    },
    EarlyMount { kind: "tmpfs", target: "/dev/shm", flags: NOTHING_SPECIAL, data: "mode=1777,size=16m" },
    EarlyMount { kind: "tmpfs", target: "/run", flags: NOTHING_SPECIAL, data: "mode=0755,size=64m" },
    EarlyMount { kind: "cgroup2", target: "/sys/fs/cgroup", flags: NOTHING_SPECIAL, data: "" },
];

/// Its directory is there once its module is loaded, which drivers of secure processors depend on.
const CONFIGFS: EarlyMount =
    EarlyMount { kind: "configfs", target: "/sys/kernel/config", flags: NOTHING_SPECIAL, data: "" };

/// Mounts what needs no module.
pub(super) fn mount_base() -> Result<(), EarlyMountError> {
    BASE.iter().try_for_each(|early| {
        fs::create_dir_all(early.target)
            .map_err(|source| EarlyMountError::Directory { target: early.target, source })?;
        mount(early)
    })
}

/// Mounts the interface of reports, where there is one.
pub(super) fn mount_configfs() -> Result<(), EarlyMountError> {
    if fs::exists(CONFIGFS.target).is_ok_and(|exists| !exists) { Ok(()) } else { mount(&CONFIGFS) }
}

/// Lets child groups limit everything that the kernel can limit.
pub(super) fn enable_controllers() -> Result<(), EarlyMountError> {
    let enable = || {
        let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")?;
        // In one go: each takes a while.
        let enabled: String =
            controllers.split_ascii_whitespace().map(|controller| format!("+{controller} ")).collect();
        fs::write("/sys/fs/cgroup/cgroup.subtree_control", enabled)
    };
    enable().map_err(EarlyMountError::Controllers)
}

fn mount(early: &EarlyMount) -> Result<(), EarlyMountError> {
    let data = std::ffi::CString::new(early.data).unwrap_or_default();
    rustix::mount::mount(early.kind, early.target, early.kind, early.flags, data.as_c_str())
        .map_err(|error| EarlyMountError::Mount { target: early.target, source: error.into() })
}
