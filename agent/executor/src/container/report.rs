//! What a new process tells the agent while it sets itself up, and the steps that can fail.

use std::io;

use nix::libc;
use serde::{Deserialize, Serialize};

use crate::launcher::channel::Channel;

/// A step of a new process on its way to its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Step {
    /// Reading the plan and its descriptors.
    #[error("reading the plan")]
    Plan,
    /// Taking default signal dispositions.
    #[error("resetting signals")]
    Signals,
    /// Entering or making namespaces.
    #[error("entering namespaces")]
    Namespaces,
    /// Making what a user namespace has no right to make.
    #[error("making file systems and devices outside of the user namespace")]
    Outside,
    /// Making a time namespace.
    #[error("setting the clocks")]
    Clocks,
    /// Bringing up the loopback interface.
    #[error("bringing up the network")]
    Network,
    /// Attaching the root file system.
    #[error("attaching the root file system")]
    Root,
    /// Mounting.
    #[error("mounting")]
    Mount,
    /// Making device nodes.
    #[error("making device nodes")]
    Devices,
    /// Making a terminal.
    #[error("making the terminal")]
    Terminal,
    /// Setting the host name.
    #[error("setting the host name")]
    Hostname,
    /// Setting the domain name.
    #[error("setting the domain name")]
    Domainname,
    /// Setting a kernel parameter.
    #[error("setting a kernel parameter")]
    Sysctl,
    /// Running a hook.
    #[error("running a hook")]
    Hook,
    /// Exchanging the root.
    #[error("exchanging the root")]
    Pivot,
    /// Hiding a path.
    #[error("masking a path")]
    Mask,
    /// Making a path read-only.
    #[error("making a path read-only")]
    ReadonlyPath,
    /// Setting how mounts below the root spread.
    #[error("setting the propagation of the root")]
    Propagation,
    /// Making the root read-only.
    #[error("making the root read-only")]
    ReadonlyRoot,
    /// Setting the adjustment of the OOM killer's score.
    #[error("setting the OOM score")]
    OomScore,
    /// Setting a resource limit.
    #[error("setting a resource limit")]
    Rlimit,
    /// Setting the execution domain.
    #[error("setting the personality")]
    Personality,
    /// Choosing CPUs.
    #[error("setting the CPU affinity")]
    CpuAffinity,
    /// Setting the I/O priority.
    #[error("setting the I/O priority")]
    IoPriority,
    /// Setting how the CPU is shared.
    #[error("setting the scheduler")]
    Scheduler,
    /// Asking for an AppArmor profile.
    #[error("setting the AppArmor profile")]
    AppArmor,
    /// Asking for an SELinux label.
    #[error("setting the SELinux label")]
    SeLinux,
    /// Entering the working directory.
    #[error("entering the working directory")]
    WorkingDirectory,
    /// Starting a session.
    #[error("starting a session")]
    Session,
    /// Connecting standard input, output and error.
    #[error("connecting standard streams")]
    Streams,
    /// Setting groups and users.
    #[error("taking the identity")]
    Identity,
    /// Setting capabilities.
    #[error("setting capabilities")]
    Capabilities,
    /// Forbidding new privileges.
    #[error("forbidding new privileges")]
    NoNewPrivileges,
    /// Filtering system calls.
    #[error("installing the seccomp filter")]
    Seccomp,
    /// Closing descriptors.
    #[error("closing descriptors")]
    Descriptors,
    /// Executing the program.
    #[error("executing the program")]
    Execute,
}

/// The longest subject of a report, in characters: paths are cut there.
const SUBJECT_LENGTH_MAX: usize = 256;

/// A failed step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) step: Step,
    /// The path or name that it was about; may be empty.
    pub(crate) subject: String,
    pub(crate) errno: i32,
}

impl Failure {
    pub(crate) fn new(step: Step, subject: &str, error: &io::Error) -> Self {
        Self {
            step,
            subject: subject.chars().take(SUBJECT_LENGTH_MAX).collect(),
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        }
    }
}

/// A message of the new process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// All is made and mounted, the root is not exchanged yet, and the process waits for the word to go on.
    Mounted,
    /// Its filter of system calls is in force. The listener comes with it.
    Filtered,
    /// Set up and waiting for the word to start. A terminal's master end comes with it.
    Ready,
    /// About to execute the program; if the channel closes next, it has.
    Executing,
    /// A step failed, and the process ends.
    Failed(Failure),
}

/// The word to go on after [`Report::Mounted`], or when ids are mapped.
pub(crate) const GO_ON: &[u8] = b"go on";
/// The word to start.
pub(crate) const START: &[u8] = b"start";

impl Report {
    /// Sends the report, with what comes with it.
    pub(crate) fn send(
        &self,
        channel: &Channel,
        descriptor: Option<std::os::fd::BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let descriptor: Vec<_> = descriptor.into_iter().collect();
        channel.send(&serde_json::to_vec(self)?, &descriptor)
    }

    /// Receives the next report; `None` when the process has closed its end.
    pub(crate) fn receive(channel: &Channel) -> io::Result<Option<(Self, Option<std::os::fd::OwnedFd>)>> {
        match channel.receive()? {
            Some((bytes, mut descriptors)) => Ok(Some((serde_json::from_slice(&bytes)?, descriptors.pop()))),
            None => Ok(None),
        }
    }
}

/// Says which step failed, and on what.
pub(crate) trait AtStep<T> {
    /// The failure of `step`.
    fn at(self, step: Step) -> Result<T, Failure>;
    /// The failure of `step` on `subject`.
    fn on(self, step: Step, subject: &str) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> AtStep<T> for Result<T, E> {
    fn at(self, step: Step) -> Result<T, Failure> {
        self.on(step, "")
    }

    fn on(self, step: Step, subject: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(step, subject, &error.into()))
    }
}
