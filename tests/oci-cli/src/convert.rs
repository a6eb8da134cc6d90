//! From a configuration of the runtime specification to a request of the guest's vocabulary.
//!
//! Whatever the specification has and the guest does not is an error that names it. What the specification does not have
//! is left aside, as it demands.

mod linux;
mod process;
mod resources;
mod seccomp;

use std::path::{Component, Path};

use anyhow::{Context as _, bail};
use oci_spec::runtime::{LinuxResources, Mount, Spec};
use policy_engine::request::linux::IdMappings;
use policy_engine::request::{ContainerKind, ContainerMount, CreateContainer, Hostname, Maximum, Resources};
use policy_engine::{ContainerId, GuestPath};

pub(crate) use self::process::process;
pub(crate) use self::resources::resources;

/// The request to create a container.
pub(crate) fn create_container(
    id: &ContainerId,
    spec: &Spec,
    rootfs: &GuestPath,
) -> anyhow::Result<CreateContainer> {
    refuse_other_systems(spec)?;
    let root = spec.root().as_ref().context("`root` is missing")?;
    let asked = spec.process().as_ref().context("`process` is missing")?;
    let linux = spec.linux().as_ref().context("`linux` is missing")?;
    let hostname = spec.hostname().as_deref().filter(|name| !name.is_empty());
    let limits = linux.resources().as_ref();
    Ok(CreateContainer {
        container_id: id.clone(),
        kind: ContainerKind::Workload,
        process: process(asked).context("`process`")?,
        rootfs: rootfs.clone(),
        readonly_rootfs: root.readonly().unwrap_or_default(),
        mounts: spec
            .mounts()
            .iter()
            .flatten()
            .map(mount)
            .collect::<anyhow::Result<_>>()
            .context("`mounts`")?,
        // Nothing is hidden, read-only or forbidden but what the configuration says.
        privileged: true,
        hostname: hostname.map(str::parse::<Hostname>).transpose().context("`hostname`")?,
        masked_paths: paths(linux.masked_paths().as_ref()).context("`linux.maskedPaths`")?,
        readonly_paths: paths(linux.readonly_paths().as_ref()).context("`linux.readonlyPaths`")?,
        resources: limits.map(first_resources).transpose()?.unwrap_or_default(),
        seccomp: linux.seccomp().as_ref().map(seccomp::profile).transpose().context("`linux.seccomp`")?,
        linux: linux::settings(spec, linux)?,
        allow_stdio_access: false,
    })
}

/// The limits of a new container. Where no number of processes is given, engines look for the absence of a limit; what
/// has one keeps it.
fn first_resources(asked: &LinuxResources) -> anyhow::Result<Resources> {
    let mut limits = resources(asked).context("`linux.resources`")?;
    if asked.pids().is_some() && limits.pids_limit.is_none() {
        limits.pids_limit = Some(Maximum::Unlimited);
    }
    Ok(limits)
}

fn refuse_other_systems(spec: &Spec) -> anyhow::Result<()> {
    let others = [
        ("solaris", spec.solaris().is_some()),
        ("windows", spec.windows().is_some()),
        ("vm", spec.vm().is_some()),
        ("zos", spec.zos().is_some()),
    ];
    refuse(&others)
}

/// Refuses the first of the settings that is there.
fn refuse(settings: &[(&str, bool)]) -> anyhow::Result<()> {
    match settings.iter().find(|(_, present)| *present) {
        Some((name, _)) => bail!("`{name}` is not supported"),
        None => Ok(()),
    }
}

fn mount(mount: &Mount) -> anyhow::Result<ContainerMount> {
    let place = mount.destination().display();
    let options = mount.options().clone().unwrap_or_default();
    let fstype = mount.typ().clone().unwrap_or_default();
    let source = mount.source().as_deref().unwrap_or(Path::new(""));
    let says = |words: &[&str]| options.iter().any(|option| words.contains(&option.as_str()));
    let is_bind = !says(&["remount"]) && (fstype == "bind" || says(&["bind", "rbind"]));
    let source = if is_bind && !says(&["copy-symlink"]) {
        // Whoever asks for a container may lead to its parts by links; the guest's own hosts may not.
        source.canonicalize().with_context(|| format!("the source of {place}"))?
    } else if is_bind {
        std::path::absolute(source).with_context(|| format!("the source of {place}"))?
    } else {
        source.to_owned()
    };
    Ok(ContainerMount {
        destination: path(mount.destination()).with_context(|| format!("{place}"))?,
        source: text(&source)?,
        fstype,
        options,
        id_mappings: IdMappings {
            uids: linux::mappings(mount.uid_mappings().as_ref()),
            gids: linux::mappings(mount.gid_mappings().as_ref()),
        },
    })
}

fn text(path: &Path) -> anyhow::Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}

/// A path of the container in its one spelling.
fn path(given: &Path) -> anyhow::Result<GuestPath> {
    let mut clean = String::new();
    for component in given.components() {
        match component {
            Component::Normal(name) => {
                clean.push('/');
                clean.push_str(name.to_str().with_context(|| format!("{} is not UTF-8", given.display()))?);
            }
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => bail!("{} has `..`", given.display()),
        }
    }
    if clean.is_empty() {
        clean.push('/');
    }
    Ok(clean.parse()?)
}

fn paths(given: Option<&Vec<String>>) -> anyhow::Result<Vec<GuestPath>> {
    given.into_iter().flatten().map(|one| path(Path::new(one))).collect()
}

#[cfg(test)]
mod tests;
