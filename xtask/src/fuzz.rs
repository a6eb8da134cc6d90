//! `cargo xtask fuzz`: feeds the parsers of foreign bytes what nobody would send.

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
}

/// Fuzzes with the nightly toolchain, which the sanitizer needs.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
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
