//! Terminals, which go to whoever listens on the console socket.

use std::{
    fs::File,
    io::{IoSliceMut, Read as _, Write as _},
    mem::MaybeUninit,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::json;

use crate::container::Container;

pub(crate) const TESTS: &[crate::Test] = &[
    ("a_container_has_a_terminal_of_its_own", a_container_has_a_terminal_of_its_own),
    ("a_terminal_goes_to_somebody", a_terminal_goes_to_somebody),
    ("a_process_has_a_terminal_of_its_own", a_process_has_a_terminal_of_its_own),
];

/// The console socket of a container.
struct Console {
    path: PathBuf,
    listener: UnixListener,
}

impl Console {
    fn of(container: &Container) -> Self {
        let path = container.home().join("console");
        Self { listener: UnixListener::bind(&path).unwrap(), path }
    }

    fn option(&self) -> [&str; 2] {
        ["--console-socket", self.path.to_str().unwrap()]
    }

    /// The terminal's master end, which the runtime has sent.
    fn master(&self) -> File {
        let (stream, _) = self.listener.accept().unwrap();
        File::from(descriptor(&stream))
    }
}

fn descriptor(stream: &UnixStream) -> OwnedFd {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut received = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 4096];
    recvmsg(stream, &mut [IoSliceMut::new(&mut name)], &mut received, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut descriptors = received.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    descriptors.next().unwrap()
}

/// Reads until `text` was read.
fn read_until(master: &mut File, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let mut bytes = [0; 1024];
        // A terminal whose other end is closed has an error instead of an end.
        let count = master.read(&mut bytes).unwrap_or_default();
        assert_ne!(count, 0, "no {text:?} in {read:?}");
        read.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    read
}

fn with_terminal(script: &str) -> Container {
    Container::with(script, |spec| {
        spec["process"]["terminal"] = json!(true);
        spec["process"]["consoleSize"] = json!({ "height": 33, "width": 77 });
    })
}

fn a_container_has_a_terminal_of_its_own() {
    let container = with_terminal(
        "stty size; read line; echo \"got $line\"; test -t 0 && test -c /dev/console && echo yes",
    );
    let console = Console::of(&container);
    container.create(&console.option()).succeeds();
    let mut master = console.master();
    container.does("start", &[]).succeeds();
    read_until(&mut master, "33 77");
    master.write_all(b"hello\n").unwrap();
    let said = read_until(&mut master, "yes");
    assert!(said.contains("got hello"), "{said}");
    container.comes_to_be("stopped");
}

fn a_terminal_goes_to_somebody() {
    let error = with_terminal("true").create(&[]).refuses();
    assert!(error.contains("console"), "{error}");
    let container = Container::of("true");
    let console = Console::of(&container);
    container.create(&console.option()).refuses();
    assert!(!container.is_known());
}

fn a_process_has_a_terminal_of_its_own() {
    let container = Container::running("exec sleep 1000");
    let console = Console::of(&container);
    let mut options = vec!["--tty", "--detach"];
    options.extend(console.option());
    container.exec(&options, &["sh", "-c", "read line; test -t 1 && echo \"got $line\"; sleep 1"]).succeeds();
    let mut master = console.master();
    master.write_all(b"hello\n").unwrap();
    read_until(&mut master, "got hello");
}
