//! Confined mounts: an allow-list of file systems, places and options.
//!
//! What decides is the flags, never a word that contradicts them: a bind mount is one whatever its type says, and a
//! request in which the two disagree is refused. Every mount is private to the container: the words for propagation are
//! known and all mean that.

use std::collections::HashSet;
use std::path::Path;

use policy_engine::request::ContainerMount;
use rustix::mount::MountAttrFlags;

use super::{BindSource, MOUNTS_MAX, MountError, Mounts, Peers, Source, options};
use crate::container::plan::{Inherited, MountKind, MountPlan, Virtual};
use crate::sys::mount_attributes::{Changes, Extent};

/// The longest value of a mount parameter, in bytes.
const VALUE_LENGTH_MAX: usize = 32;

const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;
const RDONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;

/// What every container has, parents first: place, file system, options where the request names none.
const DEFAULTS: [(&str, Virtual, &str); 7] = [
    ("/proc", Virtual::Proc, ""),
    ("/dev", Virtual::Dev, "strictatime,mode=755,size=65536k"),
    ("/dev/pts", Virtual::Devpts, "ptmxmode=0666,mode=0620,gid=5"),
    ("/dev/shm", Virtual::Tmpfs, "nosuid,noexec,mode=1777,size=65536k"),
    ("/dev/mqueue", Virtual::Mqueue, ""),
    ("/sys", Virtual::Sysfs, ""),
    ("/sys/fs/cgroup", Virtual::Cgroup, ""),
];

/// Plans the mounts of a container: the default ones, each replaced by the requested one of the same place, and then
/// the other requested ones in their order.
pub(super) fn compile<'a>(
    requested: impl Iterator<Item = &'a ContainerMount>,
    privileged: bool,
) -> Result<Mounts, (String, MountError)> {
    let mut requested: Vec<&ContainerMount> = requested.collect();
    if requested.len() > MOUNTS_MAX {
        return Err((String::new(), MountError::TooMany));
    }
    let mut destinations = HashSet::new();
    for mount in &requested {
        if !mount.id_mappings.is_empty() {
            return Err((mount.destination.to_string(), MountError::IdMappings));
        }
        if !destinations.insert(&mount.destination) {
            return Err((mount.destination.to_string(), MountError::Duplicate));
        }
    }
    let mut mounts = Mounts { plans: Vec::new(), sources: Vec::new() };
    for (destination, kind, options) in DEFAULTS {
        match requested.iter().position(|mount| mount.destination.as_str() == destination) {
            Some(position) => mounts.add(requested.remove(position), privileged)?,
            None => {
                let options = options.split(',').filter(|option| !option.is_empty());
                let (attributes, parameters) =
                    parse(Some(kind), options).map_err(|error| (destination.to_owned(), error))?;
                mounts.add_virtual(destination, kind, attributes | forced(kind, privileged), parameters);
            }
        }
    }
    for mount in requested {
        mounts.add(mount, privileged)?;
    }
    mounts.refuse_hidden()?;
    Ok(mounts)
}

impl Mounts {
    /// Attack: policy judges each mount by itself. One at `/data` after one at `/data/keys` takes the keys away, and shows
    /// what a volume has in their place.
    fn refuse_hidden(&self) -> Result<(), (String, MountError)> {
        for (position, later) in self.plans.iter().enumerate() {
            let mut earlier = self.plans.iter().take(position);
            if earlier.any(|earlier| Path::new(&earlier.destination).starts_with(&later.destination)) {
                return Err((later.destination.clone(), MountError::Hides));
            }
        }
        Ok(())
    }

    fn add(&mut self, mount: &ContainerMount, privileged: bool) -> Result<(), (String, MountError)> {
        self.try_add(mount, privileged).map_err(|error| (mount.destination.to_string(), error))
    }

    fn try_add(&mut self, mount: &ContainerMount, privileged: bool) -> Result<(), MountError> {
        let kind = kind(mount)?;
        check_place(mount.destination.as_str(), kind)?;
        let (attributes, parameters) = parse(kind, mount.options.iter().map(String::as_str))?;
        let destination = mount.destination.as_str();
        match kind {
            Some(kind) => {
                self.add_virtual(destination, kind, attributes | forced(kind, privileged), parameters);
            }
            None => {
                let set = (attributes | NODEV).difference(ACCESS_TIMES).bits();
                let recursive = mount.options.iter().any(|option| option == "rbind");
                self.sources.push(Source::Bind(BindSource {
                    path: mount.source.parse().map_err(MountError::Source)?,
                    extent: if recursive { Extent::Tree } else { Extent::One },
                    follow_links: false,
                    copy_symlink: false,
                    peers: Peers::None,
                    id_map: None,
                    mount: Changes::default(),
                    tree: Changes { clear: 0, set },
                }));
                self.plans.push(MountPlan {
                    destination: destination.to_owned(),
                    what: MountKind::Tree,
                    propagation: Vec::new(),
                });
            }
        }
        Ok(())
    }

    fn add_virtual(
        &mut self,
        destination: &str,
        kind: Virtual,
        attributes: MountAttrFlags,
        parameters: Vec<(String, String)>,
    ) {
        self.plans.push(MountPlan {
            destination: destination.to_owned(),
            what: MountKind::Virtual {
                kind,
                parameters,
                attributes: attributes.bits(),
                inherited: Inherited::Nothing,
            },
            propagation: Vec::new(),
        });
    }
}

/// How access times are kept. A bind mount keeps the way of its source.
const ACCESS_TIMES: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR__ATIME.union(MountAttrFlags::MOUNT_ATTR_NODIRATIME);

/// Attributes that a file system has in a container whatever was asked for.
fn forced(kind: Virtual, privileged: bool) -> MountAttrFlags {
    match kind {
        Virtual::Proc | Virtual::Mqueue => NODEV | NOSUID | NOEXEC,
        // Writing there changes the guest, not the container.
        Virtual::Sysfs | Virtual::Cgroup if !privileged => NODEV | NOSUID | NOEXEC | RDONLY,
        Virtual::Sysfs | Virtual::Cgroup => NODEV | NOSUID | NOEXEC,
        // The two that have device nodes; the device filter judges their use.
        Virtual::Dev => NOSUID,
        Virtual::Devpts => NOSUID | NOEXEC,
        Virtual::Tmpfs => NODEV,
    }
}

/// What a request mounts; `None` is a bind mount.
fn kind(mount: &ContainerMount) -> Result<Option<Virtual>, MountError> {
    let fstype = || mount.fstype.clone();
    if mount.options.iter().any(|option| option == "bind" || option == "rbind") {
        return match mount.fstype.as_str() {
            "bind" | "none" | "" => Ok(None),
            _ => Err(MountError::Contradiction { fstype: fstype() }),
        };
    }
    Ok(match (mount.fstype.as_str(), mount.destination.as_str()) {
        ("bind", _) => None,
        ("proc", _) => Some(Virtual::Proc),
        ("sysfs", _) => Some(Virtual::Sysfs),
        ("devpts", _) => Some(Virtual::Devpts),
        ("mqueue", _) => Some(Virtual::Mqueue),
        ("cgroup" | "cgroup2", _) => Some(Virtual::Cgroup),
        ("tmpfs", "/dev") => Some(Virtual::Dev),
        ("tmpfs", _) => Some(Virtual::Tmpfs),
        _ => return Err(MountError::Filesystem { fstype: fstype() }),
    })
}

/// Refuses a place that is not for this kind of mount: a second procfs elsewhere would have no masked paths, and a file
/// of the tenant's or host's at `/proc` would deceive programs about the kernel.
fn check_place(destination: &str, kind: Option<Virtual>) -> Result<(), MountError> {
    let own = DEFAULTS.iter().find(|(place, _, _)| *place == destination).map(|(_, kind, _)| *kind);
    let allowed = match (own, kind) {
        (Some(Virtual::Tmpfs), None | Some(Virtual::Tmpfs)) => true,
        (Some(own), kind) => kind == Some(own),
        (None, None | Some(Virtual::Tmpfs)) => {
            let kernels =
                |tree: &str| destination.strip_prefix(tree).is_some_and(|rest| rest.starts_with('/'));
            destination != "/" && !kernels("/proc") && !kernels("/sys")
        }
        (None, Some(_)) => false,
    };
    if allowed { Ok(()) } else { Err(MountError::Reserved) }
}

/// The words for attributes of a mount that may be said.
const ATTRIBUTES: [&str; 11] = [
    "ro",
    "rw",
    "nosuid",
    "suid",
    "nodev",
    "noexec",
    "exec",
    "noatime",
    "relatime",
    "strictatime",
    "nodiratime",
];

/// Splits options into attributes of the mount and parameters of the file system.
fn parse<'a>(
    kind: Option<Virtual>,
    words: impl Iterator<Item = &'a str>,
) -> Result<(MountAttrFlags, Vec<(String, String)>), MountError> {
    let mut changes = Changes::default();
    let mut parameters = Vec::new();
    for option in words {
        if let Some(change) = options::attribute(option).filter(|_| ATTRIBUTES.contains(&option)) {
            changes = changes.then(change);
            continue;
        }
        match option {
            "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" => {}
            "bind" | "rbind" if kind.is_none() => {}
            // What an instance of devpts is in any case.
            "newinstance" if kind == Some(Virtual::Devpts) => {}
            _ => parameters
                .push(parameter(kind, option).ok_or(MountError::Option { option: option.to_owned() })?),
        }
    }
    let mut attributes = MountAttrFlags::from_bits_retain(changes.set);
    // The nodes of a container's `/dev` and its terminals are there to be used.
    if matches!(kind, Some(Virtual::Dev | Virtual::Devpts)) {
        attributes &= !NODEV;
    }
    Ok((attributes, parameters))
}

/// A parameter that a container may give to a file system.
fn parameter(kind: Option<Virtual>, option: &str) -> Option<(String, String)> {
    let (key, value) = option.split_once('=')?;
    let allowed: &[&str] = match kind? {
        Virtual::Dev | Virtual::Tmpfs => &["size", "mode", "uid", "gid", "nr_inodes"],
        Virtual::Devpts => &["ptmxmode", "mode", "uid", "gid"],
        Virtual::Proc | Virtual::Mqueue | Virtual::Sysfs | Virtual::Cgroup => &[],
    };
    let plain = (1..=VALUE_LENGTH_MAX).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'%');
    (allowed.contains(&key) && plain).then(|| (key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests;
