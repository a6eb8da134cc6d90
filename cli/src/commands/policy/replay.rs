//! `cce policy replay`: whether this engine decides as another one did.

mod kata;
mod lines;
mod sessions;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use policy_engine::EvaluatorKind;

use crate::output::Answer;

/// Arguments of `cce policy replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Recorded sessions, one JSON object a line; gzip is recognised. With --kata, test cases: a JSON list of
    /// {description, allowed, kind, request}.
    file: PathBuf,
    /// Ask this policy of Kata's dialect, with its state carried from case to case.
    #[arg(long, value_name = "POLICY", conflicts_with_all = ["evaluator", "strict"])]
    kata: Option<PathBuf>,
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
    /// The native evaluator, with the interpreter for what it leaves.
    Native,
    /// Each of them in turn.
    All,
}

impl EvaluatorChoice {
    /// The evaluators, and what they are called.
    fn evaluators(self) -> &'static [(&'static str, EvaluatorKind)] {
        const INTERPRETER: (&str, EvaluatorKind) = ("interpreter", EvaluatorKind::Interpreter);
        const NATIVE: (&str, EvaluatorKind) = ("native", EvaluatorKind::Native);
        match self {
            Self::Interpreter => &[INTERPRETER],
            Self::Native => &[NATIVE],
            Self::All => &[INTERPRETER, NATIVE],
        }
    }
}

/// Replays a file.
///
/// # Errors
/// When a file cannot be read or is not of the form.
pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<Answer> {
    match &args.kata {
        Some(policy) => kata::run(policy, &args.file),
        None => sessions::run(args),
    }
}
