//! The emulated secure processor: for development on machines without SEV-SNP.
//!
//! Its keys and the launch state live in a host process; the guest only sends the firmware's request structure and
//! receives a report. The feature `emulated-psp` guards it, so a production agent does not contain it.
//!
//! Wire: a little-endian `u32` length (96) and the request, answered by a little-endian `u32` status and 1184 bytes.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, VsockAddr, setsockopt, sockopt};
use nix::sys::time::TimeVal;

use super::{ReportError, ReportSource, report_on};
use crate::report::layout::REPORT_LEN;
use crate::report::{Report, ReportData};

/// Length of the firmware's request structure.
const REQUEST_LEN: u32 = 96;
/// An emulator that is silent for longer is gone.
const TIMEOUT_S: i64 = 10;

/// Reports by an emulated secure processor, at VMPL 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmulatedPsp {
    address: Address,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    Vsock { cid: u32, port: u32 },
    Unix(PathBuf),
}

/// Text that is not the address of an emulated secure processor.
#[derive(Debug, thiserror::Error)]
#[error("expected vsock://CID:PORT or unix://PATH, got {given:?}")]
pub struct ParseAddressError {
    given: String,
}

impl FromStr for EmulatedPsp {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_address(text)
            .map(|address| Self { address })
            .ok_or_else(|| ParseAddressError { given: text.to_owned() })
    }
}

fn parse_address(text: &str) -> Option<Address> {
    if let Some(path) = text.strip_prefix("unix://") {
        return path.starts_with('/').then(|| Address::Unix(PathBuf::from(path)));
    }
    let (cid, port) = text.strip_prefix("vsock://")?.split_once(':')?;
    Some(Address::Vsock { cid: cid.parse().ok()?, port: port.parse().ok()? })
}

impl Address {
    fn connect(&self) -> io::Result<File> {
        let socket: OwnedFd = match self {
            Self::Unix(path) => UnixStream::connect(path)?.into(),
            Self::Vsock { cid, port } => {
                let socket =
                    socket::socket(AddressFamily::Vsock, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
                socket::connect(socket.as_raw_fd(), &VsockAddr::new(*cid, *port))?;
                socket
            }
        };
        let timeout = TimeVal::new(TIMEOUT_S, 0);
        setsockopt(&socket, sockopt::ReceiveTimeout, &timeout)?;
        setsockopt(&socket, sockopt::SendTimeout, &timeout)?;
        Ok(File::from(socket))
    }
}

/// The framed request: user data, VMPL 0, 28 reserved bytes.
fn request_frame(data: &ReportData) -> Vec<u8> {
    [&REQUEST_LEN.to_le_bytes()[..], data.as_bytes(), &[0; 32]].concat()
}

fn exchange(mut connection: File, request: &[u8]) -> io::Result<(u32, [u8; REPORT_LEN])> {
    connection.write_all(request)?;
    let mut status = [0; 4];
    connection.read_exact(&mut status)?;
    let mut report = [0; REPORT_LEN];
    connection.read_exact(&mut report)?;
    Ok((u32::from_le_bytes(status), report))
}

impl ReportSource for EmulatedPsp {
    fn report(&self, data: &ReportData) -> Result<Report, ReportError> {
        let connection = self.address.connect().map_err(ReportError::Connect)?;
        let (status, report) = exchange(connection, &request_frame(data)).map_err(ReportError::Exchange)?;
        if status != 0 {
            return Err(ReportError::Status(status));
        }
        report_on(data, &report)
    }

    fn name(&self) -> &'static str {
        "emulated-psp"
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// Answers one request with `answer` and gives back the request.
    fn answering(answer: Vec<u8>) -> (tempfile::TempDir, EmulatedPsp, std::thread::JoinHandle<Vec<u8>>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("psp");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let mut request = vec![0; 100];
            let (mut peer, _) = listener.accept().unwrap();
            peer.read_exact(&mut request).unwrap();
            peer.write_all(&answer).unwrap();
            request
        });
        let source = format!("unix://{}", path.display()).parse().unwrap();
        (folder, source, server)
    }

    fn answer(status: u32, data: &ReportData) -> Vec<u8> {
        let mut raw = [0; REPORT_LEN];
        raw[0] = 3;
        raw[0x50..0x90].copy_from_slice(data.as_bytes());
        [&status.to_le_bytes()[..], &raw].concat()
    }

    #[test]
    fn a_report_is_asked_for_and_taken() {
        let data = ReportData::new([5; 64]);
        let (_folder, source, server) = answering(answer(0, &data));
        assert_eq!(source.report(&data).unwrap().report_data(), data);
        let request = server.join().unwrap();
        assert_eq!(request[..4], [96, 0, 0, 0]);
        assert_eq!(request[4..68], [5; 64]);
        assert_eq!(request[68..], [0; 32]);
    }

    #[test]
    fn refusals_replays_and_short_answers_are_errors() {
        let data = ReportData::new([5; 64]);
        let (_folder, source, _server) = answering(answer(0x16, &data));
        assert!(matches!(source.report(&data), Err(ReportError::Status(0x16))));
        let (_folder, source, _server) = answering(answer(0, &ReportData::new([6; 64])));
        assert!(matches!(source.report(&data), Err(ReportError::OtherData)));
        let (_folder, source, _server) = answering(vec![0; 100]);
        assert!(matches!(source.report(&data), Err(ReportError::Exchange(_))));
        let nobody: EmulatedPsp = "unix:///nonexistent/psp".parse().unwrap();
        assert!(matches!(nobody.report(&data), Err(ReportError::Connect(_))));
    }

    #[test]
    fn only_whole_addresses_parse() {
        let parsed: EmulatedPsp = "vsock://2:9000".parse().unwrap();
        assert_eq!(parsed.address, Address::Vsock { cid: 2, port: 9000 });
        for text in
            ["", "2:9000", "vsock://2", "vsock://x:1", "vsock://2:4294967296", "unix://psp", "tcp://a:1"]
        {
            assert!(text.parse::<EmulatedPsp>().is_err(), "{text}");
        }
    }
}
