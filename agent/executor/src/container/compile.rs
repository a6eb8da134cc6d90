//! Turns requests into plans: everything of the host's is parsed here, before a process exists.

use policy_engine::request::linux::{MountSet, Propagation};
use policy_engine::request::{CreateContainer, ProcessSpec};
use rustix::thread::CapabilitySet;

use super::devices::{self, DeviceError};
use super::mounts::{self, MountError, Mounts, Source};
use super::namespaces::{self, Files, JoinedNamespace, NamespaceError};
use super::plan::{
    CapabilityBits, MountKind, MountPlan, ProcessPlan, RlimitKind, RlimitPlan, RootPlan, Spreading,
};
use super::seccomp::{self, SeccompError};
use super::settings;
use super::sysctls::{self, SysctlError};
use super::{CreateOptions, hooks};

/// Why a request cannot be carried out by any kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is nothing to execute.
    #[error("the argument list is empty")]
    NoArguments,
    /// A NUL would cut the text short: another argument than the one that was judged.
    #[error("an argument or environment entry has a NUL byte")]
    Nul,
    /// No capability of Linux.
    #[error("`{name}` is not a capability")]
    Capability {
        /// What was given.
        name: String,
    },
    /// No resource limit of Linux.
    #[error("`{kind}` is not a resource limit")]
    Rlimit {
        /// What was given.
        kind: String,
    },
    /// Longer than the kernel's names.
    #[error("a domain name has at most {DOMAINNAME_LENGTH_MAX} bytes")]
    Domainname,
    /// A mask has permission bits only.
    #[error("a umask has at most the bits 0777")]
    Umask,
    /// Beyond what the kernel knows.
    #[error("the OOM score adjustment is not between -1000 and 1000")]
    OomScore,
    /// The end of what a hook of the guest's leaves behind can be made sure of in such a namespace alone.
    #[error("hooks at the creation need a pid namespace of the container's own")]
    HookNamespace,
    /// A hook that may take no time cannot run.
    #[error("the time limit of a hook is zero")]
    HookTimeout,
    /// A label is empty, or a NUL would cut it short.
    #[error("a security label is empty or has a NUL byte")]
    Label,
    /// Beyond what the guest knows.
    #[error("there is no CPU {cpu}")]
    Cpu {
        /// What was given.
        cpu: usize,
    },
    /// Beyond what the kernel knows.
    #[error("the I/O priority is not between 0 and 7")]
    IoPriority,
    /// Beyond what the kernel knows.
    #[error("the nice value is not between -20 and 19")]
    Nice,
    /// The seccomp profile is refused.
    #[error("the seccomp profile cannot be carried out")]
    Seccomp(#[source] SeccompError),
    /// The namespaces are refused.
    #[error("the namespaces are refused")]
    Namespace(#[source] NamespaceError),
    /// A kernel parameter is refused.
    #[error("the kernel parameter `{name}` is refused")]
    Sysctl {
        /// Its name, as it was given.
        name: String,
        /// Why.
        #[source]
        source: SysctlError,
    },
    /// A device node is refused.
    #[error("the device node `{path}` is refused")]
    Device {
        /// Where it was to be.
        path: String,
        /// Why.
        #[source]
        source: DeviceError,
    },
    /// A mount is refused.
    #[error("the mount at `{destination}` is refused")]
    Mount {
        /// Where it was to be.
        destination: String,
        /// Why.
        #[source]
        source: MountError,
    },
}

/// `__NEW_UTS_LEN` of `linux/utsname.h`.
const DOMAINNAME_LENGTH_MAX: usize = 64;

/// Paths that are hidden from every confined container that is not privileged: what tells of, or reaches, the guest.
const MASKED_PATHS: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Paths that are read-only in every confined container that is not privileged: writing there changes the guest.
const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What a container is made of: a plan, and what is opened for it.
pub(super) struct Compiled {
    pub(super) plan: RootPlan,
    pub(super) joined: Vec<JoinedNamespace>,
    pub(super) sources: Vec<Source>,
}

/// The plan of a container.
pub(super) fn root(request: &CreateContainer, options: &CreateOptions) -> Result<Compiled, PlanError> {
    let linux = &request.linux;
    let (namespaces, joined) = namespaces::compile(request).map_err(PlanError::Namespace)?;
    if linux.domainname.as_ref().is_some_and(|name| name.len() > DOMAINNAME_LENGTH_MAX) {
        return Err(PlanError::Domainname);
    }
    let sysctls = sysctls::compile(&linux.sysctls, &linux.namespaces)
        .map_err(|(name, source)| PlanError::Sysctl { name, source })?;
    // Among another's files everything is as the other has it.
    let own_files = namespaces.files != Files::Joined;
    let mounts = if own_files {
        mounts::compile(request, &options.extra_mounts)
            .map_err(|(destination, source)| PlanError::Mount { destination, source })?
    } else {
        Mounts::default()
    };
    let devices = devices::compile(&linux.devices, &mounts, linux.mounts)
        .and_then(|devices| devices::map_owners(devices, &linux.namespaces))
        .map_err(|(path, source)| PlanError::Device { path, source })?;
    let own_paths = own_files && !request.privileged && linux.mounts == MountSet::Confined;
    let paths = |own: &[&str], asked: &[policy_engine::GuestPath]| {
        let own = own.iter().filter(|_| own_paths).map(|&path| path.to_owned());
        own.chain(asked.iter().map(ToString::to_string)).collect()
    };
    let shows_cgroups = |mount: &MountPlan| matches!(mount.what, MountKind::Hierarchies { .. });
    let plan = RootPlan {
        awaits_cgroups: mounts.plans.iter().any(shows_cgroups),
        namespaces,
        hostname: request.hostname.as_ref().map(|hostname| hostname.as_str().to_owned()),
        domainname: linux.domainname.clone(),
        sysctls,
        mounts: mounts.plans,
        devices,
        masked_paths: paths(&MASKED_PATHS, &request.masked_paths),
        readonly_paths: paths(&READONLY_PATHS, &request.readonly_paths),
        readonly_rootfs: request.readonly_rootfs,
        stops_before_pivot: options.before_pivot.is_some(),
        hooks: hooks::compile(request, options)?,
        propagation: match linux.rootfs_propagation {
            Propagation::Private => Spreading::Private,
            Propagation::Slave => Spreading::Slave,
            Propagation::Shared => Spreading::Shared,
            Propagation::Unbindable => Spreading::Unbindable,
        },
    };
    Ok(Compiled { plan, joined, sources: mounts.sources })
}

/// The plan of a process of `container`. `extra_env` comes after what was judged; `terminal` as asked for, if there is
/// anyone to serve it; `listened` is whether there is anyone to take system calls over.
pub(super) fn process(
    spec: &ProcessSpec,
    extra_env: &[String],
    container: &CreateContainer,
    listened: bool,
) -> Result<ProcessPlan, PlanError> {
    if spec.args.is_empty() {
        return Err(PlanError::NoArguments);
    }
    if spec.args.iter().chain(&spec.env).chain(extra_env).any(|text| text.contains('\0')) {
        return Err(PlanError::Nul);
    }
    if spec.umask > 0o777 {
        return Err(PlanError::Umask);
    }
    if spec.oom_score_adj.is_some_and(|score| !(-1000..=1000).contains(&score)) {
        return Err(PlanError::OomScore);
    }
    namespaces::check_process(&container.linux.namespaces, spec).map_err(PlanError::Namespace)?;
    let rlimit = |limit: &policy_engine::request::Rlimit| {
        let kind = rlimit_kind(&limit.kind).ok_or_else(|| PlanError::Rlimit { kind: limit.kind.clone() })?;
        let value = |value: u64| (value != u64::MAX).then_some(value);
        Ok(RlimitPlan { kind, soft: value(limit.soft), hard: value(limit.hard) })
    };
    let profile = container.seccomp.as_ref();
    let listened = listened && container.linux.seccomp_notify;
    let compile_filter = |profile| seccomp::compile(profile, listened);
    Ok(ProcessPlan {
        args: spec.args.clone(),
        env: spec.env.iter().chain(extra_env).cloned().collect(),
        cwd: spec.cwd.as_str().to_owned(),
        uid: spec.user.uid,
        gid: spec.user.gid,
        groups: spec.user.additional_gids.clone(),
        umask: spec.umask,
        capabilities: CapabilityBits {
            bounding: capability_bits(&spec.capabilities.bounding)?,
            effective: capability_bits(&spec.capabilities.effective)?,
            inheritable: capability_bits(&spec.capabilities.inheritable)?,
            permitted: capability_bits(&spec.capabilities.permitted)?,
            ambient: capability_bits(&spec.capabilities.ambient)?,
        },
        no_new_privileges: spec.no_new_privileges,
        in_user_namespace: false,
        rlimits: spec.rlimits.iter().map(rlimit).collect::<Result<_, _>>()?,
        // Whoever gives descriptors says where.
        further: Vec::new(),
        terminal: spec
            .terminal
            .filter(|_| container.allow_stdio_access)
            .map(|size| (size.rows, size.columns)),
        oom_score_adj: spec.oom_score_adj,
        settings: settings::compile(&spec.settings, container.linux.personality)?,
        seccomp: profile.map(compile_filter).transpose().map_err(PlanError::Seccomp)?,
    })
}

fn capability_bits(names: &[String]) -> Result<u64, PlanError> {
    names.iter().try_fold(0, |bits, name| {
        let capability = name.strip_prefix("CAP_").and_then(CapabilitySet::from_name);
        let capability = capability.ok_or_else(|| PlanError::Capability { name: name.clone() })?;
        Ok(bits | capability.bits())
    })
}

fn rlimit_kind(name: &str) -> Option<RlimitKind> {
    Some(match name.strip_prefix("RLIMIT_")? {
        "AS" => RlimitKind::As,
        "CORE" => RlimitKind::Core,
        "CPU" => RlimitKind::Cpu,
        "DATA" => RlimitKind::Data,
        "FSIZE" => RlimitKind::Fsize,
        "LOCKS" => RlimitKind::Locks,
        "MEMLOCK" => RlimitKind::Memlock,
        "MSGQUEUE" => RlimitKind::Msgqueue,
        "NICE" => RlimitKind::Nice,
        "NOFILE" => RlimitKind::Nofile,
        "NPROC" => RlimitKind::Nproc,
        "RSS" => RlimitKind::Rss,
        "RTPRIO" => RlimitKind::Rtprio,
        "RTTIME" => RlimitKind::Rttime,
        "SIGPENDING" => RlimitKind::Sigpending,
        "STACK" => RlimitKind::Stack,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use policy_engine::request::linux::{LinuxSettings, ProcessSettings};
    use policy_engine::request::{CapabilitySets, ContainerKind, Resources, Rlimit, User};

    use super::*;

    fn container(allow_stdio_access: bool) -> CreateContainer {
        CreateContainer {
            container_id: "c1".parse().unwrap(),
            kind: ContainerKind::Workload,
            process: spec(),
            rootfs: "/root".parse().unwrap(),
            readonly_rootfs: false,
            mounts: Vec::new(),
            privileged: false,
            hostname: None,
            masked_paths: Vec::new(),
            readonly_paths: Vec::new(),
            resources: Resources::default(),
            seccomp: None,
            linux: LinuxSettings::default(),
            allow_stdio_access,
        }
    }

    fn spec() -> ProcessSpec {
        ProcessSpec {
            args: vec!["/bin/true".to_owned()],
            env: vec!["A= padded ".to_owned()],
            cwd: "/".parse().unwrap(),
            user: User::default(),
            umask: 0o022,
            capabilities: CapabilitySets::default(),
            no_new_privileges: true,
            rlimits: Vec::new(),
            terminal: Some(Default::default()),
            oom_score_adj: None,
            settings: ProcessSettings::default(),
        }
    }

    #[test]
    fn what_was_judged_is_what_is_planned() {
        let plan = process(&spec(), &["B=2".to_owned()], &container(true), false).unwrap();
        assert_eq!(plan.env, ["A= padded ", "B=2"]);
        assert_eq!(plan.terminal, Some((0, 0)));
        assert_eq!(plan.capabilities, CapabilityBits::default());
        assert_eq!(process(&spec(), &[], &container(false), false).unwrap().terminal, None);
    }

    #[test]
    fn names_become_the_kernels_numbers() {
        let mut spec = spec();
        spec.capabilities.bounding = vec!["CAP_CHOWN".to_owned(), "CAP_CHECKPOINT_RESTORE".to_owned()];
        spec.rlimits = vec![Rlimit { kind: "RLIMIT_NOFILE".to_owned(), soft: 9, hard: u64::MAX }];
        let plan = process(&spec, &[], &container(true), false).unwrap();
        assert_eq!(plan.capabilities.bounding, 1 | 1 << 40);
        assert_eq!(plan.rlimits, [RlimitPlan { kind: RlimitKind::Nofile, soft: Some(9), hard: None }]);
    }

    #[test]
    fn nonsense_is_refused() {
        let changed = |change: fn(&mut ProcessSpec)| {
            let mut spec = spec();
            change(&mut spec);
            process(&spec, &[], &container(true), false).unwrap_err()
        };
        assert_eq!(changed(|spec| spec.args.clear()), PlanError::NoArguments);
        assert_eq!(changed(|spec| spec.args[0] = "a\0b".to_owned()), PlanError::Nul);
        assert_eq!(changed(|spec| spec.env[0] = "a\0b".to_owned()), PlanError::Nul);
        assert_eq!(changed(|spec| spec.umask = 0o1777), PlanError::Umask);
        assert_eq!(changed(|spec| spec.oom_score_adj = Some(1001)), PlanError::OomScore);
        for name in ["CHOWN", "CAP_", "CAP_ALL", "cap_chown", "CAP_CHOWN | CAP_KILL"] {
            let mut spec = spec();
            spec.capabilities.permitted = vec![name.to_owned()];
            let error = PlanError::Capability { name: name.to_owned() };
            assert_eq!(process(&spec, &[], &container(true), false), Err(error));
        }
    }
}
