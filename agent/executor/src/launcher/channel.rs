//! Packets with descriptors between two of our own processes.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, recvmsg, sendmsg, shutdown,
    socketpair,
};

use crate::sys::descriptors;

/// The largest packet, in bytes.
pub(crate) const PACKET_LENGTH_MAX: usize = 4096;
/// The most descriptors that travel in one packet: what the kernel allows (`SCM_MAX_FD`).
pub(crate) const DESCRIPTORS_MAX: usize = 253;
/// The most packets that are thrown away when hanging up; a new process sends fewer.
const UNREAD_MAX: usize = 8;

/// One end of a socket pair that keeps the boundaries of packets.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

impl Channel {
    /// Two connected ends, neither of which survives `execve`.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(one), Self(other)))
    }

    /// Takes over an end that came as a descriptor.
    pub(crate) fn from_descriptor(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// The end as a descriptor.
    #[cfg(feature = "handover")]
    pub(crate) fn into_descriptor(self) -> OwnedFd {
        self.0
    }

    /// The same end, at a number above `number`.
    pub(crate) fn above(self, number: u32) -> io::Result<Self> {
        Ok(Self(descriptors::duplicate_above(self.0.as_fd(), number)?))
    }

    /// Bounds how long [`receive`](Self::receive) waits; it fails with `EAGAIN` then.
    pub(crate) fn set_receive_timeout(&self, timeout: Duration) -> io::Result<()> {
        set_socket_timeout(&self.0, Timeout::Recv, Some(timeout)).map_err(io::Error::from)
    }

    /// How long [`receive`](Self::receive) waits at the most; `None` if that is not bounded.
    pub(crate) fn receive_timeout(&self) -> io::Result<Option<Duration>> {
        socket_timeout(&self.0, Timeout::Recv).map_err(io::Error::from)
    }

    /// Waits until there is something to [`receive`](Self::receive), or the end; says whether there is.
    pub(crate) fn is_readable_within(&self, timeout: Duration) -> io::Result<bool> {
        let timeout = timeout.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout)) {
            Err(Errno::INTR) => Ok(false),
            ready => Ok(ready? != 0),
        }
    }

    /// Bounds how long [`send`](Self::send) waits for room; it fails with `EAGAIN` then.
    pub(crate) fn set_send_timeout(&self, timeout: Duration) -> io::Result<()> {
        set_socket_timeout(&self.0, Timeout::Send, Some(timeout)).map_err(io::Error::from)
    }

    /// Sends one packet.
    pub(crate) fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        if bytes.is_empty() || bytes.len() > PACKET_LENGTH_MAX || descriptors.len() > DESCRIPTORS_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        loop {
            match sendmsg(&self.0, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL) {
                Ok(sent) if sent == bytes.len() => return Ok(()),
                Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Receives one packet with its descriptors; `None` when the other end is closed.
    ///
    /// A packet that does not fit, in bytes or in descriptors, is an error: its descriptors are closed.
    pub(crate) fn receive(&self) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
        let mut bytes = vec![0_u8; PACKET_LENGTH_MAX];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut slices = [IoSliceMut::new(&mut bytes)];
            match recvmsg(&self.0, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => break received,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        };
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        bytes.truncate(received.bytes);
        Ok(Some((bytes, descriptors)))
    }

    /// Tells the other end that nothing more comes, and waits until nobody has that end any more: each wait is as long
    /// as [`set_receive_timeout`](Self::set_receive_timeout) says.
    pub(crate) fn hang_up(self) -> io::Result<()> {
        shutdown(&self.0, Shutdown::Write)?;
        for _ in 0..UNREAD_MAX {
            if self.receive()?.is_none() {
                return Ok(());
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn packets_keep_their_boundaries_and_descriptors() {
        let (one, other) = Channel::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        one.send(b"first", &[writer.as_fd()]).unwrap();
        one.send(b"second", &[]).unwrap();
        drop(writer);
        let (bytes, mut descriptors) = other.receive().unwrap().unwrap();
        assert_eq!((bytes.as_slice(), descriptors.len()), (b"first".as_slice(), 1));
        let mut writer = std::fs::File::from(descriptors.remove(0));
        writer.write_all(b"through").unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        assert_eq!(other.receive().unwrap().unwrap().0, b"second");
        drop(one);
        assert!(other.receive().unwrap().is_none());
    }

    #[test]
    fn hanging_up_waits_for_the_other_end_to_close() {
        let (one, other) = Channel::pair().unwrap();
        one.set_receive_timeout(Duration::from_millis(10)).unwrap();
        other.send(b"unread", &[]).unwrap();
        let copy = one.0.try_clone().unwrap();
        assert!(one.hang_up().is_err());
        // The other end is told, and can still speak.
        assert!(other.receive().unwrap().is_none());
        other.send(b"last", &[]).unwrap();
        drop(other);
        Channel(copy).hang_up().unwrap();
    }

    #[test]
    fn packets_are_bounded() {
        let (one, other) = Channel::pair().unwrap();
        assert!(one.send(&[0; PACKET_LENGTH_MAX + 1], &[]).is_err());
        assert!(one.send(&[], &[]).is_err());
        let large = [0_u8; PACKET_LENGTH_MAX + 1];
        let mut none = SendAncillaryBuffer::default();
        sendmsg(&one.0, &[IoSlice::new(&large)], &mut none, SendFlags::NOSIGNAL).unwrap();
        assert!(other.receive().is_err());
    }
}
