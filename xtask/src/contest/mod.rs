//! `cargo xtask contest`: a public conformance suite of OCI runtimes, against ours and others side by side.

mod comparison;
mod outcome;
mod suite;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::command::{Run, repository_root};
use comparison::Comparison;
use outcome::Outcome;
use suite::Suite;

/// Arguments of `cargo xtask contest`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder with youki's suite: `contest`, `runtimetest`, `bundle.tar.gz`
    #[arg(long)]
    suite: PathBuf,
    /// Runtimes to run beside ours. The first is the measure: what it passes has to pass with ours
    #[arg(long, default_value = "runc")]
    runtime: Vec<PathBuf>,
    /// Only these groups of tests
    #[arg(long)]
    group: Vec<String>,
}

/// Runs the suite and prints what each runtime passes.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let suite = Suite::open(&args.suite)?;
    let mut runtimes = vec![build()?];
    runtimes.extend(args.runtime.iter().cloned());
    let names =
        runtimes.iter().map(|path| path.file_name().unwrap_or(path.as_os_str()).display().to_string());
    let mut comparison = Comparison::new(names.collect());
    let groups = if args.group.is_empty() { suite.groups()? } else { args.group.clone() };
    for group in &groups {
        comparison.add(group, &answers(&suite, group, &runtimes));
    }
    println!("{}", comparison.to_markdown());
    let behind = comparison.behind();
    anyhow::ensure!(behind.is_empty(), "the first runtime passes what ours does not: {}", behind.join(", "));
    Ok(())
}

/// What each runtime makes of a group. One test can end the suite, or stop it for ever: where that happened, the tests
/// that another runtime answered are run one by one.
fn answers(suite: &Suite, group: &str, runtimes: &[PathBuf]) -> Vec<Vec<(String, Outcome)>> {
    let mut answers: Vec<_> = runtimes.iter().map(|runtime| ask(suite, group, runtime)).collect();
    let names: BTreeSet<_> = answers.iter().flatten().map(|(name, _)| name.clone()).collect();
    for (answer, runtime) in answers.iter_mut().zip(runtimes).filter(|(answer, _)| answer.is_empty()) {
        let alone = |name| ask(suite, &format!("{group}::{name}"), runtime);
        *answer = names.iter().flat_map(alone).collect();
    }
    answers
}

/// What a runtime makes of a group, or of one test of it.
fn ask(suite: &Suite, tests: &str, runtime: &Path) -> Vec<(String, Outcome)> {
    eprintln!("{tests}: {}", runtime.display());
    suite.run(tests, runtime).unwrap_or_else(|failure| {
        eprintln!("{failure}");
        Vec::new()
    })
}

/// Builds our command line.
fn build() -> anyhow::Result<PathBuf> {
    Run::cargo()
        .args(["build", "--quiet", "--release", "--package", "oci-cli"])
        .run()
        .context("our command line could not be built")?;
    Ok(repository_root().join("target/release/cce-oci"))
}
