//! The `cce` command, as the story calls it: always with `--json`.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context as _;
use serde_json::Value;

/// The tenant's and the host's command line tool.
pub(crate) struct Cce {
    pub(crate) program: PathBuf,
}

/// What a call of `cce` said.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Whether it was a yes (exit code 0); otherwise a clean no (1).
    pub(crate) yes: bool,
    pub(crate) json: Value,
}

impl Cce {
    /// Calls `cce --json` with `args`.
    ///
    /// # Errors
    ///
    /// On exit code 2: misuse or broken input.
    pub(crate) fn ask<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> anyhow::Result<Answer> {
        #[expect(
            clippy::disallowed_methods,
            reason = "a task runs on a developer's machine, not in the guest"
        )]
        let mut command = std::process::Command::new(&self.program);
        command.arg("--json").args(args).stdin(Stdio::null());
        let output = command.output().with_context(|| format!("cannot start {}", self.program.display()))?;
        let json: Value = serde_json::from_slice(&output.stdout).with_context(|| {
            format!("{command:?} printed no JSON: {}", String::from_utf8_lossy(&output.stderr))
        })?;
        match output.status.code() {
            Some(0) => Ok(Answer { yes: true, json }),
            Some(1) => Ok(Answer { yes: false, json }),
            _ => anyhow::bail!("{command:?} failed: {json}"),
        }
    }

    /// Calls `cce --json` and expects a yes.
    pub(crate) fn expect_yes<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
    ) -> anyhow::Result<Value> {
        let answer = self.ask(args)?;
        anyhow::ensure!(answer.yes, "unexpected no: {}", answer.json);
        Ok(answer.json)
    }
}

impl Answer {
    /// Whether a container ran and ended without an error.
    pub(crate) fn ran_well(&self) -> bool {
        self.yes && self.json.get("exit_code").and_then(Value::as_i64) == Some(0)
    }

    /// The string under `key`.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.json.get(key).and_then(Value::as_str).unwrap_or_default()
    }
}
