//! Programs that a machine is made of: each writes to a log, and ends with the value that stands for it.

#![expect(clippy::disallowed_methods, reason = "the harness runs on the host, not in the guest")]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::error::StartError;

/// How often something that is waited for is looked at.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A running program.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a program whose output goes to `log`.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        arguments: &[String],
        log: PathBuf,
    ) -> Result<Self, StartError> {
        let log_error = |source| StartError::Log { path: log.clone(), source };
        let stdout = File::create(&log).map_err(log_error)?;
        let stderr = stdout.try_clone().map_err(log_error)?;
        let mut command = Command::new(program);
        command.args(arguments).env("RUST_LOG", "warn").stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let child = command.spawn().map_err(|source| StartError::Spawn { name, source })?;
        Ok(Self { name, child, log })
    }

    /// Processor time of the program and its threads so far.
    pub(crate) fn computing_time(&self) -> std::io::Result<Duration> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // proc_pid_stat(5): the name, in parentheses, is field 2; fields 14 and 15 are times in hundredths of a second.
        let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_ascii_whitespace();
        let times: Vec<u64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        match times[..] {
            [user, system] => Ok(Duration::from_millis(user.saturating_add(system).saturating_mul(10))),
            _ => Err(std::io::ErrorKind::InvalidData.into()),
        }
    }

    /// An error if the program has ended, which none of a running machine does.
    pub(crate) fn check_running(&mut self) -> Result<(), StartError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(StartError::Ended { name: self.name, status, log: self.log.clone() }),
            Err(source) => Err(StartError::Spawn { name: self.name, source }),
        }
    }

    /// Waits until the program has created this socket.
    pub(crate) fn wait_for_socket(&mut self, socket: &Path, deadline: Instant) -> Result<(), StartError> {
        while !socket.exists() {
            self.check_running()?;
            if Instant::now() > deadline {
                return Err(StartError::NotReady { what: self.name, log: self.log.clone() });
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Waits for the end of the program, at most so long.
    pub(crate) fn wait(&mut self, limit: Option<Duration>) -> std::io::Result<Option<ExitStatus>> {
        let Some(limit) = limit else { return self.child.wait().map(Some) };
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if start.elapsed() > limit {
                return Ok(None);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Daemon {
    /// A program that is gone already is what is wanted.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
