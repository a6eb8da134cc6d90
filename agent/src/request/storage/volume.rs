//! Volumes: what Kubernetes calls an `emptyDir`, and the pod's shared memory.

use policy_engine::request::{SANDBOX_MOUNTS_DIRECTORY, ScratchBacking, VolumeMode, VolumeTarget};
use proto::kata::agent::Storage;

use super::layer::is_disk_driver;
use super::scratch::{MEMORY_DEFAULT_BYTES, disk, is_tmpfs, size_bytes};
use super::{RequestError, refused_driver, set_once, unknown_option};

/// A volume as a storage asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumePlan {
    pub(crate) target: VolumeTarget,
    /// Its file system; without one it is a directory of the sandbox's scratch.
    pub(crate) backing: Option<ScratchBacking>,
    pub(crate) mode: VolumeMode,
    pub(crate) group: Option<u32>,
    pub(crate) nosuid: bool,
    pub(crate) noexec: bool,
}

/// Whether a storage asks for something where volumes are.
pub(super) fn is_volume(storage: &Storage) -> bool {
    storage.mount_point.starts_with(SANDBOX_MOUNTS_DIRECTORY)
        || storage.mount_point == VolumeTarget::SHARED_MEMORY
}

pub(super) fn volume(storage: &Storage) -> Result<VolumePlan, RequestError> {
    let target: VolumeTarget = storage.mount_point.parse().map_err(|_| RequestError::Value {
        field: "storages.mount_point",
        expected: "up to 16 names below `/run/gcs/sandboxMounts` for a volume",
    })?;
    let mut options = VolumeOptions::default();
    let others = options.take_from(&storage.options)?;
    if let Some(owner) = storage.fs_group.as_ref() {
        set_once(&mut options.group, owner.group_id, "storages.fs_group")?;
    }
    let backing = match storage.driver.as_str() {
        driver if is_disk_driver(driver) => Some(disk(storage, &others)?),
        "ephemeral" => {
            is_tmpfs(storage)?;
            Some(ScratchBacking::Memory { size_bytes: memory_size(&others)? })
        }
        "local" => {
            if let Some(option) = others.iter().find(|option| *option != "rw") {
                return Err(unknown_option("local", option));
            }
            if (storage.fstype.as_str(), storage.source.as_str()) != ("local", "local") {
                return Err(RequestError::Value { field: "storages.fstype", expected: "local of `local`" });
            }
            None
        }
        driver => return Err(refused_driver(driver)),
    };
    let mode = options.mode.unwrap_or(VolumeMode::OPEN);
    Ok(VolumePlan {
        target,
        backing,
        // What Kata does for a group: new files are that group's too.
        mode: if options.group.is_some() { mode.with_set_group() } else { mode },
        group: options.group,
        nosuid: options.nosuid.is_some(),
        noexec: options.noexec.is_some(),
    })
}

fn memory_size(options: &[String]) -> Result<u64, RequestError> {
    let (mut size, mut writable) = (None, None);
    for option in options {
        match option.split_once('=') {
            Some(("size", text)) => set_once(&mut size, size_bytes(text)?, "storages.options: size")?,
            None if option == "rw" => set_once(&mut writable, (), "storages.options: rw")?,
            _ => return Err(unknown_option("ephemeral", option)),
        }
    }
    Ok(size.unwrap_or(MEMORY_DEFAULT_BYTES))
}

/// The options that every volume can have, each once.
#[derive(Default)]
struct VolumeOptions {
    mode: Option<VolumeMode>,
    group: Option<u32>,
    nosuid: Option<()>,
    noexec: Option<()>,
    /// Volumes have no device nodes, whether that is said or not.
    nodev: Option<()>,
}

impl VolumeOptions {
    /// Takes these options in and returns the others.
    fn take_from(&mut self, options: &[String]) -> Result<Vec<String>, RequestError> {
        let mut others = Vec::new();
        for option in options {
            match option.split_once('=').unwrap_or((option, "")) {
                ("mode", octal) => set_once(&mut self.mode, mode(octal)?, "storages.options: mode")?,
                ("fsgid", group) => set_once(&mut self.group, fsgid(group)?, "storages.options: fsgid")?,
                ("nosuid", "") => set_once(&mut self.nosuid, (), "storages.options: nosuid")?,
                ("noexec", "") => set_once(&mut self.noexec, (), "storages.options: noexec")?,
                ("nodev", "") => set_once(&mut self.nodev, (), "storages.options: nodev")?,
                _ => others.push(option.clone()),
            }
        }
        Ok(others)
    }
}

fn mode(octal: &str) -> Result<VolumeMode, RequestError> {
    let digits = !octal.is_empty() && octal.bytes().all(|byte| byte.is_ascii_digit());
    let bits = digits.then(|| u32::from_str_radix(octal, 8).ok()).flatten();
    bits.and_then(VolumeMode::new)
        .ok_or(RequestError::Value { field: "storages.options: mode", expected: "octal permissions" })
}

fn fsgid(text: &str) -> Result<u32, RequestError> {
    // The largest number means "no group" to the kernel.
    text.parse()
        .ok()
        .filter(|group| *group != u32::MAX)
        .ok_or(RequestError::Value { field: "storages.options: fsgid", expected: "the number of a group" })
}
