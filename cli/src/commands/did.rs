//! `cce did`: names of signers.

mod check;

use clap::Subcommand;

use crate::output::Answer;

/// Commands about `did:x509` names.
#[derive(Debug, Subcommand)]
pub(crate) enum DidCommand {
    /// Resolve the names in a file of test vectors and compare the documents and errors.
    Check(check::CheckArgs),
}

/// Runs one command about names.
///
/// # Errors
/// On broken input.
pub(crate) fn run(command: DidCommand) -> anyhow::Result<Answer> {
    match command {
        DidCommand::Check(args) => check::run(&args),
    }
}
