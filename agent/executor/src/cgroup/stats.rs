//! Measurements of a container.

mod files;

use std::collections::BTreeMap;

use self::files::Files;
pub(super) use self::files::flat;
use super::Cgroup;

/// What the kernel measures of a container; `None` where it has no such controller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// CPU time; always measured.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: Option<MemoryStats>,
    /// Processes.
    pub pids: Option<PidsStats>,
    /// Block devices.
    pub io: Vec<IoStats>,
    /// Huge pages, by their size.
    pub hugepages: Vec<HugepageStats>,
    /// How long processes had to wait; measured where the kernel does so.
    pub pressure: PressureStats,
}

/// CPU time (`cpu.stat`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuStats {
    /// In total, in microseconds.
    pub usage_us: u64,
    /// By CPU, in nanoseconds; empty in version 2, which does not tell.
    pub per_cpu_ns: Vec<u64>,
    /// In user space, in microseconds.
    pub user_us: u64,
    /// In the kernel, in microseconds.
    pub system_us: u64,
    /// Periods in which there was something to run.
    pub periods: u64,
    /// Periods in which the quota was used up.
    pub throttled_periods: u64,
    /// Time spent throttled, in microseconds.
    pub throttled_us: u64,
}

/// Memory (`memory.current`, `memory.max`, `memory.stat`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// In use, in bytes.
    pub usage_bytes: u64,
    /// The most that was in use, in bytes.
    pub peak_bytes: u64,
    /// The limit, in bytes.
    pub limit_bytes: Option<u64>,
    /// How often the limit was hit.
    pub limit_hits: u64,
    /// How many processes were killed for want of memory.
    pub oom_kills: u64,
    /// Swapped out, in bytes.
    pub swap_bytes: u64,
    /// The most that may be swapped out, in bytes.
    pub swap_limit_bytes: Option<u64>,
    /// Used by the kernel for the container, in bytes.
    pub kernel_bytes: u64,
    /// The kernel's detailed numbers, by its names.
    pub details: BTreeMap<String, u64>,
}

/// Processes (`pids.current`, `pids.max`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PidsStats {
    /// How many there are.
    pub current: u64,
    /// How many there may be.
    pub limit: Option<u64>,
}

/// A block device (a line of `io.stat`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IoStats {
    /// Major number of the device.
    pub major: u64,
    /// Minor number of the device.
    pub minor: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Read operations.
    pub reads: u64,
    /// Write operations.
    pub writes: u64,
    /// Bytes discarded.
    pub discarded_bytes: u64,
    /// Discard operations.
    pub discards: u64,
}

/// Huge pages of one size (`hugetlb.*`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HugepageStats {
    /// The size in the kernel's words: `2MB`.
    pub page_size: String,
    /// In use, in bytes.
    pub usage_bytes: u64,
    /// The most that was in use, in bytes; what is in use where the kernel does not tell.
    pub peak_bytes: u64,
    /// The limit, in bytes.
    pub limit_bytes: Option<u64>,
    /// How often the limit was hit.
    pub limit_hits: u64,
}

/// What processes waited for (`*.pressure`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the kernel's names")]
pub struct PressureStats {
    pub cpu: Option<Pressure>,
    pub memory: Option<Pressure>,
    pub io: Option<Pressure>,
}

/// How long processes waited for something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Some of them.
    pub some: Waiting,
    /// All of them at once.
    pub full: Waiting,
}

/// A part of the time, in hundredths of a percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Of the last ten seconds.
    pub of_10_s: u32,
    /// Of the last minute.
    pub of_60_s: u32,
    /// Of the last five minutes.
    pub of_300_s: u32,
    /// Since the container was made, in microseconds.
    pub total_us: u64,
}

/// Reads what there is, of each controller where it is.
pub(super) fn read(cgroup: &Cgroup) -> Stats {
    let unified = Files(cgroup.path.clone());
    let legacy = |controller| cgroup.legacy(controller).map(Files);
    let mut cpu = unified.cpu();
    if let Some(files) = legacy("cpu") {
        files.add_throttling(&mut cpu);
    }
    if let Some(files) = legacy("cpuacct") {
        cpu.per_cpu_ns = files.per_cpu();
    }
    let io = Some(unified.io()).filter(|found| !found.is_empty());
    let hugepages = Some(unified.hugepages()).filter(|found| !found.is_empty());
    Stats {
        cpu,
        memory: unified.memory().or_else(|| legacy("memory")?.legacy_memory()),
        pids: unified.pids().or_else(|| legacy("pids")?.pids()),
        io: io.or_else(|| Some(legacy("blkio")?.legacy_io())).unwrap_or_default(),
        hugepages: hugepages.or_else(|| Some(legacy("hugetlb")?.legacy_hugepages())).unwrap_or_default(),
        pressure: PressureStats {
            cpu: unified.pressure("cpu.pressure"),
            memory: unified.pressure("memory.pressure"),
            io: unified.pressure("io.pressure"),
        },
    }
}
