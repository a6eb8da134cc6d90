//! `cce policy`: the tenant's policy.

mod check;
mod create;
mod explain;
mod hash;
mod replay;

use clap::Subcommand;

use crate::output::Answer;

/// Commands about policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Load a policy as the guest does, say whether it is accepted, and what in it deserves a second look.
    Check(check::CheckArgs),
    /// Write the policy of one container of an image.
    Create(Box<create::CreateArgs>),
    /// Ask a policy as the host would, and explain each denial: what came closest and where it differs.
    Explain(explain::ExplainArgs),
    /// Print the SHA-256 of a policy: the value of HOST_DATA in reports of a guest that runs under it.
    Hash(hash::HashArgs),
    /// Ask a policy engine's recorded questions again and compare the answers.
    Replay(replay::ReplayArgs),
}

/// Runs one command about policies.
///
/// # Errors
/// On broken input.
pub(crate) fn run(command: PolicyCommand) -> anyhow::Result<Answer> {
    match command {
        PolicyCommand::Check(args) => check::run(&args),
        PolicyCommand::Create(args) => create::run(&args),
        PolicyCommand::Explain(args) => explain::run(&args),
        PolicyCommand::Hash(args) => hash::run(&args),
        PolicyCommand::Replay(args) => replay::run(&args),
    }
}
