//! Measurements of a container.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

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
}

/// CPU time (`cpu.stat`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuStats {
    /// In total, in microseconds.
    pub usage_us: u64,
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
}

/// Reads what there is, of each controller where it is.
pub(super) fn read(cgroup: &Cgroup) -> Stats {
    let unified = Files(cgroup.path.clone());
    let legacy = |controller| cgroup.legacy(controller).map(Files);
    let mut cpu = unified.text("cpu.stat").map(|text| cpu(&text)).unwrap_or_default();
    if let Some(files) = legacy("cpu") {
        files.add_throttling(&mut cpu);
    }
    Stats {
        cpu,
        memory: unified.memory().or_else(|| legacy("memory")?.legacy_memory()),
        pids: unified.pids().or_else(|| legacy("pids")?.pids()),
        io: unified.text("io.stat").map(|text| text.lines().filter_map(io).collect()).unwrap_or_default(),
    }
}

/// The files of one directory.
struct Files(PathBuf);

impl Files {
    fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.0.join(file)).ok()
    }

    fn number(&self, file: &str) -> Option<u64> {
        self.text(file)?.trim().parse().ok()
    }

    fn flat(&self, file: &str) -> BTreeMap<String, u64> {
        self.text(file).map(|text| flat(&text)).unwrap_or_default()
    }

    fn pids(&self) -> Option<PidsStats> {
        let current = self.number("pids.current")?;
        Some(PidsStats { current, limit: self.number("pids.max") })
    }

    fn memory(&self) -> Option<MemoryStats> {
        let usage_bytes = self.number("memory.current")?;
        let mut events = self.flat("memory.events");
        Some(MemoryStats {
            usage_bytes,
            peak_bytes: self.number("memory.peak").unwrap_or(usage_bytes),
            limit_bytes: self.number("memory.max"),
            limit_hits: events.remove("max").unwrap_or_default(),
            oom_kills: events.remove("oom_kill").unwrap_or_default(),
            swap_bytes: self.number("memory.swap.current").unwrap_or_default(),
            details: self.flat("memory.stat"),
        })
    }

    fn legacy_memory(&self) -> Option<MemoryStats> {
        let usage_bytes = self.number("memory.usage_in_bytes")?;
        let mut details = self.flat("memory.stat");
        Some(MemoryStats {
            usage_bytes,
            peak_bytes: self.number("memory.max_usage_in_bytes").unwrap_or(usage_bytes),
            limit_bytes: self.number("memory.limit_in_bytes").filter(|limit| *limit < LEGACY_UNLIMITED),
            limit_hits: self.number("memory.failcnt").unwrap_or_default(),
            oom_kills: self.flat("memory.oom_control").remove("oom_kill").unwrap_or_default(),
            swap_bytes: details.get("swap").copied().unwrap_or_default(),
            // By the name that version 2 has for it.
            details: {
                let cache = details.get("cache").copied();
                details.extend(cache.map(|bytes| ("file".to_owned(), bytes)));
                details
            },
        })
    }

    fn add_throttling(&self, cpu: &mut CpuStats) {
        let numbers = self.flat("cpu.stat");
        let number = |key: &str| numbers.get(key).copied().unwrap_or_default();
        cpu.periods = number("nr_periods");
        cpu.throttled_periods = number("nr_throttled");
        cpu.throttled_us = number("throttled_time").checked_div(1000).unwrap_or_default();
    }
}

/// From here on a limit of version 1 is none: the most pages that it can count, on any architecture.
const LEGACY_UNLIMITED: u64 = 1 << 62;

/// The numbers of a flat keyed file.
pub(super) fn flat(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

fn cpu(text: &str) -> CpuStats {
    let numbers = flat(text);
    let number = |key: &str| numbers.get(key).copied().unwrap_or_default();
    CpuStats {
        usage_us: number("usage_usec"),
        user_us: number("user_usec"),
        system_us: number("system_usec"),
        periods: number("nr_periods"),
        throttled_periods: number("nr_throttled"),
        throttled_us: number("throttled_usec"),
    }
}

fn io(line: &str) -> Option<IoStats> {
    let (device, numbers) = line.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    let mut stats = IoStats { major: major.parse().ok()?, minor: minor.parse().ok()?, ..IoStats::default() };
    for (key, value) in numbers.split(' ').filter_map(|pair| pair.split_once('=')) {
        let value = value.parse().ok()?;
        match key {
            "rbytes" => stats.read_bytes = value,
            "wbytes" => stats.written_bytes = value,
            "rios" => stats.reads = value,
            "wios" => stats.writes = value,
            _ => {}
        }
    }
    Some(stats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let stats = cpu("usage_usec 12\nuser_usec 8\nsystem_usec 4\nnr_throttled 1\nsome.other x\n");
        assert_eq!((stats.usage_us, stats.user_us, stats.system_us, stats.throttled_periods), (12, 8, 4, 1));
        let device = io("254:16 rbytes=4096 wbytes=1 rios=2 wios=3 dbytes=0 dios=0").unwrap();
        assert_eq!((device.major, device.minor, device.read_bytes, device.writes), (254, 16, 4096, 3));
        assert_eq!(io("garbage"), None);
    }
}
