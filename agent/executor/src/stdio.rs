//! Standard streams of a process, as the agent sees them.
//!
//! The agent's ends never block. Reads are long polls that consume nothing unless they return it, so a caller that goes
//! away loses no byte; what a process wrote before it ended is read before the end of the stream is told. A write takes
//! what the pipe takes. Nobody holds a lock while waiting.

use std::fs;
use std::future::Future;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use policy_engine::request::TerminalSize;
use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat, major, minor};
use rustix::io::Errno;
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use crate::sys::reactor::register;

/// The most bytes that one read returns.
pub const READ_LENGTH_MAX: usize = 32 * 1024;

/// Why a stream could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// Policy grants the host no access to the container's streams.
    #[error("policy grants no access to the standard streams of this container")]
    Denied,
    /// The process has no such stream: a terminal has no separate error output, a pipe no size.
    #[error("the process has no such stream")]
    Missing,
    /// Standard input is closed, by the host or by the end of the process.
    #[error("standard input is closed")]
    Closed,
    /// The kernel said no.
    #[error("the stream failed")]
    Stream(#[source] io::Error),
}

/// The agent's ends of a process's streams.
#[derive(Debug)]
pub(crate) enum Stdio {
    /// The null device, for policy grants no access.
    Denied,
    /// Somebody else's.
    Given,
    /// Three pipes.
    Pipes { input: Input, output: AsyncFd<OwnedFd>, error: AsyncFd<OwnedFd> },
    /// A terminal's master end. The agent never opens the other end, which could become its controlling terminal.
    Terminal(AsyncFd<OwnedFd>),
}

/// The writing end of standard input, which can be closed while somebody writes.
#[derive(Debug)]
pub(crate) struct Input {
    writer: Mutex<Option<Arc<AsyncFd<OwnedFd>>>>,
    closed: watch::Sender<bool>,
}

/// Descriptors that a process gets as they are. Clones are of the same ones.
#[derive(Debug, Clone)]
pub struct GivenStreams {
    standard: Arc<[OwnedFd; 3]>,
    further: Arc<[(u32, OwnedFd)]>,
}

impl GivenStreams {
    /// Input, output and error.
    #[must_use]
    pub fn new(input: OwnedFd, output: OwnedFd, error: OwnedFd) -> Self {
        Self { standard: Arc::new([input, output, error]), further: Arc::new([]) }
    }

    /// Further descriptors with the numbers, from 3 up, that the process has them at.
    #[must_use]
    pub fn with_further(self, further: Vec<(u32, OwnedFd)>) -> Self {
        Self { further: further.into(), ..self }
    }
}

/// Who may use the streams of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StreamAccess<'a> {
    /// Nobody: policy grants no access.
    Denied,
    /// The agent, for the host.
    Agent,
    /// Who has the other ends of these.
    Given(&'a GivenStreams),
}

impl<'a> StreamAccess<'a> {
    /// Given streams count where access is `allowed`, and nowhere else.
    pub(crate) fn new(allowed: bool, given: Option<&'a GivenStreams>) -> Self {
        match (allowed, given) {
            (false, _) => Self::Denied,
            (true, None) => Self::Agent,
            (true, Some(given)) => Self::Given(given),
        }
    }

    /// What is given beyond the standard streams.
    pub(crate) fn further(self) -> impl Iterator<Item = BorrowedFd<'a>> {
        self.given().iter().map(|(_, descriptor)| descriptor.as_fd())
    }

    /// Where the process has [that](Self::further).
    pub(crate) fn numbers(self) -> Vec<u32> {
        self.given().iter().map(|(number, _)| *number).collect()
    }

    fn given(self) -> &'a [(u32, OwnedFd)] {
        match self {
            Self::Given(given) => &given.further,
            Self::Denied | Self::Agent => &[],
        }
    }
}

/// Streams of a process that does not exist yet.
#[derive(Debug)]
pub(crate) enum Prepared {
    Denied {
        null: OwnedFd,
    },
    Given(GivenStreams),
    Pipes {
        ours: (PipeWriter, PipeReader, PipeReader),
        theirs: (PipeReader, PipeWriter, PipeWriter),
    },
    /// The process makes it and sends the master end.
    Terminal,
}

impl Prepared {
    /// Prepares the null device where access is denied, a terminal if one is asked for, what was given, or pipes.
    pub(crate) fn new(access: StreamAccess<'_>, terminal: bool) -> io::Result<Self> {
        match (access, terminal) {
            (StreamAccess::Denied, _) => Ok(Self::Denied { null: null_device()? }),
            (StreamAccess::Agent | StreamAccess::Given(_), true) => Ok(Self::Terminal),
            (StreamAccess::Given(given), false) => Ok(Self::Given(given.clone())),
            (StreamAccess::Agent, false) => {
                let (input, their_input) = swap(io::pipe()?);
                let (output, their_output) = io::pipe()?;
                let (error, their_error) = io::pipe()?;
                let ours = (input, output, error);
                Ok(Self::Pipes { ours, theirs: (their_input, their_output, their_error) })
            }
        }
    }

    /// What the process gets as input, output and error; nothing if it makes a terminal.
    pub(crate) fn theirs(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Denied { null } => vec![null.as_fd(); 3],
            Self::Given(given) => given.standard.iter().map(OwnedFd::as_fd).collect(),
            Self::Pipes { theirs: (input, output, error), .. } => {
                vec![input.as_fd(), output.as_fd(), error.as_fd()]
            }
            Self::Terminal => Vec::new(),
        }
    }

    /// The agent's ends, when the process exists. Needs the context of a tokio runtime.
    pub(crate) fn into_stdio(self, master: Option<OwnedFd>) -> io::Result<Stdio> {
        match (self, master) {
            (Self::Denied { .. }, None) => Ok(Stdio::Denied),
            (Self::Given(_), None) => Ok(Stdio::Given),
            (Self::Pipes { ours: (input, output, error), .. }, None) => Ok(Stdio::Pipes {
                input: Input {
                    writer: Mutex::new(Some(Arc::new(non_blocking(input.into(), Interest::WRITABLE)?))),
                    closed: watch::Sender::new(false),
                },
                output: non_blocking(output.into(), Interest::READABLE)?,
                error: non_blocking(error.into(), Interest::READABLE)?,
            }),
            (Self::Terminal, Some(master)) => {
                Ok(Stdio::Terminal(non_blocking(master, Interest::READABLE | Interest::WRITABLE)?))
            }
            (Self::Denied { .. } | Self::Given(_) | Self::Pipes { .. }, Some(_)) | (Self::Terminal, None) => {
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }
}

fn swap<A, B>((one, other): (A, B)) -> (B, A) {
    (other, one)
}

fn non_blocking(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    fcntl_setfl(&descriptor, fcntl_getfl(&descriptor)? | OFlags::NONBLOCK)?;
    register(descriptor, interest)
}

/// The guest's null device, which is one.
fn null_device() -> io::Result<OwnedFd> {
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let status = fstat(&null)?;
    let device = (major(status.st_rdev), minor(status.st_rdev));
    if FileType::from_raw_mode(status.st_mode) != FileType::CharacterDevice || device != (1, 3) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(null.into())
}

impl Stdio {
    /// Reads standard output. Empty is its end: the other end is closed, or the process has `ended` and nothing is left.
    pub(crate) async fn read_output(
        &self,
        length_max: usize,
        ended: impl Future<Output = ()>,
    ) -> Result<Vec<u8>, StdioError> {
        match self {
            Self::Denied => Err(StdioError::Denied),
            Self::Given => Err(StdioError::Missing),
            Self::Pipes { output: stream, .. } | Self::Terminal(stream) => {
                read(stream, length_max, ended).await
            }
        }
    }

    /// Reads standard error, as [`read_output`](Self::read_output) does.
    pub(crate) async fn read_error(
        &self,
        length_max: usize,
        ended: impl Future<Output = ()>,
    ) -> Result<Vec<u8>, StdioError> {
        match self {
            Self::Denied => Err(StdioError::Denied),
            Self::Pipes { error, .. } => read(error, length_max, ended).await,
            Self::Given | Self::Terminal(_) => Err(StdioError::Missing),
        }
    }

    /// Writes what standard input takes of `bytes`, at least one byte; waits until it takes any. The result is how many.
    pub(crate) async fn write_input(
        &self,
        bytes: &[u8],
        ended: impl Future<Output = ()>,
    ) -> Result<usize, StdioError> {
        match self {
            Self::Denied => Err(StdioError::Denied),
            Self::Given => Err(StdioError::Missing),
            Self::Terminal(master) => write(master, bytes, std::future::pending(), ended).await,
            Self::Pipes { input, .. } => {
                let mut closed = input.closed.subscribe();
                let writer = input.writer.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let writer = writer.ok_or(StdioError::Closed)?;
                let closed = async move {
                    let _ = closed.wait_for(|closed| *closed).await;
                };
                write(&writer, bytes, closed, ended).await
            }
        }
    }

    /// Closes standard input. A terminal's stays open: its user says so with an end-of-file character.
    pub(crate) fn close_input(&self) -> Result<(), StdioError> {
        match self {
            Self::Denied => Err(StdioError::Denied),
            Self::Given => Err(StdioError::Missing),
            Self::Terminal(_) => Ok(()),
            Self::Pipes { input, .. } => {
                drop(input.writer.lock().unwrap_or_else(PoisonError::into_inner).take());
                input.closed.send_replace(true);
                Ok(())
            }
        }
    }

    /// The agent's end of the terminal, if there is one.
    #[cfg(feature = "handover")]
    pub(crate) fn terminal(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Terminal(master) => Some(master.as_fd()),
            Self::Denied | Self::Given | Self::Pipes { .. } => None,
        }
    }

    /// Sets the size of the terminal.
    pub(crate) fn resize(&self, size: TerminalSize) -> Result<(), StdioError> {
        match self {
            Self::Denied => Err(StdioError::Denied),
            Self::Given | Self::Pipes { .. } => Err(StdioError::Missing),
            Self::Terminal(master) => {
                let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
                tcsetwinsize(master, size).map_err(|errno| StdioError::Stream(errno.into()))
            }
        }
    }
}

/// Reads once. The bytes are taken from the kernel in the same poll that returns them.
async fn read(
    stream: &AsyncFd<OwnedFd>,
    length_max: usize,
    ended: impl Future<Output = ()>,
) -> Result<Vec<u8>, StdioError> {
    let mut buffer = vec![0; length_max.clamp(1, READ_LENGTH_MAX)];
    let mut ended = std::pin::pin!(ended);
    loop {
        let ready = tokio::select! {
            biased;
            ready = stream.readable() => Some(ready.map_err(StdioError::Stream)?),
            () = &mut ended => None,
        };
        let result = rustix::io::read(stream, &mut buffer);
        match (result, ready) {
            (Ok(length), _) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            (Err(Errno::AGAIN), Some(mut ready)) => ready.clear_ready(),
            // A terminal whose other end is closed everywhere reports an error (EIO) instead of an end. And after the
            // end of the process all it wrote was there to be read: what is not there will not come from it.
            (Err(Errno::IO | Errno::AGAIN), _) => return Ok(Vec::new()),
            (Err(Errno::INTR), _) => {}
            (Err(errno), _) => return Err(StdioError::Stream(errno.into())),
        }
    }
}

async fn write(
    stream: &AsyncFd<OwnedFd>,
    bytes: &[u8],
    closed: impl Future<Output = ()>,
    ended: impl Future<Output = ()>,
) -> Result<usize, StdioError> {
    if bytes.is_empty() {
        return Ok(0);
    }
    let (mut closed, mut ended) = (std::pin::pin!(closed), std::pin::pin!(ended));
    loop {
        let mut ready = tokio::select! {
            biased;
            () = &mut closed => return Err(StdioError::Closed),
            () = &mut ended => return Err(StdioError::Closed),
            ready = stream.writable() => ready.map_err(StdioError::Stream)?,
        };
        match rustix::io::write(stream, bytes) {
            Ok(length) => return Ok(length),
            Err(Errno::AGAIN) => ready.clear_ready(),
            Err(Errno::INTR) => {}
            Err(Errno::PIPE | Errno::IO) => return Err(StdioError::Closed),
            Err(errno) => return Err(StdioError::Stream(errno.into())),
        }
    }
}

#[cfg(test)]
mod tests;
