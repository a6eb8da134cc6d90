//! Processes.

use anyhow::{Context as _, bail};
use oci_spec::runtime::{
    Capabilities, ExecCPUAffinity, IOPriorityClass, LinuxIOPriority, LinuxSchedulerFlag,
    LinuxSchedulerPolicy, Process, Scheduler,
};
use policy_engine::request::linux::{
    CpuAffinity, IoPriority, IoPriorityClass, ProcessSettings, SchedulerFlag, SchedulerPolicy,
    SchedulerSettings,
};
use policy_engine::request::{CapabilitySets, IndexList, ProcessSpec, Rlimit, TerminalSize, User};

/// A process, as `process` of a configuration has it.
pub(crate) fn process(asked: &Process) -> anyhow::Result<ProcessSpec> {
    super::refuse(&[("commandLine", asked.command_line().is_some())])?;
    let user = asked.user();
    let score = asked.oom_score_adj().map(i16::try_from).transpose().context("`oomScoreAdj`")?;
    let umask = match user.umask() {
        Some(umask) => u16::try_from(umask).context("`user.umask`")?,
        None => own_umask()?,
    };
    Ok(ProcessSpec {
        args: asked.args().clone().unwrap_or_default(),
        env: asked.env().clone().unwrap_or_default(),
        cwd: super::path(asked.cwd()).context("`cwd`")?,
        user: User {
            uid: user.uid(),
            gid: user.gid(),
            additional_gids: user.additional_gids().clone().unwrap_or_default(),
            user_name: String::new(),
            group_names: Vec::new(),
        },
        umask,
        capabilities: asked.capabilities().as_ref().map(capabilities).unwrap_or_default(),
        no_new_privileges: asked.no_new_privileges().unwrap_or_default(),
        rlimits: asked.rlimits().iter().flatten().map(rlimit).collect(),
        terminal: terminal(asked)?,
        oom_score_adj: score,
        settings: ProcessSettings {
            apparmor_profile: asked.apparmor_profile().clone().filter(|profile| !profile.is_empty()),
            selinux_label: asked.selinux_label().clone().filter(|label| !label.is_empty()),
            io_priority: asked.io_priority().as_ref().map(io_priority).transpose().context("`ioPriority`")?,
            scheduler: asked.scheduler().as_ref().map(scheduler).transpose().context("`scheduler`")?,
            cpu_affinity: affinity(asked.exec_cpu_affinity().as_ref()).context("`execCPUAffinity`")?,
        },
    })
}

/// The mask of this process, which a process keeps that names none.
fn own_umask() -> anyhow::Result<u16> {
    let status = std::fs::read_to_string("/proc/self/status").context("the umask cannot be read")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:")).context("there is no umask")?;
    Ok(u16::from_str_radix(mask.trim(), 8)?)
}

fn terminal(asked: &Process) -> anyhow::Result<Option<TerminalSize>> {
    if !asked.terminal().unwrap_or_default() {
        return Ok(None);
    }
    let Some(size) = asked.console_size() else { return Ok(Some(TerminalSize::default())) };
    let number = |value: u64| u16::try_from(value).context("`consoleSize`");
    Ok(Some(TerminalSize { rows: number(size.height())?, columns: number(size.width())? }))
}

fn capabilities(asked: &oci_spec::runtime::LinuxCapabilities) -> CapabilitySets {
    let names = |set: &Option<Capabilities>| {
        let mut names: Vec<String> = set.iter().flatten().map(|name| format!("CAP_{name}")).collect();
        names.sort();
        names
    };
    CapabilitySets {
        bounding: names(asked.bounding()),
        effective: names(asked.effective()),
        inheritable: names(asked.inheritable()),
        permitted: names(asked.permitted()),
        ambient: names(asked.ambient()),
    }
}

fn rlimit(asked: &oci_spec::runtime::PosixRlimit) -> Rlimit {
    Rlimit { kind: asked.typ().to_string(), soft: asked.soft(), hard: asked.hard() }
}

fn io_priority(asked: &LinuxIOPriority) -> anyhow::Result<IoPriority> {
    let class = match asked.class() {
        IOPriorityClass::IoprioClassRt => IoPriorityClass::RealTime,
        IOPriorityClass::IoprioClassBe => IoPriorityClass::BestEffort,
        IOPriorityClass::IoprioClassIdle => IoPriorityClass::Idle,
    };
    Ok(IoPriority { class, priority: u8::try_from(asked.priority())? })
}

fn scheduler(asked: &Scheduler) -> anyhow::Result<SchedulerSettings> {
    let policy = match asked.policy() {
        LinuxSchedulerPolicy::SchedOther => SchedulerPolicy::Other,
        LinuxSchedulerPolicy::SchedFifo => SchedulerPolicy::Fifo,
        LinuxSchedulerPolicy::SchedRr => SchedulerPolicy::Rr,
        LinuxSchedulerPolicy::SchedBatch => SchedulerPolicy::Batch,
        LinuxSchedulerPolicy::SchedIso => SchedulerPolicy::Iso,
        LinuxSchedulerPolicy::SchedIdle => SchedulerPolicy::Idle,
        LinuxSchedulerPolicy::SchedDeadline => SchedulerPolicy::Deadline,
    };
    let flag = |flag: &LinuxSchedulerFlag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => SchedulerFlag::ResetOnFork,
        LinuxSchedulerFlag::SchedFlagReclaim => SchedulerFlag::Reclaim,
        LinuxSchedulerFlag::SchedFlagDLOverrun => SchedulerFlag::DlOverrun,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => SchedulerFlag::KeepPolicy,
        LinuxSchedulerFlag::SchedFlagKeepParams => SchedulerFlag::KeepParams,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => SchedulerFlag::UtilClampMin,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => SchedulerFlag::UtilClampMax,
    };
    Ok(SchedulerSettings {
        policy,
        nice: i8::try_from(asked.nice().unwrap_or_default()).context("`nice`")?,
        priority: u8::try_from(asked.priority().unwrap_or_default()).context("`priority`")?,
        flags: asked.flags().iter().flatten().map(flag).collect(),
        runtime_ns: asked.runtime().unwrap_or_default(),
        deadline_ns: asked.deadline().unwrap_or_default(),
        period_ns: asked.period().unwrap_or_default(),
    })
}

fn affinity(asked: Option<&ExecCPUAffinity>) -> anyhow::Result<CpuAffinity> {
    let Some(asked) = asked else { return Ok(CpuAffinity::default()) };
    let list = |text: &Option<String>| match text.as_deref().map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) => match text.replace(' ', "").parse::<IndexList>() {
            Ok(list) => Ok(Some(list)),
            Err(error) => bail!("{text:?} is {error}"),
        },
    };
    Ok(CpuAffinity { initial: list(asked.initial())?, last: list(asked.cpu_affinity_final())? })
}
