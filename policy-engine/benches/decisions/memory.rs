//! Memory of an engine, as the kernel counts it: in a process of its own, so that nothing else is in it.

use std::hint::black_box;

use policy_engine::Engine;

use super::workload;

/// Names the policy in a process that loads it and says what it takes.
const POLICY: &str = "CCE_BENCH_MEMORY_OF";

pub(crate) fn is_asked_for() -> bool {
    std::env::var_os(POLICY).is_some()
}

/// Loads the policy and prints its memory as a multiple of its bytes.
pub(crate) fn print() {
    let text = std::fs::read(std::env::var_os(POLICY).unwrap()).expect("the policy is there");
    let before = resident_bytes();
    let engine = Engine::load(&text).expect("the policy loads");
    // What a decision allocates and keeps belongs to it.
    engine.decide(workload::mount_device(0, 0)).expect("allowed").done();
    let after = resident_bytes();
    black_box(&engine);
    println!("{}", after.saturating_sub(before) as f64 / text.len() as f64);
}

/// What [`print`] prints for `text`, in a process that did nothing before: what others gave back to the
/// allocator would not be counted.
pub(crate) fn ratio_in_fresh_process(text: &str) -> f64 {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("policy.rego");
    std::fs::write(&path, text).expect("the policy is written");
    #[expect(clippy::disallowed_methods, reason = "a benchmark is no part of a guest")]
    let mut program = std::process::Command::new(std::env::current_exe().unwrap());
    let output = program.env(POLICY, path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().expect("the memory is measured")
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel counts memory");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
