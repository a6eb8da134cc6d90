//! Terminals: the master end goes to whoever asked for it, or this process copies it to its own terminal.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, bail};
use executor::container::Process;
use executor::stdio::GivenStreams;
use policy_engine::request::TerminalSize;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use crate::gate;

/// How long the last bytes of a terminal may take after its process has ended.
const LAST_BYTES_TIMEOUT: Duration = Duration::from_secs(1);

/// The streams of this process, as they are, and those of its next `further` descriptors that are open.
pub(crate) fn own_streams(further: u32) -> anyhow::Result<GivenStreams> {
    let streams = (|| {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        let output = io::stdout().as_fd().try_clone_to_owned()?;
        let streams = GivenStreams::new(input, output, io::stderr().as_fd().try_clone_to_owned()?);
        io::Result::Ok(streams.with_further(inherited(further)?))
    })();
    streams.context("the streams cannot be given away")
}

/// `O_CLOEXEC` among the flags of `/proc/self/fdinfo`.
const CLOSED_BY_EXEC: u32 = 0o2_000_000;

/// What this process was given at the numbers after the standard streams. What it has opened by itself since is closed by
/// `execve`, and none of it.
fn inherited(count: u32) -> io::Result<Vec<(u32, OwnedFd)>> {
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fdinfo")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(number) = number.filter(|number| (3..count.saturating_add(3)).contains(number)) else {
            continue;
        };
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
        if flags.is_some_and(|flags| flags & CLOSED_BY_EXEC == 0) {
            let descriptor =
                pidfd_getfd(&own, RawFd::try_from(number).unwrap_or(-1), PidfdGetfdFlags::empty())?;
            found.push((number, descriptor));
        }
    }
    Ok(found)
}

/// Checks that a terminal has somebody to serve it.
pub(crate) fn check(terminal: bool, detached: bool, socket: Option<&Path>) -> anyhow::Result<()> {
    match (terminal, detached, socket) {
        (true, true, None) => {
            bail!("cannot allocate tty if the runtime will detach without setting console socket")
        }
        (false, _, Some(_)) => bail!("cannot use console socket without a tty and detaching"),
        _ => Ok(()),
    }
}

/// The master end of a process that has a terminal, blocking again: whoever gets it decides on that.
fn master(process: &Process) -> anyhow::Result<BorrowedFd<'_>> {
    let master = process.terminal().context("the process has no terminal")?;
    fcntl_setfl(master, fcntl_getfl(master)?.difference(OFlags::NONBLOCK))?;
    Ok(master)
}

/// Sends the master end to the socket.
pub(crate) fn give(process: &Process, socket: &Path) -> anyhow::Result<()> {
    let stream = UnixStream::connect(socket).context("the console socket cannot be reached")?;
    gate::send(stream.as_fd(), master(process)?)
}

/// The caller's terminal in raw mode, and the copying between it and a process's.
pub(crate) struct Copying {
    before: Option<Termios>,
    ended: Receiver<()>,
}

impl Copying {
    /// Begins to copy.
    pub(crate) fn begin(process: &Process) -> anyhow::Result<Self> {
        let input = io::stdin();
        let before = if isatty(&input) {
            let before = tcgetattr(&input)?;
            let mut raw = before.clone();
            raw.make_raw();
            tcsetattr(&input, OptionalActions::Now, &raw)?;
            fit(process);
            Some(before)
        } else {
            None
        };
        let master = File::from(master(process)?.try_clone_to_owned()?);
        let (to, from) = (master.try_clone()?, master);
        std::thread::spawn(move || copy(io::stdin(), to));
        let (tell, ended) = channel();
        std::thread::spawn(move || {
            copy(from, io::stdout());
            let _ = tell.send(());
        });
        Ok(Self { before, ended })
    }

    /// Waits for the last bytes of a process that has ended.
    pub(crate) fn end(self) {
        let _ = self.ended.recv_timeout(LAST_BYTES_TIMEOUT);
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Gives the process's terminal the size of the caller's.
pub(crate) fn fit(process: &Process) {
    if let Ok(size) = tcgetwinsize(io::stdin()) {
        // Without a size programs take their default.
        let _ = process.resize(TerminalSize { rows: size.ws_row, columns: size.ws_col });
    }
}

/// Copies until one end is closed; a terminal's end is an error to its reader.
fn copy(mut from: impl io::Read, mut to: impl io::Write) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let written = buffer.get(..length).map(|bytes| to.write_all(bytes).and_then(|()| to.flush()));
        if !matches!(written, Some(Ok(()))) {
            return;
        }
    }
}
