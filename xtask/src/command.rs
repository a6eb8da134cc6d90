//! Running other programs: the command is shown before it runs, and a failure names it.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("`{command}` could not be started")]
    Start {
        command: String,
        #[source]
        source: std::io::Error,
    },
    #[error("`{command}` failed ({status}){}", prefixed(.stderr))]
    Failed { command: String, status: ExitStatus, stderr: String },
    #[error("`{command}` printed something that is not UTF-8")]
    NotText {
        command: String,
        #[source]
        source: std::string::FromUtf8Error,
    },
}

fn prefixed(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {}", stderr.trim_end()) }
}

/// A program with its arguments, not yet started.
#[derive(Debug)]
pub(crate) struct Run {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: PathBuf,
}

impl Run {
    /// A program that is found on `PATH`, or by its path, and runs in the repository's root.
    pub(crate) fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: Vec::new(), dir: repository_root() }
    }

    /// The cargo that runs this task.
    pub(crate) fn cargo() -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// Appends arguments.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Appends one argument.
    pub(crate) fn arg(self, arg: impl AsRef<OsStr>) -> Self {
        self.args([arg])
    }

    /// Sets an environment variable for the program.
    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Runs the program in `dir` instead of the repository's root.
    pub(crate) fn in_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = dir.into();
        self
    }

    /// Shows the command, runs it with this task's own output, and waits for its end.
    pub(crate) fn run(&self) -> Result<(), CommandError> {
        // Standard output is for results, which another program may read.
        eprintln!("$ {self}");
        let status = self.command().status().map_err(|source| self.start_error(source))?;
        self.judge(status, String::new())
    }

    /// Runs the program silently and returns what it printed.
    pub(crate) fn stdout(&self) -> Result<String, CommandError> {
        let output =
            self.command().stdin(Stdio::null()).output().map_err(|source| self.start_error(source))?;
        self.judge(output.status, String::from_utf8_lossy(&output.stderr).into_owned())?;
        String::from_utf8(output.stdout)
            .map_err(|source| CommandError::NotText { command: self.to_string(), source })
    }

    fn command(&self) -> Command {
        #[expect(
            clippy::disallowed_methods,
            reason = "a task runs on a developer's machine, not in the guest"
        )]
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.dir);
        command
    }

    fn start_error(&self, source: std::io::Error) -> CommandError {
        CommandError::Start { command: self.to_string(), source }
    }

    fn judge(&self, status: ExitStatus, stderr: String) -> Result<(), CommandError> {
        if status.success() {
            return Ok(());
        }
        Err(CommandError::Failed { command: self.to_string(), status, stderr })
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{}={:?} ", name.display(), value)?;
        }
        let program = Path::new(&self.program).file_name().unwrap_or(&self.program);
        write!(f, "{}", program.display())?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", arg.display()))
    }
}

/// The root of the repository: the folder above this crate.
pub(crate) fn repository_root() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.parent().unwrap_or(crate_dir).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_succeeds_returns_its_output() {
        assert_eq!(Run::new("echo").args(["a", "b"]).stdout().unwrap(), "a b\n");
    }

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let failure = Run::new("sh").args(["-c", "echo no such disk >&2; exit 3"]).stdout().unwrap_err();
        let CommandError::Failed { status, .. } = &failure else { panic!("{failure}") };
        assert_eq!(status.code(), Some(3));
        assert!(failure.to_string().starts_with("`sh -c"), "{failure}");
        assert!(failure.to_string().ends_with("no such disk"), "{failure}");
    }

    #[test]
    fn a_missing_program_cannot_be_started() {
        let failure = Run::new("no-such-program-anywhere").run().unwrap_err();
        assert!(matches!(failure, CommandError::Start { .. }), "{failure}");
    }

    #[test]
    fn the_environment_is_shown_and_set() {
        let run = Run::new("sh").args(["-c", "echo $GREETING"]).env("GREETING", "hello");
        assert!(run.to_string().starts_with("GREETING=\"hello\" sh -c"));
        assert_eq!(run.stdout().unwrap(), "hello\n");
    }
}
