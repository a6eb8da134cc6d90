//! Mounts as a request asks for them, and no others: what an engine that speaks for the guest's owner wants.
//!
//! Each option of the OCI runtime specification is carried out, or refused by its name.

use policy_engine::request::ContainerMount;
use policy_engine::request::linux::{LinuxSettings, Namespace, Propagation};
use rustix::mount::{MountAttrFlags, MountPropagationFlags};

use super::options::{self, Options};
use super::{BindSource, FilesystemSource, IdMap, MOUNTS_MAX, MountError, Mounts, Peers, Source};
use crate::container::mappings;
use crate::container::plan::{Inherited, MountKind, MountPlan, Virtual};
use crate::sys::mount_attributes::Extent;

/// Plans the requested mounts in their order.
pub(super) fn compile<'a>(
    requested: impl Iterator<Item = &'a ContainerMount>,
    settings: &LinuxSettings,
) -> Result<Mounts, (String, MountError)> {
    let mut mounts = Mounts::default();
    for mount in requested {
        if mounts.plans.len() >= MOUNTS_MAX {
            return Err((String::new(), MountError::TooMany));
        }
        add(&mut mounts, mount, settings).map_err(|error| (mount.destination.to_string(), error))?;
    }
    Ok(mounts)
}

fn add(mounts: &mut Mounts, mount: &ContainerMount, settings: &LinuxSettings) -> Result<(), MountError> {
    if mount.destination.as_str() == "/" {
        return Err(MountError::Reserved);
    }
    let options = options::parse(&mount.options)?;
    let id_map = id_map(mount, &options, settings)?;
    let binds = !options.remount && (options.bind.is_some() || mount.fstype == "bind");
    if id_map.is_some() && !binds {
        return Err(MountError::IdMappings);
    }
    let what = if options.remount {
        nothing_of_the_filesystem(&options)?;
        MountKind::Changes { mount: options.mount, tree: options.tree }
    } else if binds {
        let source = bind_source(mount, &options, settings)?;
        mounts.sources.push(Source::Bind(BindSource { id_map, ..source }));
        MountKind::Tree
    } else {
        match new_filesystem(mount, &options, settings)? {
            New::ByTheProcess(what) => what,
            New::ByTheAgent(source) => {
                mounts.sources.push(Source::Filesystem(source));
                MountKind::Tree
            }
        }
    };
    mounts.plans.push(MountPlan {
        destination: mount.destination.as_str().to_owned(),
        what,
        propagation: options.propagation,
    });
    Ok(())
}

/// Who is who in a mount: as it says itself, or as in the container.
fn id_map(
    mount: &ContainerMount,
    options: &Options,
    settings: &LinuxSettings,
) -> Result<Option<IdMap>, MountError> {
    let mappings = match (mount.id_mappings.is_empty(), options.id_map) {
        (true, None) => return Ok(None),
        (true, Some(_)) => &settings.namespaces.id_mappings,
        (false, _) => &mount.id_mappings,
    };
    mappings::check_ranges(mappings).map_err(MountError::Mapping)?;
    Ok(Some(IdMap { mappings: mappings.clone(), extent: options.id_map.unwrap_or(Extent::One) }))
}

/// What a bind or a remount cannot have.
fn nothing_of_the_filesystem(options: &Options) -> Result<(), MountError> {
    if let Some((key, _)) = options.parameters.first() {
        return Err(MountError::Mounted { option: key.clone() });
    }
    if options.copy_up {
        return Err(MountError::Option { option: "tmpcopyup".to_owned() });
    }
    Ok(())
}

fn bind_source(
    mount: &ContainerMount,
    options: &Options,
    settings: &LinuxSettings,
) -> Result<BindSource, MountError> {
    if !matches!(mount.fstype.as_str(), "bind" | "none" | "") {
        return Err(MountError::Contradiction { fstype: mount.fstype.clone() });
    }
    nothing_of_the_filesystem(options)?;
    let asks = |kind: MountPropagationFlags| options.propagation.iter().any(|one| one.flags == kind.bits());
    let shared = asks(MountPropagationFlags::SHARED);
    let peers = if shared && settings.rootfs_propagation == Propagation::Shared {
        Peers::Share
    } else if shared || asks(MountPropagationFlags::DOWNSTREAM) {
        // As where the root does not share: what the container mounts does not appear in the guest.
        Peers::Receive
    } else {
        Peers::None
    };
    Ok(BindSource {
        path: mount.source.parse().map_err(MountError::Source)?,
        extent: options.bind.unwrap_or(Extent::One),
        follow_links: true,
        copy_symlink: options.copy_symlink,
        peers,
        id_map: None,
        mount: options.mount,
        tree: options.tree,
    })
}

/// Who makes a new file system. One that shows the container's namespaces is made in them; one that is made of paths of
/// the guest is made where these lead somewhere.
enum New {
    ByTheProcess(MountKind),
    ByTheAgent(FilesystemSource),
}

fn new_filesystem(
    mount: &ContainerMount,
    options: &Options,
    settings: &LinuxSettings,
) -> Result<New, MountError> {
    let refused = |option: &str| Err(MountError::Option { option: option.to_owned() });
    if options.copy_symlink {
        return refused("copy-symlink");
    }
    if options.copy_up && mount.fstype != "tmpfs" {
        return refused("tmpcopyup");
    }
    // A new file system is one mount: what is for all below it is for itself.
    let attributes = options.mount.then(options.tree).set;
    let parameters = || {
        let source = Some(&mount.source).filter(|source| !source.is_empty());
        let source = source.map(|source| ("source".to_owned(), source.clone()));
        source.into_iter().chain(options.parameters.iter().cloned()).collect::<Vec<_>>()
    };
    if mount.source.contains('\0') || mount.fstype.contains('\0') {
        return refused("source");
    }
    let kind = match (mount.fstype.as_str(), mount.destination.as_str()) {
        ("proc", _) => Virtual::Proc,
        ("sysfs", _) => Virtual::Sysfs,
        ("devpts", _) => Virtual::Devpts,
        ("mqueue", _) => Virtual::Mqueue,
        ("cgroup2", _) => Virtual::Cgroup,
        ("cgroup", _) => {
            let hierarchies = hierarchies().map_err(|error| MountError::Hierarchies(error.kind()))?;
            if !hierarchies.is_empty() {
                nothing_of_the_filesystem(options)?;
                return Ok(New::ByTheProcess(MountKind::Hierarchies {
                    hierarchies,
                    own_only: settings.namespaces.cgroup == Namespace::Guest,
                    attributes,
                }));
            }
            Virtual::Cgroup
        }
        ("tmpfs", "/dev") => Virtual::Dev,
        ("tmpfs", _) => Virtual::Tmpfs,
        ("" | "none", _) => return Err(MountError::Filesystem { fstype: mount.fstype.clone() }),
        (fstype, _) => {
            let mut parameters = parameters();
            // Not the mount alone: a device that is read-only is not written for the sake of its journal.
            if attributes & MountAttrFlags::MOUNT_ATTR_RDONLY.bits() != 0 {
                parameters.push(("ro".to_owned(), String::new()));
            }
            return Ok(New::ByTheAgent(FilesystemSource {
                fstype: fstype.to_owned(),
                parameters,
                attributes,
            }));
        }
    };
    let inherited = match kind {
        Virtual::Tmpfs if options.copy_up => Inherited::Contents,
        Virtual::Tmpfs if !options.parameters.iter().any(|(key, _)| key == "mode") => Inherited::Mode,
        _ => Inherited::Nothing,
    };
    Ok(New::ByTheProcess(MountKind::Virtual { kind, parameters: parameters(), attributes, inherited }))
}

/// The hierarchies of version 1 that this kernel has.
fn hierarchies() -> std::io::Result<Vec<String>> {
    Ok(legacy(&std::fs::read_to_string("/proc/self/cgroup")?))
}

/// The hierarchies of version 1 in a text like `/proc/self/cgroup`, `cgroups(7)`.
fn legacy(text: &str) -> Vec<String> {
    let controllers = |line: &str| Some(line.split(':').nth(1)?.to_owned());
    text.lines().filter_map(controllers).filter(|controllers| !controllers.is_empty()).collect()
}

#[cfg(test)]
mod tests;
