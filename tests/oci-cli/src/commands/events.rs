//! `events`: statistics, and processes that were killed for want of memory.

use std::process::ExitCode;
use std::time::Duration;

use executor::cgroup::{IoStats, Pressure, Stats, Waiting};
use executor::container::Container;
use policy_engine::request::GetProperties;
use serde_json::{Value as Json, json};

use crate::guest::Guest;
use crate::options::Events;
use crate::state::Directory;

pub(crate) fn run(directory: &Directory, args: &Events) -> anyhow::Result<ExitCode> {
    let entry = directory.open(&args.id)?;
    let guest = Guest::new()?;
    let container = guest.take_over_living(&entry)?;
    if args.stats {
        tell(&guest, &container)?;
        return Ok(ExitCode::SUCCESS);
    }
    guest.runtime.block_on(async {
        let mut oom = container.watch_oom()?;
        let mut clock = tokio::time::interval(Duration::from_secs(args.interval));
        loop {
            tokio::select! {
                _ = container.init().wait() => return Ok(ExitCode::SUCCESS),
                killed = oom.next() => match killed {
                    Some(()) => println!("{}", json!({"type": "oom", "id": args.id})),
                    None => return Ok(ExitCode::SUCCESS),
                },
                _ = clock.tick() => tell(&guest, &container)?,
            }
        }
    })
}

fn tell(guest: &Guest, container: &Container) -> anyhow::Result<()> {
    let grant = guest.engine.inspect(GetProperties { container_id: container.id().clone() })?;
    let data = statistics(&container.stats(&grant)?);
    println!("{}", json!({"type": "stats", "id": container.id().as_str(), "data": data}));
    Ok(())
}

/// Microseconds to nanoseconds.
fn nanoseconds(microseconds: u64) -> u64 {
    microseconds.saturating_mul(1000)
}

/// In the form that engines know from `runc`.
fn statistics(stats: &Stats) -> Json {
    let cpu = &stats.cpu;
    let memory = stats.memory.as_ref().map(|memory| {
        json!({
            "cache": memory.details.get("file").copied().unwrap_or_default(),
            "usage": {
                "limit": memory.limit_bytes.unwrap_or(u64::MAX), "usage": memory.usage_bytes,
                "max": memory.peak_bytes, "failcnt": memory.limit_hits,
            },
            "swap": {"usage": memory.swap_bytes, "limit": memory.swap_limit_bytes.unwrap_or(u64::MAX)},
            "kernel": {"usage": memory.kernel_bytes},
            "raw": memory.details,
            "oomKills": memory.oom_kills,
            "psi": stats.pressure.memory.as_ref().map(pressure),
        })
    });
    let pids =
        stats.pids.map(|pids| json!({"current": pids.current, "limit": pids.limit.unwrap_or_default()}));
    let hugepages = stats.hugepages.iter().map(|pages| {
        let numbers =
            json!({"usage": pages.usage_bytes, "max": pages.peak_bytes, "failcnt": pages.limit_hits});
        (pages.page_size.clone(), numbers)
    });
    json!({
        "cpu": {
            "usage": {
                "total": nanoseconds(cpu.usage_us), "user": nanoseconds(cpu.user_us),
                "kernel": nanoseconds(cpu.system_us), "percpu": cpu.per_cpu_ns,
            },
            "throttling": {
                "periods": cpu.periods, "throttledPeriods": cpu.throttled_periods,
                "throttledTime": nanoseconds(cpu.throttled_us),
            },
            "psi": stats.pressure.cpu.as_ref().map(pressure),
        },
        "memory": memory,
        "pids": pids,
        "blkio": {
            "ioServiceBytesRecursive": by_operation(stats, |device| {
                [("Read", device.read_bytes), ("Write", device.written_bytes), ("Discard", device.discarded_bytes)]
            }),
            "ioServicedRecursive": by_operation(stats, |device| {
                [("Read", device.reads), ("Write", device.writes), ("Discard", device.discards)]
            }),
            "psi": stats.pressure.io.as_ref().map(pressure),
        },
        "hugetlb": Json::Object(hugepages.collect()),
    })
}

fn by_operation(stats: &Stats, of: fn(&IoStats) -> [(&'static str, u64); 3]) -> Vec<Json> {
    let entries = stats.io.iter().flat_map(|device| {
        of(device).map(|(operation, value)| {
            json!({"major": device.major, "minor": device.minor, "op": operation, "value": value})
        })
    });
    entries.collect()
}

fn pressure(pressure: &Pressure) -> Json {
    let waiting = |waiting: Waiting| {
        let percent = |hundredths: u32| f64::from(hundredths) / 100.0;
        json!({
            "avg10": percent(waiting.of_10_s), "avg60": percent(waiting.of_60_s),
            "avg300": percent(waiting.of_300_s), "total": waiting.total_us,
        })
    };
    json!({"some": waiting(pressure.some), "full": waiting(pressure.full)})
}
