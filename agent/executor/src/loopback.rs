//! The loopback interface of the network namespace that the caller is in.

use std::io;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Why the interface is down.
#[derive(Debug, thiserror::Error)]
pub enum LoopbackError {
    /// No netlink socket.
    #[error("cannot open a netlink socket")]
    Socket(#[source] io::Error),
    /// The request was not sent.
    #[error("cannot send the request")]
    Send(#[source] io::Error),
    /// No answer.
    #[error("cannot receive the answer")]
    Receive(#[source] io::Error),
    /// The kernel says no, or something else.
    #[error("the kernel refuses")]
    Refused(#[source] io::Error),
}

impl From<LoopbackError> for io::Error {
    fn from(error: LoopbackError) -> Self {
        match error {
            LoopbackError::Socket(source)
            | LoopbackError::Send(source)
            | LoopbackError::Receive(source)
            | LoopbackError::Refused(source) => source,
        }
    }
}

const RTM_NEWLINK: u16 = 16;
const NLMSG_ERROR: u16 = 2;
/// `NLM_F_REQUEST | NLM_F_ACK`
const REQUEST_ACKNOWLEDGE: u16 = 1 | 4;
const IFF_UP: u32 = 1;
/// The loopback interface is the first one of each network namespace.
const LOOPBACK_INDEX: i32 = 1;
/// Bytes of the request: `struct nlmsghdr` and `struct ifinfomsg`.
const REQUEST_SIZE: u32 = 32;

/// Brings `lo` up. Format: rtnetlink(7).
pub(crate) fn bring_up() -> Result<(), LoopbackError> {
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .map_err(|error| LoopbackError::Socket(error.into()))?;
    rustix::net::send(&socket, &request(), SendFlags::empty())
        .map_err(|error| LoopbackError::Send(error.into()))?;
    let mut answer = [0; 1024];
    let (length, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty())
        .map_err(|error| LoopbackError::Receive(error.into()))?;
    acknowledged(answer.get(..length).unwrap_or_default()).map_err(LoopbackError::Refused)
}

fn request() -> Vec<u8> {
    let mut request = Vec::with_capacity(REQUEST_SIZE as usize);
    request.extend(REQUEST_SIZE.to_ne_bytes());
    request.extend(RTM_NEWLINK.to_ne_bytes());
    request.extend(REQUEST_ACKNOWLEDGE.to_ne_bytes());
    // Sequence number, port; then family, padding and device type: all zero.
    request.extend([0; 12]);
    request.extend(LOOPBACK_INDEX.to_ne_bytes());
    // The flags, and which of them change.
    request.extend(IFF_UP.to_ne_bytes());
    request.extend(IFF_UP.to_ne_bytes());
    request
}

/// An acknowledgement is an error message with the number 0.
fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let kind = answer.get(4..).and_then(|rest| rest.first_chunk()).map(|bytes| u16::from_ne_bytes(*bytes));
    let code = answer.get(16..).and_then(|rest| rest.first_chunk()).map(|bytes| i32::from_ne_bytes(*bytes));
    match (kind, code) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_has_its_size() {
        assert_eq!(request().len(), REQUEST_SIZE as usize);
    }

    #[test]
    fn only_an_acknowledgement_is_success() {
        let answer = |kind: u16, code: i32| {
            let mut bytes = vec![0; 36];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes[16..20].copy_from_slice(&code.to_ne_bytes());
            bytes
        };
        assert!(acknowledged(&answer(NLMSG_ERROR, 0)).is_ok());
        let refused = acknowledged(&answer(NLMSG_ERROR, -1)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        assert!(acknowledged(&answer(RTM_NEWLINK, 0)).is_err());
        assert!(acknowledged(&[0; 8]).is_err());
    }
}
