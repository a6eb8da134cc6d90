//! `cce policy`: the tenant's policy.

mod create;
mod hash;

use clap::Subcommand;

use crate::output::Answer;

/// Commands about policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Write the policy of one container of an image.
    Create(Box<create::CreateArgs>),
    /// Print the SHA-256 of a policy: the value of HOST_DATA in reports of a guest that runs under it.
    Hash(hash::HashArgs),
}

/// Runs one command about policies.
///
/// # Errors
/// On broken input.
pub(crate) fn run(command: PolicyCommand) -> anyhow::Result<Answer> {
    match command {
        PolicyCommand::Create(args) => create::run(&args),
        PolicyCommand::Hash(args) => hash::run(&args),
    }
}
