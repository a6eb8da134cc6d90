//! The `linux` section, as far as it is not about processes and limits.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use oci_spec::runtime::{
    Hook as AskedHook, Linux, LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType, LinuxIdMapping,
    LinuxMemoryPolicy, LinuxNamespaceType, LinuxPersonality, LinuxPersonalityDomain, LinuxTimeOffset,
    MemoryPolicyModeType, Spec,
};
use policy_engine::GuestPath;
use policy_engine::request::linux::{
    CgroupsPath, DeviceAccess, DeviceKind, DeviceNode, DeviceRule, Hook, Hooks, IdMapping, IdMappings,
    LinuxSettings, MountSet, Namespace, Namespaces, Personality, Propagation, Sysctl, TimeOffset,
    TimeOffsets,
};

/// Permission bits of a device node that names none.
const DEVICE_MODE: u32 = 0o666;

/// The terminal multiplexer, which is that of the container's own terminals whatever is asked for, as with `runc`.
const MULTIPLEXER: &str = "/dev/ptmx";

/// The settings beyond those that every container of the guest has.
pub(super) fn settings(spec: &Spec, linux: &Linux) -> anyhow::Result<LinuxSettings> {
    super::refuse(&[
        ("linux.netDevices", linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty())),
        ("linux.intelRdt", linux.intel_rdt().is_some()),
        ("linux.memoryPolicy", linux.memory_policy().as_ref().is_some_and(|policy| !is_default(policy))),
    ])?;
    let rules = linux.resources().as_ref().and_then(|resources| resources.devices().as_ref());
    let sysctls: BTreeMap<_, _> = linux.sysctl().iter().flatten().collect();
    Ok(LinuxSettings {
        namespaces: namespaces(linux).context("`linux.namespaces`")?,
        domainname: spec.domainname().clone().filter(|name| !name.is_empty()),
        sysctls: sysctls
            .into_iter()
            .map(|(name, value)| Sysctl { name: name.clone(), value: value.clone() })
            .collect(),
        mounts: MountSet::AsAsked,
        devices: linux
            .devices()
            .iter()
            .flatten()
            .filter(|device| device.path() != Path::new(MULTIPLEXER))
            .map(device)
            .collect::<anyhow::Result<_>>()
            .context("`linux.devices`")?,
        device_rules: device_rules(rules).context("`linux.resources.devices`")?,
        rootfs_propagation: propagation(linux.rootfs_propagation().as_deref().unwrap_or_default())?,
        mount_label: linux.mount_label().clone().filter(|label| !label.is_empty()),
        personality: linux.personality().as_ref().map(personality).transpose()?.unwrap_or_default(),
        cgroups_path: cgroups_path(linux.cgroups_path().as_deref()).context("`linux.cgroupsPath`")?,
        hooks: hooks(spec).context("`hooks`")?,
        // The socket that gets the listener is the configuration's own.
        seccomp_notify: linux.seccomp().as_ref().is_some_and(|seccomp| seccomp.listener_path().is_some()),
    })
}

/// Whether memory is to come from where it comes from in any case.
fn is_default(policy: &LinuxMemoryPolicy) -> bool {
    policy.mode() == MemoryPolicyModeType::MpolDefault
        && policy.nodes().as_deref().is_none_or(str::is_empty)
        && policy.flags().as_ref().is_none_or(Vec::is_empty)
}

fn namespaces(linux: &Linux) -> anyhow::Result<Namespaces> {
    let guest = || Namespace::Guest;
    let mut namespaces = Namespaces {
        pid: guest(),
        ipc: guest(),
        uts: guest(),
        mount: guest(),
        cgroup: guest(),
        network: guest(),
        user: guest(),
        time: guest(),
        id_mappings: IdMappings {
            uids: mappings(linux.uid_mappings().as_ref()),
            gids: mappings(linux.gid_mappings().as_ref()),
        },
        time_offsets: time_offsets(linux).context("`timeOffsets`")?,
    };
    for asked in linux.namespaces().iter().flatten() {
        let place = match asked.typ() {
            LinuxNamespaceType::Pid => &mut namespaces.pid,
            LinuxNamespaceType::Ipc => &mut namespaces.ipc,
            LinuxNamespaceType::Uts => &mut namespaces.uts,
            LinuxNamespaceType::Mount => &mut namespaces.mount,
            LinuxNamespaceType::Cgroup => &mut namespaces.cgroup,
            LinuxNamespaceType::Network => &mut namespaces.network,
            LinuxNamespaceType::User => &mut namespaces.user,
            LinuxNamespaceType::Time => &mut namespaces.time,
        };
        if *place != Namespace::Guest {
            bail!("there are two of type {}", asked.typ());
        }
        *place = match asked.path().as_deref().filter(|path| !path.as_os_str().is_empty()) {
            None => Namespace::New,
            Some(path) => Namespace::Join(namespace_file(path)?),
        };
    }
    Ok(namespaces)
}

/// The file of a namespace. Its directory may be named by symbolic links (`/var/run/netns`), which the executor does not
/// follow.
fn namespace_file(given: &Path) -> anyhow::Result<GuestPath> {
    let (directory, name) = given.parent().zip(given.file_name()).context("no namespace is there")?;
    let directory = directory.canonicalize().with_context(|| directory.display().to_string())?;
    super::path(&directory.join(name))
}

pub(super) fn mappings(asked: Option<&Vec<LinuxIdMapping>>) -> Vec<IdMapping> {
    let mapping = |asked: &LinuxIdMapping| IdMapping {
        container_id: asked.container_id(),
        host_id: asked.host_id(),
        size: asked.size(),
    };
    asked.into_iter().flatten().map(mapping).collect()
}

fn time_offsets(linux: &Linux) -> anyhow::Result<TimeOffsets> {
    let mut offsets = TimeOffsets::default();
    for (clock, asked) in linux.time_offsets().iter().flatten() {
        let place = match clock.as_str() {
            "monotonic" => &mut offsets.monotonic,
            "boottime" => &mut offsets.boottime,
            other => bail!("there is no clock {other:?}"),
        };
        *place = Some(time_offset(asked));
    }
    Ok(offsets)
}

fn time_offset(asked: &LinuxTimeOffset) -> TimeOffset {
    TimeOffset { secs: asked.secs().unwrap_or_default(), nanosecs: asked.nanosecs().unwrap_or_default() }
}

fn device(asked: &LinuxDevice) -> anyhow::Result<DeviceNode> {
    let kind = kind(asked.typ()).context("a device is of type c, u, b or p")?;
    let number = |number: i64| u32::try_from(number).context("major and minor numbers are not negative");
    Ok(DeviceNode {
        path: super::path(asked.path())?,
        kind,
        major: if kind == DeviceKind::Fifo { 0 } else { number(asked.major())? },
        minor: if kind == DeviceKind::Fifo { 0 } else { number(asked.minor())? },
        file_mode: u16::try_from(asked.file_mode().unwrap_or(DEVICE_MODE) & 0o7777)?,
        uid: asked.uid().unwrap_or_default(),
        gid: asked.gid().unwrap_or_default(),
    })
}

fn kind(asked: LinuxDeviceType) -> Option<DeviceKind> {
    match asked {
        LinuxDeviceType::A => None,
        LinuxDeviceType::B => Some(DeviceKind::Block),
        LinuxDeviceType::C | LinuxDeviceType::U => Some(DeviceKind::Character),
        LinuxDeviceType::P => Some(DeviceKind::Fifo),
    }
}

/// The rules after those that every container has: all is denied but the default devices.
fn device_rules(asked: Option<&Vec<LinuxDeviceCgroup>>) -> anyhow::Result<Vec<DeviceRule>> {
    let rules = asked.into_iter().flatten().map(device_rule).collect::<anyhow::Result<Vec<_>>>()?;
    let denies_all = |rule: &DeviceRule| {
        let all = DeviceAccess { read: true, write: true, mknod: true };
        *rule == DeviceRule { allow: false, kind: None, major: None, minor: None, access: all }
    };
    Ok(rules.into_iter().skip_while(denies_all).collect())
}

fn device_rule(asked: &LinuxDeviceCgroup) -> anyhow::Result<DeviceRule> {
    let mut access = DeviceAccess::default();
    for letter in asked.access().as_deref().unwrap_or("rwm").chars() {
        match letter {
            'r' => access.read = true,
            'w' => access.write = true,
            'm' => access.mknod = true,
            other => bail!("`{other}` is no access to a device"),
        }
    }
    let number = |number: Option<i64>| {
        number.filter(|number| *number != -1).map(u32::try_from).transpose().context("a device number")
    };
    Ok(DeviceRule {
        allow: asked.allow(),
        kind: asked.typ().and_then(kind),
        major: number(asked.major())?,
        minor: number(asked.minor())?,
        access,
    })
}

fn propagation(asked: &str) -> anyhow::Result<Propagation> {
    Ok(match asked {
        "" | "private" | "rprivate" => Propagation::Private,
        "slave" | "rslave" => Propagation::Slave,
        "shared" | "rshared" => Propagation::Shared,
        "unbindable" | "runbindable" => Propagation::Unbindable,
        other => bail!("`linux.rootfsPropagation` {other:?} is not supported"),
    })
}

fn personality(asked: &LinuxPersonality) -> anyhow::Result<Personality> {
    let flags = asked.flags().as_ref().is_some_and(|flags| !flags.is_empty());
    super::refuse(&[("linux.personality.flags", flags)])?;
    Ok(match asked.domain() {
        LinuxPersonalityDomain::PerLinux => Personality::Linux,
        LinuxPersonalityDomain::PerLinux32 => Personality::Linux32,
    })
}

fn cgroups_path(asked: Option<&Path>) -> anyhow::Result<Option<CgroupsPath>> {
    let asked = asked.filter(|path| !path.as_os_str().is_empty());
    asked.map(|path| Ok(path.to_str().context("not UTF-8")?.parse()?)).transpose()
}

fn hooks(spec: &Spec) -> anyhow::Result<Hooks> {
    let Some(asked) = spec.hooks() else { return Ok(Hooks::default()) };
    // As with runc, what runs in the place of the program has its environment when none is given.
    let env = spec.process().as_ref().and_then(|process| process.env().clone()).unwrap_or_default();
    let list = |asked: &Option<Vec<AskedHook>>, env: &[String]| {
        asked.iter().flatten().map(|asked| hook(asked, env)).collect::<anyhow::Result<_>>()
    };
    Ok(Hooks {
        create_container: list(asked.create_container(), &[])?,
        start_container: list(asked.start_container(), &env)?,
    })
}

/// A hook; `env` is its environment when it names none.
fn hook(asked: &AskedHook, env: &[String]) -> anyhow::Result<Hook> {
    let path = super::path(asked.path())?;
    let timeout = asked.timeout().map(u32::try_from).transpose().context("`timeout`")?;
    Ok(Hook {
        args: asked.args().clone().unwrap_or_else(|| vec![path.to_string()]),
        path,
        env: asked.env().clone().unwrap_or_else(|| env.to_vec()),
        timeout_s: timeout,
    })
}
