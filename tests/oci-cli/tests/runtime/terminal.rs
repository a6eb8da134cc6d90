//! Terminals.

use std::fs::File;
use std::io::{IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixListener;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::bench::Bench;

/// Waits at the socket for a terminal's master end.
fn receive(listener: &UnixListener) -> File {
    let (stream, _) = listener.accept().unwrap();
    let mut bytes = [0; 64];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(&stream, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut messages = ancillary.drain();
    let Some(RecvAncillaryMessage::ScmRights(mut rights)) = messages.next() else { panic!("no descriptor") };
    File::from(rights.next().unwrap())
}

/// Reads until a text has come.
fn read_until(master: &mut File, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let mut buffer = [0; 256];
        let length = master.read(&mut buffer).unwrap();
        read.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    read
}

#[test]
fn the_master_end_goes_to_the_socket() {
    let Some(mut bench) = Bench::new(&["sh", "-c", "echo begin; stty size; read -r word; echo got $word"])
    else {
        return;
    };
    bench.config["process"]["terminal"] = true.into();
    bench.config["process"]["consoleSize"] = serde_json::json!({"height": 33, "width": 77});
    assert!(bench.fails(&["create", "c1"]).contains("console socket"));
    let socket = bench.path("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    bench.ok(&["create", "--console-socket", socket.to_str().unwrap(), "c1"]);
    let mut master = receive(&listener);
    bench.ok(&["start", "c1"]);
    assert!(read_until(&mut master, "33 77").contains("begin"));
    master.write_all(b"word\n").unwrap();
    read_until(&mut master, "got word");
    bench.await_status("c1", "stopped");
}

#[test]
fn an_executed_process_has_a_terminal_too() {
    let Some(bench) = Bench::new(&["sleep", "1000"]) else { return };
    bench.ok(&["run", "--detach", "c1"]);
    let socket = bench.path("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let path = socket.to_str().unwrap();
    bench.ok(&[
        "exec",
        "--tty",
        "--detach",
        "--console-socket",
        path,
        "c1",
        "sh",
        "-c",
        "echo in; read -r w",
    ]);
    let mut master = receive(&listener);
    read_until(&mut master, "in");
    assert!(bench.fails(&["exec", "--tty", "--detach", "c1", "true"]).contains("console socket"));
}

#[test]
fn the_foreground_copies_a_terminal() {
    let Some(mut bench) = Bench::new(&["sh", "-c", "test -t 0 && echo it is one; exit 4"]) else { return };
    bench.config["process"]["terminal"] = true.into();
    let output = bench.output(&["run", "c1"]);
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "it is one\r\n");
}
