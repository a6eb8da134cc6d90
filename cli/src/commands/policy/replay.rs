//! `cce policy replay`: whether this engine decides as another one did.

mod lines;
mod sessions;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::output::Answer;

/// Arguments of `cce policy replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Recorded sessions, one JSON object a line; gzip is recognised.
    file: PathBuf,
    /// Which evaluator is asked.
    #[arg(long, value_enum, default_value = "all")]
    evaluator: EvaluatorChoice,
    /// Compare more than decisions and what remains of requests: undefined against denied, the order of lists, what
    /// fragments are given, and the reasons of denials.
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EvaluatorChoice {
    /// The Rego framework in the interpreter.
    Interpreter,
    /// Each of them in turn.
    All,
}

/// Replays a file.
///
/// # Errors
/// When the file cannot be read or is not of the form.
pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<Answer> {
    sessions::run(args)
}
