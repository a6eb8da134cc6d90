//! A guest that pulls an image: it dials the proxy of its measured command line, and speaks TLS beyond it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests stop at the first surprise")]

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use vm::{BootFiles, Host, HostTool, Initdata, VirtualMachine, VmConfig};

const PROXY_PORT: u32 = 4443;
const IMAGE: &str = "docker://registry.example/team/app:1";
/// Allows nothing: no layer of a stranger gets as far as a question.
const POLICY: &str = "package policy\n\napi_version := \"0.10.0\"\nframework_version := \"0.2.3\"\n";
/// Content type of a TLS record, `handshake` (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// What a guest said to a proxy that leads to somebody who is no registry.
struct Overheard {
    /// What the proxy was asked for, to the empty line.
    request: String,
    /// The first record for whoever is beyond the proxy.
    record: Vec<u8>,
}

/// Grants one connection, and gives an answer in the registry's place that is not TLS.
fn answer_one(proxy: &UnixListener) -> Overheard {
    let (mut guest, _) = proxy.accept().unwrap();
    let request = read_head(&mut guest);
    guest.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
    let mut record = vec![0; 5];
    guest.read_exact(&mut record).unwrap();
    let mut body = vec![0; usize::from(u16::from_be_bytes([record[3], record[4]]))];
    guest.read_exact(&mut body).unwrap();
    record.extend(body);
    guest.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
    Overheard { request, record }
}

fn read_head(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn a_pull_goes_through_the_measured_proxy_and_believes_nobody_without_tls() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let mut boot = BootFiles::in_folder(&host.image).unwrap();
    boot.command_line.push_str(&format!(" cce.pull_proxy=vsock://2:{PROXY_PORT}"));
    let config = VmConfig::new("pull", boot, [0; 32]).with_initdata(Initdata::with_policy(POLICY).unwrap());
    let machine = VirtualMachine::start(&host, &config).unwrap();
    let proxy = machine.listen(PROXY_PORT).unwrap();
    let overheard = thread::spawn(move || answer_one(&proxy));

    let tool = HostTool::new(&host, &machine);
    let id = "5".repeat(64);
    let refused = tool.call(&["run", "--id", &id, "--pull", IMAGE, "--arg", "/bin/true"]).unwrap();
    assert_eq!(refused["status"], "UNAVAILABLE", "{refused}");
    let Overheard { request, record } = overheard.join().unwrap();
    assert!(request.starts_with("CONNECT registry.example:443 HTTP/1.1\r\n"), "{request:?}");
    assert_eq!(record[0], HANDSHAKE, "{record:02x?}");
    let named = record.windows(16).any(|bytes| bytes == b"registry.example");
    assert!(named, "the guest does not say whom it wants: {record:02x?}");
    assert_eq!(tool.call(&["health"]).unwrap()["status"], "SERVING");
    machine.stop().unwrap();
}
