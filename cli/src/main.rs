//! `cce`: write, hash and check policies; hash and build layers; verify reports; play the host.
#![forbid(unsafe_code)]

mod commands;
mod image;
mod output;

use std::process::ExitCode;

use clap::Parser;

/// What a tenant of a confidential VM runs on their own machine.
#[derive(Debug, Parser)]
#[command(name = "cce", version, about, propagate_version = true)]
struct Cli {
    /// Print one JSON value instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => output::finish(commands::run(cli.command, cli.json), cli.json),
        Err(misuse) => output::finish_misuse(&misuse, std::env::args_os().any(|arg| arg == "--json")),
    }
}
