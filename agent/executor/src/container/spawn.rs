//! From a plan to a process that is set up: what creating a container and an exec have in common.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::outside::FromOutside;
use super::plan::Plan;
use super::process::{Exit, Process, collect_when_ended};
use super::report::{Failure, GO_ON, Report, START, Step};
use crate::cgroup::Cgroup;
use crate::launcher::channel::Channel;
use crate::launcher::protocol::{Kind, Order};
use crate::launcher::{LaunchError, Launcher};
use crate::stdio::{Prepared, Stdio, StreamAccess};

/// How long one step of a new process may take; reading a program from a slow disk is the longest.
const REPORT_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is looked whether a process that says nothing was stopped.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How long a killed process may take to end.
pub(crate) const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Something to do when a container's namespaces and mounts are made and its root is not exchanged yet. It is told the
/// number of the container's init; an error ends that.
#[derive(Clone)]
pub struct BeforePivot(Arc<dyn Fn(i32) -> io::Result<()> + Send + Sync>);

impl BeforePivot {
    /// Does this.
    pub fn new(act: impl Fn(i32) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(act))
    }
}

impl std::fmt::Debug for BeforePivot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("BeforePivot")
    }
}

/// Takes the listener of a process's seccomp filter (`seccomp_unotify(2)`), with the number of the process; an error ends
/// that.
#[derive(Clone)]
pub struct SeccompListener(Arc<dyn Fn(i32, OwnedFd) -> io::Result<()> + Send + Sync>);

impl SeccompListener {
    /// Takes it so.
    pub fn new(take: impl Fn(i32, OwnedFd) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }
}

impl std::fmt::Debug for SeccompListener {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SeccompListener")
    }
}

/// Why a process did not come to be.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// There is no tokio runtime to collect the process in.
    #[error("there is no runtime")]
    Runtime(#[source] tokio::runtime::TryCurrentError),
    /// Its streams could not be made.
    #[error("the standard streams could not be made")]
    Streams(#[source] io::Error),
    /// Its plan or channel could not be made.
    #[error("the process could not be prepared")]
    Prepare(#[source] io::Error),
    /// It was not started.
    #[error("the process was not started")]
    Launch(#[from] LaunchError),
    /// It could not set itself up.
    #[error("{step} failed{}", on(subject))]
    Setup {
        /// The step.
        step: Step,
        /// The path or name that the step was about; empty if none.
        subject: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What was to be done before it exchanged its root failed.
    #[error("what comes before the exchange of the root failed")]
    Stopped(#[source] io::Error),
    /// The ids of its user namespace could not be mapped.
    #[error("the ids of the user namespace could not be mapped")]
    Mapping(#[source] io::Error),
    /// Its limits could not be set.
    #[error("the limits of the process could not be set")]
    Limits(#[source] io::Error),
    /// Somebody in its container stopped it.
    #[error("the process was stopped while it was set up")]
    Halted,
    /// It said nothing more, in time or at all: killed, most likely.
    #[error("the process ended while it was set up")]
    Silent(#[source] io::Error),
}

fn on(subject: &str) -> String {
    if subject.is_empty() { String::new() } else { format!(" on `{subject}`") }
}

impl From<Failure> for SpawnError {
    fn from(failure: Failure) -> Self {
        Self::Setup {
            step: failure.step,
            subject: failure.subject,
            source: io::Error::from_raw_os_error(failure.errno),
        }
    }
}

/// A process that did not come to be.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: SpawnError,
    pub(super) remnant: Remnant,
}

/// What there is of a process that failed.
#[derive(Debug)]
pub(super) enum Remnant {
    Nothing,
    /// A child, which is to be killed and collected.
    Child(Arc<Exit>),
    /// A child, perhaps, that the launcher died over before it named it. It waits for a word from this channel before
    /// it executes its program, ends when none comes, and has ended when nobody has the other end any more.
    Nameless(Channel),
}

impl From<SpawnError> for Failed {
    fn from(error: SpawnError) -> Self {
        Self { error, remnant: Remnant::Nothing }
    }
}

impl Remnant {
    /// Ends it and waits until it is gone.
    pub(super) fn end(self) -> io::Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::Child(exit) => exit.end(KILL_TIMEOUT),
            Self::Nameless(channel) => {
                channel.set_receive_timeout(KILL_TIMEOUT)?;
                channel.hang_up()
            }
        }
    }
}

/// What is done for a new process while it sets itself up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Company<'a> {
    pub(super) before_pivot: Option<&'a BeforePivot>,
    pub(super) seccomp_listener: Option<&'a SeccompListener>,
    pub(super) outside: Option<&'a FromOutside>,
}

/// Starts a process in `cgroup` and waits until it has set itself up. `descriptors` are the namespaces that it is born in
/// and those of the plan, but for the standard streams. The channel is the way to go on with it.
pub(super) fn spawn(
    launcher: &Launcher,
    plan: &Plan,
    cgroup: &Cgroup,
    descriptors: &[BorrowedFd<'_>],
    access: StreamAccess<'_>,
    company: Company<'_>,
) -> Result<(Process, Channel), Failed> {
    // Collecting the child and serving its streams is the reactor's work; this thread may block.
    let runtime = tokio::runtime::Handle::try_current().map_err(SpawnError::Runtime)?;
    let _context = runtime.enter();
    let (kind, process) = match plan {
        Plan::Init(root, process) => (Kind::Init(root.namespaces.birth()), process),
        Plan::Exec(_, _, process) => (Kind::Exec, process),
        Plan::UserNamespace => return Err(SpawnError::Prepare(io::ErrorKind::InvalidInput.into()).into()),
    };
    let timeout = match plan {
        Plan::Init(root, _) => REPORT_TIMEOUT.saturating_add(root.hooks.time_limit()),
        Plan::Exec(..) | Plan::UserNamespace => REPORT_TIMEOUT,
    };
    let awaits_cgroups = matches!(plan, Plan::Init(root, _) if root.awaits_cgroups);
    let streams = Prepared::new(access, process.terminal.is_some()).map_err(SpawnError::Streams)?;
    if let Some(outside) = company.outside {
        outside.own_streams(&streams.theirs()).map_err(SpawnError::Streams)?;
    }
    let memory = plan.seal().map_err(SpawnError::Prepare)?;
    let (ours, theirs) = Channel::pair().map_err(SpawnError::Prepare)?;
    ours.set_receive_timeout(timeout).map_err(SpawnError::Prepare)?;

    let mut passed = vec![memory.as_fd(), theirs.as_fd(), cgroup.as_fd()];
    passed.extend_from_slice(descriptors);
    passed.extend(streams.theirs());
    passed.extend(access.further());
    let registration = launcher.hold_registry();
    let (pid, pidfd) = match launcher.launch(&registration, Order::Process(kind), &passed) {
        Ok(launched) => launched,
        Err(error) => return Err(Failed { error: error.into(), remnant: Remnant::Nameless(ours) }),
    };
    let exit = Arc::new(Exit::new(pidfd));
    registration.add(pid, Arc::downgrade(&exit));
    drop(theirs);

    let notifies = process.seccomp.as_ref().is_some_and(|filter| filter.notifies);
    let company = Company { seccomp_listener: company.seccomp_listener.filter(|_| notifies), ..company };
    let adopted = cgroup.adopt(pid).map_err(SpawnError::Prepare);
    let accompanied = adopted.and_then(|()| accompany((pid, &exit), awaits_cgroups, &ours, streams, company));
    match accompanied {
        Ok(stdio) => Ok((Process::new(pid, process.args.clone(), exit, stdio), ours)),
        Err(error) => Err(Failed { error, remnant: Remnant::Child(exit) }),
    }
}

/// Does for a new process, which is in its cgroups, what it needs others for, until it has set itself up.
fn accompany(
    (pid, exit): (Pid, &Arc<Exit>),
    awaits_cgroups: bool,
    channel: &Channel,
    streams: Prepared,
    Company { before_pivot, seccomp_listener, outside }: Company<'_>,
) -> Result<Stdio, SpawnError> {
    collect_when_ended(exit).map_err(SpawnError::Prepare)?;
    let mapped = outside.map_or(Ok(false), |outside| outside.map_ids(pid, exit));
    if mapped.map_err(SpawnError::Mapping)? || awaits_cgroups {
        channel.send(GO_ON, &[]).map_err(SpawnError::Silent)?;
    }
    if let Some(before_pivot) = before_pivot {
        stop(before_pivot, pid, exit, channel)?;
    }
    if let Some(listener) = seccomp_listener {
        listen(listener, pid, exit, channel)?;
    }
    let stdio = follow(exit, channel, streams)?;
    if let Some(outside) = outside {
        outside.limit(pid, exit).map_err(SpawnError::Limits)?;
    }
    Ok(stdio)
}

/// The next report of a process; `None` when it has closed its end. It may take as long as the channel waits.
///
/// Attack: a container that stops whatever joins it. The host's change would wait, and those of all other containers
/// behind it.
fn next_report(exit: &Exit, channel: &Channel) -> Result<Option<(Report, Option<OwnedFd>)>, SpawnError> {
    let limit = channel.receive_timeout().map_err(SpawnError::Silent)?;
    let began = Instant::now();
    while !channel.is_readable_within(LOOK_INTERVAL).map_err(SpawnError::Silent)? {
        if exit.is_stopped() {
            return Err(SpawnError::Halted);
        }
        if limit.is_some_and(|limit| began.elapsed() > limit) {
            return Err(SpawnError::Silent(io::ErrorKind::TimedOut.into()));
        }
    }
    Report::receive(channel).map_err(SpawnError::Silent)
}

/// Waits for the report that the process has made and mounted all, does what is to be done then, and lets it go on.
fn stop(before_pivot: &BeforePivot, pid: Pid, exit: &Exit, channel: &Channel) -> Result<(), SpawnError> {
    match next_report(exit, channel)? {
        Some((Report::Mounted, _)) => {}
        Some((Report::Failed(failure), _)) => return Err(failure.into()),
        Some((Report::Filtered | Report::Ready | Report::Executing, _)) => {
            return Err(SpawnError::Silent(io::ErrorKind::InvalidData.into()));
        }
        None => return Err(SpawnError::Silent(io::ErrorKind::UnexpectedEof.into())),
    }
    (before_pivot.0)(pid.as_raw_nonzero().get()).map_err(SpawnError::Stopped)?;
    channel.send(GO_ON, &[]).map_err(SpawnError::Silent)
}

/// Waits for the listener of the filter, and hands it on.
fn listen(listener: &SeccompListener, pid: Pid, exit: &Exit, channel: &Channel) -> Result<(), SpawnError> {
    match next_report(exit, channel)? {
        Some((Report::Filtered, Some(descriptor))) => {
            (listener.0)(pid.as_raw_nonzero().get(), descriptor).map_err(SpawnError::Stopped)
        }
        Some((Report::Failed(failure), _)) => Err(failure.into()),
        Some(_) => Err(SpawnError::Silent(io::ErrorKind::InvalidData.into())),
        None => Err(SpawnError::Silent(io::ErrorKind::UnexpectedEof.into())),
    }
}

/// Waits for the report that the process is set up.
fn follow(exit: &Exit, channel: &Channel, streams: Prepared) -> Result<Stdio, SpawnError> {
    match next_report(exit, channel)? {
        Some((Report::Ready, master)) => streams.into_stdio(master).map_err(SpawnError::Streams),
        Some((Report::Failed(failure), _)) => Err(failure.into()),
        Some((Report::Mounted | Report::Filtered | Report::Executing, _)) => {
            Err(SpawnError::Silent(io::ErrorKind::InvalidData.into()))
        }
        None => Err(SpawnError::Silent(io::ErrorKind::UnexpectedEof.into())),
    }
}

/// Lets the process execute its program, and waits until it does.
pub(super) fn execute(exit: &Exit, channel: &Channel) -> Result<(), SpawnError> {
    channel.send(START, &[]).map_err(SpawnError::Silent)?;
    match next_report(exit, channel)? {
        Some((Report::Executing, _)) => {}
        Some((Report::Failed(failure), _)) => return Err(failure.into()),
        Some((Report::Mounted | Report::Filtered | Report::Ready, _)) => {
            return Err(SpawnError::Silent(io::ErrorKind::InvalidData.into()));
        }
        None => return Err(SpawnError::Silent(io::ErrorKind::UnexpectedEof.into())),
    }
    // `execve` closes the other end; a failure is reported first.
    match next_report(exit, channel)? {
        None => Ok(()),
        Some((Report::Failed(failure), _)) => Err(failure.into()),
        Some((Report::Mounted | Report::Filtered | Report::Ready | Report::Executing, _)) => {
            Err(SpawnError::Silent(io::ErrorKind::InvalidData.into()))
        }
    }
}
