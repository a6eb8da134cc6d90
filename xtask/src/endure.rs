//! `cargo xtask endure`: thousands of containers and hundreds of killed launchers, and what is left of them.

use anyhow::Context as _;

use crate::command::Run;

/// The tests of the executor that take longer than a test should, each with a short version among all tests.
const TESTS: [&str; 3] = [
    "a_launcher_killed_at_random_leaves_nothing",
    "launchers_killed_under_load_leave_nothing",
    "many_containers_leave_nothing",
];

/// Arguments of `cargo xtask endure`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many containers are created, started and deleted
    #[arg(long, default_value_t = 10_000)]
    cycles: u32,
    /// How often launchers are killed, one order at a time and under many
    #[arg(long, default_value_t = 200)]
    kills: u32,
}

/// Runs each test in a process of its own, as root; fails when anything leaks.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    for test in TESTS {
        Run::cargo()
            .args(["test", "--quiet", "--package", "executor", "--test", "containers", "--", "--exact", test])
            .env("CCE_ENDURANCE_CYCLES", args.cycles.to_string())
            .env("CCE_LAUNCHER_KILLS", args.kills.to_string())
            .run()
            .with_context(|| format!("{test} failed"))?;
    }
    Ok(())
}
