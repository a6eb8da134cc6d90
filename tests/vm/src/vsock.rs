//! The host's end of the guest's vsock: a socket that takes `CONNECT <port>`, as Firecracker and Kata have it.
//!
//! `vhost-device-vsock` plays the host's kernel. What the guest dials on port P arrives at the socket `<path>_<P>`.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

/// The only guest of its back-end; the number is the guest's own business.
pub const GUEST_CID: u32 = 3;
/// A guest that is up answers a connection at once, also under emulation.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// `OK <port>\n`, with room for any port.
const ANSWER_LIMIT: usize = 32;

/// The sockets of one machine.
#[derive(Debug, Clone)]
pub(crate) struct VsockSockets {
    /// Where the host dials the guest.
    pub(crate) guest: PathBuf,
    /// Where QEMU finds the back-end.
    pub(crate) backend: PathBuf,
}

impl VsockSockets {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self { guest: folder.join("vm.sock"), backend: folder.join("backend.sock") }
    }

    /// Where the host listens for a guest that dials this port.
    pub(crate) fn host_listener(&self, port: u32) -> PathBuf {
        let mut path = self.guest.clone().into_os_string();
        path.push(format!("_{port}"));
        path.into()
    }

    pub(crate) fn backend_arguments(&self) -> Vec<String> {
        let (guest, backend) = (self.guest.display(), self.backend.display());
        vec!["--vm".to_owned(), format!("guest-cid={GUEST_CID},uds-path={guest},socket={backend}")]
    }

    /// Whether something in the guest accepts connections on this port.
    pub(crate) fn answers(&self, port: u32) -> bool {
        self.connect(port).is_ok()
    }

    fn connect(&self, port: u32) -> std::io::Result<()> {
        let mut stream = UnixStream::connect(&self.guest)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.write_all(format!("CONNECT {port}\n").as_bytes())?;
        let mut answer = Vec::new();
        let mut byte = [0];
        while answer.last() != Some(&b'\n') && answer.len() < ANSWER_LIMIT {
            stream.read_exact(&mut byte)?;
            answer.extend_from_slice(&byte);
        }
        if answer.starts_with(b"OK ") && answer.ends_with(b"\n") {
            Ok(())
        } else {
            Err(std::io::ErrorKind::InvalidData.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn guest(answer: &'static [u8]) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let sockets = VsockSockets::in_folder(folder.path());
        let listener = UnixListener::bind(&sockets.guest).unwrap();
        let back_end = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 13];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(answer).unwrap();
            request
        });
        let answers = sockets.answers(1024);
        assert_eq!(&back_end.join().unwrap(), b"CONNECT 1024\n");
        answers
    }

    #[test]
    fn a_guest_that_listens_says_ok() {
        assert!(guest(b"OK 1073741824\n"));
    }

    #[test]
    fn a_closed_connection_or_another_answer_is_no_guest() {
        assert!(!guest(b""));
        assert!(!guest(b"NO\n"));
        assert!(!guest(b"OK without an end of line, however long it goes on"));
    }

    #[test]
    fn the_host_listens_beside_the_guests_socket() {
        let sockets = VsockSockets::in_folder(Path::new("/run/x"));
        assert_eq!(sockets.host_listener(4050), Path::new("/run/x/vm.sock_4050"));
    }
}
