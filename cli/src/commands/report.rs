//! `cce report`: attestation reports.

mod verify;

use clap::Subcommand;

use crate::output::Answer;

/// Commands about attestation reports.
#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// Verify an SNP report: who signed it, and that it is about the policy, data and image expected.
    Verify(Box<verify::VerifyArgs>),
}

/// Runs one command about reports.
///
/// # Errors
/// On broken input.
pub(crate) fn run(command: ReportCommand) -> anyhow::Result<Answer> {
    match command {
        ReportCommand::Verify(args) => verify::run(&args),
    }
}
