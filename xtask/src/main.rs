//! The one entry for people and CI: `cargo xtask <task>`.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a task reports to the person who started it")]

mod check;
mod command;
mod test;
mod tool;

use std::process::ExitCode;

use clap::Parser;

/// What can be asked of the project.
#[derive(Parser)]
#[command(name = "cargo xtask", about, disable_version_flag = true)]
enum Task {
    /// Judge the sources: format, lints, documents, layering, lengths, licences
    Check(check::Args),
    /// Build everything that tests need, then run every test
    Test(test::Args),
}

fn main() -> ExitCode {
    let outcome = match Task::parse() {
        Task::Check(args) => check::run(&args),
        Task::Test(args) => test::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("error: {failure:#}");
            ExitCode::FAILURE
        }
    }
}
