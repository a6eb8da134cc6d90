//! What a host offers a guest that pulls: a relay that understands nothing but `CONNECT`.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

/// Content type of a TLS record, `handshake` (RFC 8446, 5.1).
pub(crate) const HANDSHAKE: u8 = 22;

/// What a guest said to a proxy that leads to somebody who is no registry.
pub(crate) struct Overheard {
    /// What the proxy was asked for, to the empty line.
    pub(crate) request: String,
    /// The first record for whoever is beyond the proxy.
    pub(crate) record: Vec<u8>,
}

/// Grants one connection, and gives an answer in the registry's place that is not TLS.
pub(crate) fn answer_one(proxy: &UnixListener) -> Overheard {
    let (mut guest, _) = proxy.accept().unwrap();
    let request = grant(&mut guest);
    let mut record = vec![0; 5];
    guest.read_exact(&mut record).unwrap();
    let mut body = vec![0; usize::from(u16::from_be_bytes([record[3], record[4]]))];
    guest.read_exact(&mut body).unwrap();
    record.extend(body);
    guest.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
    Overheard { request, record }
}

/// Connects each guest to the loopback port that it asks for, until the test ends.
pub(crate) fn relay(proxy: UnixListener) {
    thread::spawn(move || {
        for guest in proxy.incoming() {
            let mut guest = guest.unwrap();
            let request = grant(&mut guest);
            let port = request.strip_prefix("CONNECT localhost:").and_then(|rest| rest.split(' ').next());
            let registry = TcpStream::connect(("127.0.0.1", port.unwrap().parse().unwrap())).unwrap();
            let (mut from_guest, mut to_registry) =
                (guest.try_clone().unwrap(), registry.try_clone().unwrap());
            // Who hangs up at one end ends the other one; errors of either are its way to do so.
            thread::spawn(move || {
                drop(std::io::copy(&mut from_guest, &mut to_registry));
                drop(to_registry.shutdown(Shutdown::Write));
            });
            thread::spawn(move || {
                drop(std::io::copy(&mut &registry, &mut guest));
                drop(guest.shutdown(Shutdown::Both));
            });
        }
    });
}

/// The head of a request for a tunnel, which is granted.
fn grant(guest: &mut UnixStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        guest.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    guest.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
    String::from_utf8(head).unwrap()
}
