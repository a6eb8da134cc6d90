//! Memory of an engine, as the kernel counts it: in a process of its own, so that nothing else is in it.

use std::hint::black_box;

use policy_engine::Engine;

use super::workload;

/// Set in a process that loads one policy and says what it takes.
const ASKED: &str = "CCE_BENCH_MEMORY_RULES";

pub(crate) fn is_asked_for() -> bool {
    std::env::var_os(ASKED).is_some()
}

/// Loads a policy of 1,000 containers and prints its memory as a multiple of its bytes.
pub(crate) fn print() {
    let rules = std::env::var(ASKED).unwrap();
    let text = workload::policy(1000, workload::layers) + &rules;
    let bytes = text.len();
    let before = resident_bytes();
    let engine = Engine::load(text.as_bytes()).expect("the policy loads");
    // What a decision allocates and keeps belongs to it.
    engine.decide(workload::mount_device(999, 0)).expect("allowed").done();
    let after = resident_bytes();
    black_box(&engine);
    println!("{}", after.saturating_sub(before) as f64 / bytes as f64);
}

/// What [`print`] prints, in a process that did nothing before.
pub(crate) fn ratio_in_fresh_process(rules: &str) -> f64 {
    #[expect(clippy::disallowed_methods, reason = "a benchmark is no part of a guest")]
    let mut program = std::process::Command::new(std::env::current_exe().unwrap());
    let output = program.env(ASKED, rules).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().expect("the memory is measured")
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel counts memory");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
