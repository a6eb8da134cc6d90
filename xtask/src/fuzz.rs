//! `cargo xtask fuzz`: feeds the parsers of foreign bytes what nobody would send, and both evaluators of
//! policies the same.

use anyhow::Context as _;

use crate::{
    command::{Run, repository_root},
    tool,
};

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The target, a file in `fuzz/fuzz_targets`; each of them when left out
    target: Option<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Instead drive the interpreter and the native matcher with generated policies and requests
    #[arg(long, conflicts_with_all = ["target", "seconds"])]
    differential: bool,
    /// How many decisions the evaluators are compared on
    #[arg(long, requires = "differential", default_value_t = 1_000_000)]
    decisions: u64,
    /// Which ones: a run with the same seed makes the same policies and requests
    #[arg(long, requires = "differential", default_value_t = 1)]
    seed: u64,
}

/// Runs what was asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.differential { compare_evaluators(args.decisions, args.seed) } else { fuzz_parsers(args) }
}

/// The policy engine's own test, for longer and in release mode. It uses every core.
fn compare_evaluators(decisions: u64, seed: u64) -> anyhow::Result<()> {
    Run::cargo()
        .args(["test", "--release", "--package", "policy-engine", "--test", "differential"])
        .args(["--", "--exact", "--nocapture", "generated_decisions_are_alike"])
        .env("CCE_DIFFERENTIAL_DECISIONS", decisions.to_string())
        .env("CCE_DIFFERENTIAL_SEED", seed.to_string())
        .run()
        .context("the evaluators were not shown to agree")
}

/// Fuzzes with the nightly toolchain, which the sanitizer needs.
fn fuzz_parsers(args: &Args) -> anyhow::Result<()> {
    let fuzzer = tool::CARGO_FUZZ.ready()?;
    let targets = match &args.target {
        Some(target) => vec![target.clone()],
        None => {
            let listed = Run::new(&fuzzer).args(["fuzz", "list"]).in_dir(repository_root()).stdout()?;
            listed.lines().map(ToOwned::to_owned).collect()
        }
    };
    for target in targets {
        Run::new(&fuzzer)
            .args(["fuzz", "run", &target, "--", &format!("-max_total_time={}", args.seconds)])
            .env("RUSTUP_TOOLCHAIN", "nightly")
            .run()
            .with_context(|| format!("{target} failed; it needs Rust's nightly toolchain"))?;
    }
    Ok(())
}
