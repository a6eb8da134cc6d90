//! `cce layer`: the root hashes that policies name, and the disk images that hosts attach.

mod build;
mod format;
mod hash;

use clap::Subcommand;

use crate::output::Answer;

/// Commands about layers.
#[derive(Debug, Subcommand)]
pub(crate) enum LayerCommand {
    /// Print the dm-verity root hash of each layer: what a policy lists.
    Hash(hash::HashArgs),
    /// Write the disk image of a layer: ext4 or erofs, dm-verity superblock and hash tree.
    Build(build::BuildArgs),
}

/// Runs one command about layers.
///
/// # Errors
/// On broken input.
pub(crate) fn run(command: LayerCommand) -> anyhow::Result<Answer> {
    match command {
        LayerCommand::Hash(args) => hash::run(&args),
        LayerCommand::Build(args) => build::run(&args),
    }
}
