//! Settings of a process beyond those that a CCE policy judges.

use serde::Serialize;

use super::super::IndexList;

/// Settings of a process; by default it has those of the guest's own processes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessSettings {
    /// AppArmor profile that its program gets.
    pub apparmor_profile: Option<String>,
    /// SELinux label that its program gets.
    pub selinux_label: Option<String>,
    /// I/O priority.
    pub io_priority: Option<IoPriority>,
    /// CPU scheduling.
    pub scheduler: Option<SchedulerSettings>,
    /// The CPUs that an executed process may run on.
    pub cpu_affinity: CpuAffinity,
}

/// Classes of `ioprio_set(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the kernel's names, ioprio_set(2)")]
pub enum IoPriorityClass {
    #[serde(rename = "IOPRIO_CLASS_RT")]
    RealTime,
    #[serde(rename = "IOPRIO_CLASS_BE")]
    BestEffort,
    #[serde(rename = "IOPRIO_CLASS_IDLE")]
    Idle,
}

/// I/O priority of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct IoPriority {
    /// Its class.
    pub class: IoPriorityClass,
    /// Its place in the class, 0 (first) to 7.
    pub priority: u8,
}

/// Policies of `sched(7)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the kernel's names without `SCHED_`, sched(7)")]
pub enum SchedulerPolicy {
    Other,
    Fifo,
    Rr,
    Batch,
    Iso,
    Idle,
    Deadline,
}

/// Flags of `sched_setattr(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the kernel's names without `SCHED_FLAG_`, sched_setattr(2)")]
pub enum SchedulerFlag {
    ResetOnFork,
    Reclaim,
    DlOverrun,
    KeepPolicy,
    KeepParams,
    UtilClampMin,
    UtilClampMax,
}

/// CPU scheduling of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SchedulerSettings {
    /// The policy.
    pub policy: SchedulerPolicy,
    /// For `Other` and `Batch`: -20 (first) to 19.
    pub nice: i8,
    /// For `Fifo` and `Rr`: 1 to 99 (first).
    pub priority: u8,
    /// Flags.
    pub flags: Vec<SchedulerFlag>,
    /// For `Deadline`, in nanoseconds: how long it runs in each period.
    pub runtime_ns: u64,
    /// For `Deadline`, in nanoseconds: by when it has run in each period.
    pub deadline_ns: u64,
    /// For `Deadline`, in nanoseconds.
    pub period_ns: u64,
}

/// The CPUs that a process may run on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CpuAffinity {
    /// From its birth, before it enters the container's cgroup.
    pub initial: Option<IndexList>,
    /// Once it is in the container's cgroup.
    #[serde(rename = "final")]
    pub last: Option<IndexList>,
}
