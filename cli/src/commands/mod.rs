//! The commands, one module a group. A new group is a module, an arm of [`Command`] and an arm of [`run`].

mod did;
mod host;
mod layer;
mod policy;
mod report;
mod statement;

use clap::Subcommand;

use crate::output::Answer;

/// The command groups.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Resolve names of signers.
    #[command(subcommand)]
    Did(did::DidCommand),
    /// Play the untrusted host: ask an agent to run containers, and see what it refuses.
    Host(Box<host::HostArgs>),
    /// Hash and build layers.
    #[command(subcommand)]
    Layer(layer::LayerCommand),
    /// Work with CCE policies.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Verify attestation reports.
    #[command(subcommand)]
    Report(report::ReportCommand),
    /// Sign fragments of policies, and endorsements of guest images.
    #[command(subcommand)]
    Statement(statement::StatementCommand),
}

/// Runs one command; with `json` it prints nothing itself.
///
/// # Errors
/// On broken input and on failures of the machine; a clean "no" is an [`Answer`].
pub(crate) fn run(command: Command, json: bool) -> anyhow::Result<Answer> {
    match command {
        Command::Did(command) => did::run(command),
        Command::Host(args) => host::run(*args, json),
        Command::Layer(command) => layer::run(command),
        Command::Policy(command) => policy::run(command),
        Command::Report(command) => report::run(command),
        Command::Statement(command) => statement::run(command),
    }
}
