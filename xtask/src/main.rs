//! The one entry for people and CI: `cargo xtask <task>`.

#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a task reports to the person who started it")]

mod artifacts;
mod bench;
mod check;
mod command;
mod contest;
mod demo;
mod endure;
mod engines;
mod fuzz;
mod image;
mod linked_crates;
mod packages;
mod stage;
mod test;
mod tool;
mod vm;

use std::process::ExitCode;

use clap::Parser;

/// What can be asked of the project.
#[derive(Parser)]
#[command(name = "cargo xtask", about, disable_version_flag = true)]
enum Task {
    /// Measure sizes and times on this machine
    Bench(bench::Args),
    /// Judge the sources: format, lints, documents, layering, lengths, licences
    Check(check::Args),
    /// Run a public conformance suite of OCI runtimes against ours and others
    Contest(contest::Args),
    /// Show the whole story: a guest, its policy, a container, a report, and the attacks that fail
    Demo(demo::Args),
    /// Run thousands of containers and kill hundreds of launchers: nothing may be left of them
    Endure(endure::Args),
    /// Run container engines on the launcher, by its OCI command line
    Engines(engines::Args),
    /// Feed parsers of foreign bytes with random ones
    Fuzz(fuzz::Args),
    /// Build the measured guest image and print its reference values
    Image(image::Args),
    /// Build everything that tests need, then run every test
    Test(test::Args),
    /// Boot the guest image and leave it running
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let outcome = match Task::parse() {
        Task::Bench(args) => bench::run(&args),
        Task::Check(args) => check::run(&args),
        Task::Contest(args) => contest::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Endure(args) => endure::run(&args),
        Task::Engines(args) => engines::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Image(args) => image::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Vm(args) => vm::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("error: {failure:#}");
            ExitCode::FAILURE
        }
    }
}
