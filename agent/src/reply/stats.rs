//! Statistics in Kata's message, which has the shape of cgroup v1.

use executor::cgroup::{HugepageStats, IoStats, Stats};
use proto::kata::agent::{
    BlkioStats, BlkioStatsEntry, CgroupStats, CpuStats, CpuUsage, HugetlbStats, MemoryData, MemoryStats,
    PidsStats, StatsContainerResponse, ThrottlingData,
};

/// Kata's CPU times are in nanoseconds.
const NS_PER_US: u64 = 1000;

/// The answer to `StatsContainer`.
pub(crate) fn stats_response(stats: &Stats) -> StatsContainerResponse {
    let cgroup = CgroupStats {
        cpu_stats: Some(cpu(stats)).into(),
        memory_stats: Some(memory(stats)).into(),
        pids_stats: Some(pids(stats)).into(),
        blkio_stats: Some(block_io(stats)).into(),
        hugetlb_stats: stats.hugepages.iter().map(hugepages).collect(),
        ..Default::default()
    };
    StatsContainerResponse { cgroup_stats: Some(cgroup).into(), ..Default::default() }
}

fn cpu(stats: &Stats) -> CpuStats {
    let ns = |us: u64| us.saturating_mul(NS_PER_US);
    CpuStats {
        cpu_usage: Some(CpuUsage {
            total_usage: ns(stats.cpu.usage_us),
            percpu_usage: stats.cpu.per_cpu_ns.clone(),
            usage_in_usermode: ns(stats.cpu.user_us),
            usage_in_kernelmode: ns(stats.cpu.system_us),
            ..Default::default()
        })
        .into(),
        throttling_data: Some(ThrottlingData {
            periods: stats.cpu.periods,
            throttled_periods: stats.cpu.throttled_periods,
            throttled_time: ns(stats.cpu.throttled_us),
            ..Default::default()
        })
        .into(),
        ..Default::default()
    }
}

fn memory(stats: &Stats) -> MemoryStats {
    let Some(memory) = &stats.memory else { return MemoryStats::default() };
    MemoryStats {
        cache: memory.details.get("file").copied().unwrap_or(0),
        usage: Some(MemoryData {
            usage: memory.usage_bytes,
            max_usage: memory.peak_bytes,
            failcnt: memory.limit_hits,
            // cgroup v1 writes "no limit" as the largest number.
            limit: memory.limit_bytes.unwrap_or(u64::MAX),
            ..Default::default()
        })
        .into(),
        swap_usage: Some(MemoryData {
            usage: memory.swap_bytes,
            limit: memory.swap_limit_bytes.unwrap_or(u64::MAX),
            ..Default::default()
        })
        .into(),
        kernel_usage: Some(MemoryData { usage: memory.kernel_bytes, ..Default::default() }).into(),
        use_hierarchy: true,
        stats: memory.details.clone(),
        ..Default::default()
    }
}

fn pids(stats: &Stats) -> PidsStats {
    let Some(pids) = &stats.pids else { return PidsStats::default() };
    PidsStats { current: pids.current, limit: pids.limit.unwrap_or(0), ..Default::default() }
}

fn hugepages(pages: &HugepageStats) -> (String, HugetlbStats) {
    let stats = HugetlbStats {
        usage: pages.usage_bytes,
        max_usage: pages.peak_bytes,
        failcnt: pages.limit_hits,
        ..Default::default()
    };
    (pages.page_size.clone(), stats)
}

fn block_io(stats: &Stats) -> BlkioStats {
    let entry = |major, minor, op: &str, value| BlkioStatsEntry {
        major,
        minor,
        op: op.to_owned(),
        value,
        ..Default::default()
    };
    let by_operation = |of: fn(&IoStats) -> [(&'static str, u64); 3]| {
        let entries = stats.io.iter().flat_map(move |device| {
            of(device).map(|(operation, value)| entry(device.major, device.minor, operation, value))
        });
        entries.collect::<Vec<_>>()
    };
    BlkioStats {
        io_service_bytes_recursive: by_operation(|device| {
            [
                ("Read", device.read_bytes),
                ("Write", device.written_bytes),
                ("Discard", device.discarded_bytes),
            ]
        }),
        io_serviced_recursive: by_operation(|device| {
            [("Read", device.reads), ("Write", device.writes), ("Discard", device.discards)]
        }),
        ..Default::default()
    }
}
