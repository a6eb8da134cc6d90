//! `cce host`, which plays the host, towards one machine.

#![expect(clippy::disallowed_methods, reason = "the harness runs on the host, not in the guest")]

use std::{ffi::OsStr, io, path::PathBuf, process::Command};

use serde_json::Value;

use crate::{Host, VirtualMachine};

/// Rules of its own instead of the framework's: whatever the host asks for is allowed, capabilities too, so that what
/// stops it is the kernel. The digest of a layer is enforced whoever approved it.
pub const PERMISSIVE_POLICY: &str = r#"package policy

api_version := "0.10.0"
framework_version := "0.2.3"

mount_device := {"allowed": true}
unmount_device := {"allowed": true}
mount_overlay := {"allowed": true}
unmount_overlay := {"allowed": true}
scratch_mount := {"allowed": true}
scratch_unmount := {"allowed": true}
shutdown_container := {"allowed": true}
exec_in_container := {"allowed": true, "env_list": input.envList, "caps_list": input.capabilities}
signal_container_process := {"allowed": true}
create_container := {
    "allowed": true,
    "env_list": input.envList,
    "caps_list": input.capabilities,
    "allow_stdio_access": true,
}
"#;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The program does not start.
    #[error("cannot start `cce`")]
    Start(#[source] io::Error),
    /// It says something else than JSON.
    #[error("`cce` prints no JSON value but {stdout:?}, and {stderr:?}")]
    Answer {
        /// What it prints.
        stdout: String,
        /// What it complains of.
        stderr: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// The host's command line tool, for one machine.
#[derive(Debug, Clone)]
pub struct HostTool {
    program: PathBuf,
    address: String,
}

impl HostTool {
    /// The tool for a machine that runs.
    #[must_use]
    pub fn new(host: &Host, machine: &VirtualMachine) -> Self {
        Self { program: host.cce(), address: machine.agent_address() }
    }

    /// `cce --json host ...` towards the machine, to be started.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--json", "host", "--address", &self.address]).args(args);
        command
    }

    /// `cce --json host ...` towards the machine, and what it answers, a refusal too.
    ///
    /// # Errors
    /// The program does not start, or answers nothing that can be read.
    pub fn call(&self, args: &[&str]) -> Result<Value, CallError> {
        answer(&mut self.command(args))
    }
}

/// `cce --json` with these arguments, and what it answers, a clean no too.
///
/// # Errors
/// The program does not start, or answers nothing that can be read.
pub fn cce(host: &Host, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Value, CallError> {
    answer(Command::new(host.cce()).arg("--json").args(args))
}

fn answer(command: &mut Command) -> Result<Value, CallError> {
    let output = command.output().map_err(CallError::Start)?;
    serde_json::from_slice(&output.stdout).map_err(|source| {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        CallError::Answer { stdout: text(&output.stdout), stderr: text(&output.stderr), source }
    })
}
