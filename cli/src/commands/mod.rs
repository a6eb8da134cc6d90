//! The commands, one module a group. A new group is a module, an arm of [`Command`] and an arm of [`run`].

mod policy;

use clap::Subcommand;

use crate::output::Answer;

/// The command groups.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Work with CCE policies.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
}

/// Runs one command.
///
/// # Errors
/// On broken input and on failures of the machine; a clean "no" is an [`Answer`].
pub(crate) fn run(command: Command) -> anyhow::Result<Answer> {
    match command {
        Command::Policy(command) => policy::run(command),
    }
}
