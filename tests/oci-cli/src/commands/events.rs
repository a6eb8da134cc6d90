//! `events`: statistics, and processes that were killed for want of memory.

use std::process::ExitCode;
use std::time::Duration;

use executor::cgroup::Stats;
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
    let cpu = stats.cpu;
    let memory = stats.memory.as_ref().map(|memory| {
        let oom_kills = memory.oom_kills;
        json!({
            "usage": {
                "limit": memory.limit_bytes.unwrap_or(u64::MAX), "usage": memory.usage_bytes,
                "max": memory.peak_bytes, "failcnt": memory.limit_hits,
            },
            "swap": {"usage": memory.swap_bytes},
            "raw": memory.details,
            "oomKills": oom_kills,
        })
    });
    let pids =
        stats.pids.map(|pids| json!({"current": pids.current, "limit": pids.limit.unwrap_or_default()}));
    json!({
        "cpu": {
            "usage": {
                "total": nanoseconds(cpu.usage_us), "user": nanoseconds(cpu.user_us),
                "kernel": nanoseconds(cpu.system_us),
            },
            "throttling": {
                "periods": cpu.periods, "throttledPeriods": cpu.throttled_periods,
                "throttledTime": nanoseconds(cpu.throttled_us),
            },
        },
        "memory": memory,
        "pids": pids,
    })
}
