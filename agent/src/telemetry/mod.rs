//! Logs. Every line is born host-visible or guest-only, and the host cannot make the guest write without
//! bound.
//!
//! `tracing` targets carry the mark: [`HOST`] goes to standard error, which is the serial console of a
//! measured guest and so the host's to read; a line of any other target is dropped. Secrets (environment
//! values, keys, stdio) are not written to either.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The target of lines that the host may read.
pub(crate) const HOST: &str = "host";

/// Lines that may be written at once.
const BURST_LINES: u32 = 200;
/// After a burst, one line in this time.
const REFILL_EVERY: Duration = Duration::from_millis(50);

/// Starts to log.
pub(crate) fn start() {
    let budget = Budget::new();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_filter(filter_fn(move |line| line.target() == HOST && budget.spend()));
    // A second subscriber cannot exist: `main` starts the log once.
    let _already_started = tracing_subscriber::registry().with(lines).with(LevelFilter::INFO).try_init();
}

/// Memory of this process that is in RAM, in KiB.
pub(crate) fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim_end().parse().ok()
}

/// How long the kernel has been running, in seconds, as text.
pub(crate) fn uptime_seconds() -> Option<String> {
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    uptime.split_ascii_whitespace().next().map(str::to_owned)
}

/// A token bucket.
struct Budget(Mutex<Bucket>);

struct Bucket {
    lines: u32,
    refilled: Instant,
}

impl Budget {
    fn new() -> Self {
        Self(Mutex::new(Bucket { lines: BURST_LINES, refilled: Instant::now() }))
    }

    fn spend(&self) -> bool {
        self.spend_at(Instant::now())
    }

    fn spend_at(&self, now: Instant) -> bool {
        let Ok(mut bucket) = self.0.lock() else { return false };
        let elapsed_ms = now.saturating_duration_since(bucket.refilled).as_millis();
        let earned = elapsed_ms.checked_div(REFILL_EVERY.as_millis()).unwrap_or(0);
        if let Ok(earned @ 1..) = u32::try_from(earned) {
            bucket.lines = bucket.lines.saturating_add(earned).min(BURST_LINES);
            bucket.refilled = now;
        }
        match bucket.lines.checked_sub(1) {
            Some(left) => {
                bucket.lines = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_cannot_flood_the_log() {
        let budget = Budget::new();
        let start = Instant::now();
        let written = (0..10 * BURST_LINES).filter(|_| budget.spend_at(start)).count();
        assert_eq!(written, BURST_LINES as usize);
        assert!(budget.spend_at(start + REFILL_EVERY));
        assert!(!budget.spend_at(start + REFILL_EVERY));
    }
}
