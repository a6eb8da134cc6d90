//! The way to start a created container: the other end of the channel at which its init waits.
//!
//! The process that creates a container ends, and the one that starts it comes later. In between, a process of its own
//! holds the channel and gives it to the first that asks, through a socket in the container's state directory. It ends
//! then, or when the container does.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use crate::state::Entry;

const SOCKET: &str = "gate";

/// Starts the process that holds the gate.
#[expect(clippy::disallowed_methods, reason = "a process of the command line's own, not of a container")]
pub(crate) fn leave(entry: &Entry, gate: OwnedFd) -> anyhow::Result<()> {
    let (_directory, path) = address(entry)?;
    let listener = UnixListener::bind(path).context("the socket of the gate cannot be made")?;
    Command::new("/proc/self/exe")
        .arg("hold-gate")
        .stdin(gate)
        .stdout(OwnedFd::from(listener))
        .stderr(Stdio::null())
        .current_dir("/")
        .env_clear()
        .spawn()
        .context("the gate is held by nobody")?;
    Ok(())
}

/// Gets the gate. `None` when somebody else got it.
pub(crate) fn take(entry: &Entry) -> anyhow::Result<Option<OwnedFd>> {
    let (_directory, path) = address(entry)?;
    match UnixStream::connect(path) {
        Ok(stream) => Ok(receive(stream.as_fd()).unwrap_or_default()),
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            Ok(None)
        }
        Err(error) => Err(error).context("the gate cannot be reached"),
    }
}

/// The socket below an open directory: the path of that may be longer than an address.
fn address(entry: &Entry) -> anyhow::Result<(File, PathBuf)> {
    let directory = File::open(entry.path()).context("the container's state directory cannot be opened")?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&directory);
    Ok((directory, format!("/proc/self/fd/{number}/{SOCKET}").into()))
}

/// Holds the gate: standard input is the gate, standard output the socket.
pub(crate) fn hold() -> anyhow::Result<ExitCode> {
    close_inherited()?;
    // Signals to the group of the one who called are not for this process.
    rustix::process::setsid().context("no session")?;
    let (gate, socket) = (io::stdin(), io::stdout());
    let listener = UnixListener::from(socket.as_fd().try_clone_to_owned()?);
    loop {
        let mut polled = [PollFd::new(&gate, PollFlags::IN), PollFd::new(&listener, PollFlags::IN)];
        poll(&mut polled, None).context("the gate cannot be watched")?;
        let [at_gate, at_socket] = polled.map(|one| one.revents());
        // The init says nothing before it is told to go on: this is its end.
        if !at_gate.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        if !at_socket.is_empty() {
            let (stream, _) = listener.accept().context("nobody asks for the gate")?;
            // One who asked and went away has not got it.
            if send(stream.as_fd(), gate.as_fd()).is_ok() {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
}

/// Closes what was inherited beside the standard streams: engines wait for the end of pipes that they gave away.
pub(crate) fn close_inherited() -> anyhow::Result<()> {
    let names = std::fs::read_dir("/proc/self/fd").context("descriptors cannot be listed")?;
    let numbers: Vec<RawFd> = names
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in numbers {
        // The listing itself is among them, and closed already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

/// Sends a descriptor over a socket.
pub(crate) fn send(socket: BorrowedFd<'_>, descriptor: BorrowedFd<'_>) -> anyhow::Result<()> {
    send_with(socket, descriptor, b"descriptor")
}

/// Sends a descriptor over a socket, with a message.
pub(crate) fn send_with(
    socket: BorrowedFd<'_>,
    descriptor: BorrowedFd<'_>,
    message: &[u8],
) -> anyhow::Result<()> {
    let rights = [descriptor];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&rights)) {
        bail!("a descriptor does not fit");
    }
    sendmsg(socket, &[IoSlice::new(message)], &mut ancillary, SendFlags::NOSIGNAL)
        .context("the descriptor cannot be sent")?;
    Ok(())
}

fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let mut bytes = [0_u8; 16];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let descriptor = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
        _ => None,
    });
    Ok(descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_passes() {
        let (one, other) = UnixStream::pair().unwrap();
        send(one.as_fd(), File::open("/dev/null").unwrap().as_fd()).unwrap();
        assert!(receive(other.as_fd()).unwrap().is_some());
        drop(one);
        assert!(receive(other.as_fd()).unwrap().is_none());
    }
}
