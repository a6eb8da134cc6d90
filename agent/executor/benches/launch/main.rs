//! How long a container takes, beside other runtimes on the same bundle, and what it costs in memory: prints one JSON
//! object of figures and remarks.
//!
//! `launch machine` leaves the machine's cgroups as they are; `launch unified` has version 2 alone, as the measured
//! guest has. `launch loop <count>` and `launch at-once <count>` only run containers of our own, for a profiler to look
//! at.
//!
//! A run is create, start, wait and delete of `/bin/true` on the default mounts, in new pid, ipc, uts, mount and cgroup
//! namespaces. Ours goes through the launcher process as in the agent, without the policy's decision. A peer's is the
//! time of its command. All take turns, so that what else the machine does meets all alike.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a benchmark stops where it cannot measure, and prints what it measured"
)]

mod cgroups;
mod commands;
#[path = "../../tests/containers/guest.rs"]
#[expect(dead_code, reason = "the tests need more of a guest")]
mod guest;
mod memory;
mod ours;
mod peers;

use serde_json::{Map, Value, json};

use self::ours::{Ours, Phases};
use self::peers::Peer;

/// Runs of each runtime, one after the other.
const ROUNDS: usize = 41;
/// Rounds of containers that are started at once.
const CONCURRENT_ROUNDS: usize = 5;
/// Containers that are started at once, or that run while memory is measured.
const CONTAINERS: usize = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut report = Report::default();
    match words[..] {
        ["machine"] => {}
        // Before the launcher and the first thread.
        ["unified"] => cgroups::leave_unified_alone(),
        ["loop", count] => {
            guest::boot();
            let ours = Ours::new();
            let phases: Vec<_> = (0..count.parse().unwrap()).map(|_| ours.run()).collect();
            report.insert_phases(&phases);
            return println!("{}", json!(report.figures));
        }
        ["at-once", count] => {
            guest::boot();
            let ours = Ours::new();
            let rounds = (0..count.parse().unwrap()).map(|_| ours.run_at_once(CONTAINERS));
            return println!("{}", median(rounds));
        }
        _ => panic!("one of `machine`, `unified`, `loop <count>` and `at-once <count>` is expected"),
    }
    match guest::missing() {
        Some(missing) => report.remarks.push(missing),
        None => measure(&mut report),
    }
    println!("{}", json!({ "figures": report.figures, "remarks": report.remarks }));
}

/// Figures by name, and what could not be measured.
#[derive(Debug, Default)]
struct Report {
    figures: Map<String, Value>,
    remarks: Vec<String>,
}

impl Report {
    fn insert(&mut self, name: impl Into<String>, value: f64) {
        self.figures.insert(name.into(), json!((value * 1000.0).round() / 1000.0));
    }

    fn insert_phases(&mut self, phases: &[Phases]) {
        self.insert("run_ms", median(phases.iter().map(Phases::total_ms)));
        for (name, phase) in Phases::NAMES.iter().zip(0..) {
            self.insert(format!("{name}_ms"), median(phases.iter().map(|phases| phases.0[phase])));
        }
    }
}

fn measure(report: &mut Report) {
    guest::boot();
    let ours = Ours::new();
    report.insert("held_per_container_kib", ours.held_kib(CONTAINERS));
    let peers = Peer::all(&ours.guest, &mut report.remarks);
    one_by_one(report, &ours, &peers);
    executed(report, &ours, &peers);
    at_once(report, &ours, &peers);
    report.remarks.extend(peers.iter().filter_map(Peer::failures));
}

/// One container after the other.
fn one_by_one(report: &mut Report, ours: &Ours, peers: &[Peer]) {
    let mut phases = Vec::new();
    let mut times = vec![Vec::new(); peers.len()];
    for _ in 0..ROUNDS {
        phases.push(ours.run());
        for (peer, times) in peers.iter().zip(&mut times) {
            times.extend(peer.run());
        }
    }
    report.insert_phases(&phases);
    for (peer, times) in peers.iter().zip(times) {
        report.insert(format!("run_ms_{}", peer.name()), median(times));
    }
}

/// Processes that are executed in a running container.
fn executed(report: &mut Report, ours: &Ours, peers: &[Peer]) {
    let running: Vec<_> = peers.iter().filter_map(|peer| Some((peer, peer.start()?))).collect();
    let container = ours.guest.start(ours.guest.request(&["sleep", "600"]));
    let mut own = Vec::new();
    let mut times = vec![Vec::new(); running.len()];
    for _ in 0..ROUNDS {
        own.push(ours.execute(&container));
        for ((_, running), times) in running.iter().zip(&mut times) {
            times.extend(running.execute());
        }
    }
    ours.guest.remove(container);
    report.insert("exec_ms", median(own));
    for ((peer, _), times) in running.iter().zip(times) {
        report.insert(format!("exec_ms_{}", peer.name()), median(times));
    }
}

/// Many containers at once.
fn at_once(report: &mut Report, ours: &Ours, peers: &[Peer]) {
    let mut own = Vec::new();
    let mut times = vec![Vec::new(); peers.len()];
    for _ in 0..CONCURRENT_ROUNDS {
        own.push(ours.run_at_once(CONTAINERS));
        for (peer, times) in peers.iter().zip(&mut times) {
            times.extend(peer.run_at_once(CONTAINERS));
        }
    }
    report.insert("at_once_100_ms", median(own));
    for (peer, times) in peers.iter().zip(times) {
        report.insert(format!("at_once_100_ms_{}", peer.name()), median(times));
    }
}

fn median(times: impl IntoIterator<Item = f64>) -> f64 {
    let mut times: Vec<f64> = times.into_iter().collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
