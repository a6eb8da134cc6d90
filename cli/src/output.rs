//! How a command answers: text or JSON on standard output, errors on standard error, and the exit code.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

/// Exit code of a clean "no": denied, does not verify.
const EXIT_NO: u8 = 1;
/// Exit code of misuse and of input that cannot be read.
const EXIT_BROKEN: u8 = 2;

/// What a command found out.
#[derive(Debug)]
pub(crate) struct Answer {
    verdict: Verdict,
    json: String,
    human: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Yes,
    No,
}

impl Answer {
    /// The command did what was asked, or the thing checked holds (exit code 0).
    ///
    /// `value` serialises to exactly one JSON object or array and displays as text without a final newline.
    ///
    /// # Errors
    /// When `value` cannot be written as JSON.
    pub(crate) fn yes(value: &(impl Serialize + Display)) -> anyhow::Result<Self> {
        Self::new(Verdict::Yes, value)
    }

    /// The thing checked does not hold; a clean result all the same (exit code 1).
    ///
    /// # Errors
    /// When `value` cannot be written as JSON.
    pub(crate) fn no(value: &(impl Serialize + Display)) -> anyhow::Result<Self> {
        Self::new(Verdict::No, value)
    }

    fn new(verdict: Verdict, value: &(impl Serialize + Display)) -> anyhow::Result<Self> {
        Ok(Self { verdict, json: serde_json::to_string(value)?, human: value.to_string() })
    }
}

#[derive(Serialize)]
struct Failure {
    error: String,
}

/// Prints the answer or the error of a command and gives the exit code.
pub(crate) fn finish(result: anyhow::Result<Answer>, json: bool) -> ExitCode {
    match result {
        Ok(answer) => {
            let text = if json { &answer.json } else { &answer.human };
            match (writeln!(io::stdout().lock(), "{text}"), answer.verdict) {
                (Ok(()), Verdict::Yes) => ExitCode::SUCCESS,
                (Ok(()), Verdict::No) => ExitCode::from(EXIT_NO),
                (Err(_), _) => ExitCode::from(EXIT_BROKEN),
            }
        }
        // `{:#}` prints the chain of causes on one line.
        Err(error) => fail(&format!("{error:#}"), &format!("error: {error:#}"), json),
    }
}

/// Prints what is wrong with the command line, or the help text that it asked for.
pub(crate) fn finish_misuse(misuse: &clap::Error, json: bool) -> ExitCode {
    let text = misuse.render().to_string();
    if !misuse.use_stderr() {
        return match write!(io::stdout().lock(), "{text}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(EXIT_BROKEN),
        };
    }
    let summary = text.lines().next().unwrap_or_default();
    fail(summary.strip_prefix("error: ").unwrap_or(summary), text.trim_end(), json)
}

fn fail(error: &str, human: &str, json: bool) -> ExitCode {
    // With both streams closed there is nobody left to tell; the exit code still says it.
    let _ = writeln!(io::stderr().lock(), "{human}");
    if json && let Ok(text) = serde_json::to_string(&Failure { error: error.to_owned() }) {
        let _ = writeln!(io::stdout().lock(), "{text}");
    }
    ExitCode::from(EXIT_BROKEN)
}
