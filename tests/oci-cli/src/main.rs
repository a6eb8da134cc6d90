//! `cce-oci`: the command line of an OCI runtime over the executor, with a policy that allows everything.
//!
//! It stands where `runc` and `crun` stand, so that container engines and conformance suites can drive the launcher. It
//! is a tool of the tests and no part of the guest, whose containers pass from no process to another.
//!
//! Each command is a process of its own. What a later one needs is in the state directory ([`state`]); the way to start a
//! created container is held by a small process of its own ([`gate`]).

#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line writes to the one who called it"
)]

mod commands;
mod convert;
mod gate;
mod guest;
mod hooks;
mod log;
mod options;
mod program;
mod shared_mounts;
mod signal;
mod state;
mod terminal;
mod time;

use std::process::ExitCode;

use clap::Parser as _;

use options::{Command, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    let log = log::Log::new(&options.global);
    // The code of an exec is its program's: where there was none, it is one that programs do not have.
    let failure =
        if matches!(options.command, Command::Exec(_)) { ExitCode::from(255) } else { ExitCode::FAILURE };
    run(options).unwrap_or_else(|error| {
        log.error(&format!("{error:#}"));
        failure
    })
}

fn run(options: Options) -> anyhow::Result<ExitCode> {
    let Options { global, command } = options;
    let directory = state::Directory::new(&global.root);
    match command {
        Command::Create(args) => commands::create::run(&directory, &args),
        Command::Delete(args) => commands::delete::run(&directory, &args),
        Command::Events(args) => commands::events::run(&directory, &args),
        Command::Exec(args) => commands::exec::run(&directory, &args),
        Command::Features => commands::features::run(),
        Command::HoldGate => gate::hold(),
        Command::Kill(args) => commands::kill::run(&directory, &args),
        Command::List(args) => commands::list::run(&directory, &args),
        Command::Pause(args) => commands::pause::run(&directory, &args),
        Command::Ps(args) => commands::ps::run(&directory, &args),
        Command::Resume(args) => commands::pause::resume(&directory, &args),
        Command::Run(args) => commands::run::run(&directory, &args),
        Command::Spec(args) => commands::spec::run(&args),
        Command::Start(args) => commands::start::run(&directory, &args),
        Command::State(args) => commands::state::run(&directory, &args),
        Command::Update(args) => commands::update::run(&directory, &args),
    }
}
