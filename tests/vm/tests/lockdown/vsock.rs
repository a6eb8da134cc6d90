//! The agent's door is on vsock, which no namespace divides: a container reaches for it, and for the host's place.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread;

use vm::{AGENT_PORT, GUEST_CID, Host, LayerFiles};

use crate::Guest;
use crate::program::{Place, bind, dial};

/// Context ids: of whoever asks, of the host, and any.
const LOCAL_CID: u32 = 1;
const HOST_CID: u32 = 2;
const ANY_CID: u32 = u32::MAX;
/// A port of the host's that nothing of the guest's knows.
const HOST_PORT: u32 = 7000;

const ENODEV: u8 = 19;
const EADDRINUSE: u8 = 98;
const EADDRNOTAVAIL: u8 = 99;
const ETIMEDOUT: u8 = 110;

/// Frames of ttrpc: length and stream in four bytes each, kind, flags.
const FRAME_HEADER_SIZE: usize = 10;
const RESPONSE: u8 = 2;

/// A request that the agent answers to everybody whom it hears: is it in good health?
fn health_request() -> Vec<u8> {
    // Fields 1 and 2 are texts, the service and the method. The empty message needs no bytes.
    let message = b"\x0a\x0bgrpc.Health\x12\x05Check";
    [&[0, 0, 0, message.len() as u8, 0, 0, 0, 1, 1, 0], &message[..]].concat()
}

/// The kind of the frame that the agent sends to the host for this request.
fn answer_to_host(guest: &Guest, request: &[u8]) -> u8 {
    let address = guest.machine.agent_address();
    let (path, port) = address.strip_prefix("hvsock://").unwrap().rsplit_once(':').unwrap();
    let mut door = UnixStream::connect(path).unwrap();
    door.write_all(format!("CONNECT {port}\n").as_bytes()).unwrap();
    let mut byte = [0];
    while byte != *b"\n" {
        door.read_exact(&mut byte).unwrap();
    }
    door.write_all(request).unwrap();
    let mut header = [0; FRAME_HEADER_SIZE];
    door.read_exact(&mut header).unwrap();
    header[8]
}

/// What becomes of each attempt. The driver refuses the guest's own context id, since there is no loopback in the image;
/// the rest goes to the host, where nobody listens: nothing is heard of it until the kernel gives up.
const ATTEMPTS: [(&str, Place, u8); 7] = [
    ("dial-own", (GUEST_CID, AGENT_PORT), ENODEV),
    ("dial-local", (LOCAL_CID, AGENT_PORT), ETIMEDOUT),
    ("dial-host", (HOST_CID, AGENT_PORT), ETIMEDOUT),
    ("dial-any", (ANY_CID, AGENT_PORT), ETIMEDOUT),
    ("bind-own", (GUEST_CID, AGENT_PORT), EADDRINUSE),
    ("bind-any", (ANY_CID, AGENT_PORT), EADDRINUSE),
    ("bind-host", (HOST_CID, AGENT_PORT), EADDRNOTAVAIL),
];

#[test]
fn a_container_does_not_reach_the_hosts_door_nor_takes_its_place() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let request = health_request();
    let files = ATTEMPTS.into_iter().fold(LayerFiles::of_busybox().unwrap(), |files, (name, place, _)| {
        let program = if name.starts_with("bind") { bind(place) } else { dial(place, &request) };
        files.with(format!("bin/{name}"), program)
    });
    let files = files.with("bin/dial-port", dial((HOST_CID, HOST_PORT), &request));
    let mut guest = Guest::start(&host, "lockdown-vsock", files);
    assert_eq!(answer_to_host(&guest, &request), RESPONSE);

    // Whoever listens on the host hears the program, and is heard by it.
    let listener = guest.machine.listen(HOST_PORT).unwrap();
    let expected = request.clone();
    let listening = thread::spawn(move || {
        let (mut program, _) = listener.accept().unwrap();
        let mut heard = vec![0; expected.len()];
        program.read_exact(&mut heard).unwrap();
        program.write_all(b"heard ").unwrap();
        assert_eq!(heard, expected);
    });
    assert_eq!(guest.run(&[], "/bin/dial-port; echo $?"), "heard 0\n");
    listening.join().unwrap();

    // None is connected, and none prints a byte of an answer.
    let attempts: String =
        ATTEMPTS.map(|(name, ..)| format!("echo {name} $(/bin/{name}; echo $?)\n")).concat();
    let outcomes: String = ATTEMPTS.map(|(name, _, outcome)| format!("{name} {outcome}\n")).concat();
    assert_eq!(guest.run(&[], &attempts), outcomes);
    assert_eq!(answer_to_host(&guest, &request), RESPONSE);
    assert_eq!(guest.host(&["health"])["status"], "SERVING");
}
