//! A registry behind a proxy: one socket that answers `CONNECT` and is the registry from then on. It serves OCI image
//! layouts, and can misbehave.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// What a registry does, mostly with requests for blobs of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Honest,
    /// Changes one byte of each.
    Tampers,
    /// Sends half of each and breaks off.
    BreaksOff,
    /// Sends half of each, and nothing more.
    Hangs,
    /// Has none.
    Loses,
    /// Takes connections, its proxy's part too, and says nothing to anybody.
    Mute,
}

/// The registry `localhost:5000`.
#[derive(Clone)]
pub(crate) struct Registry(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    behaviour: Mutex<Behaviour>,
    paths: Mutex<Vec<String>>,
    hanging: Mutex<Vec<UnixStream>>,
}

impl Registry {
    /// Serves the layouts below `folder` until the test ends. The agent's configuration for it is the second value.
    pub(crate) fn serve(folder: &Path) -> (Self, String) {
        let socket = folder.join("proxy.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let registry = Self(Arc::new(Shared {
            folder: folder.to_owned(),
            behaviour: Mutex::new(Behaviour::Honest),
            paths: Mutex::default(),
            hanging: Mutex::default(),
        }));
        let serving = registry.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                // A client that hangs up ends its thread.
                thread::spawn(move || serving.converse(stream));
            }
        });
        (registry, format!("pull_proxy = \"unix://{}\"\npull_plain_loopback = true", socket.display()))
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.0.behaviour.lock().unwrap() = behaviour;
    }

    /// What was asked for since the last call.
    pub(crate) fn take_paths(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.paths.lock().unwrap())
    }

    /// How many clients were left waiting.
    pub(crate) fn hanging(&self) -> usize {
        self.0.hanging.lock().unwrap().len()
    }

    /// Whether all of them went away, which is forgotten with them.
    pub(crate) fn is_left_alone(&self) -> bool {
        let mut hanging = self.0.hanging.lock().unwrap();
        hanging.retain_mut(|stream| !is_closed(stream));
        hanging.is_empty()
    }

    /// Closes their connections.
    pub(crate) fn hang_up(&self) {
        for stream in self.0.hanging.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).unwrap();
        }
    }

    fn converse(&self, stream: UnixStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut stream = stream;
        loop {
            let request = head(&mut reader)?;
            if *self.0.behaviour.lock().unwrap() == Behaviour::Mute {
                return self.leave_waiting(&stream);
            }
            let mut words = request.split(' ');
            match (words.next()?, words.next()?) {
                ("CONNECT", authority) => {
                    assert_eq!(authority, "localhost:5000");
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
                }
                ("GET", path) => {
                    self.0.paths.lock().unwrap().push(path.to_owned());
                    self.answer(path, &mut stream)?;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn answer(&self, path: &str, stream: &mut UnixStream) -> Option<()> {
        let mut parts = path.strip_prefix("/v2/")?.split('/');
        let layout = self.0.folder.join(parts.next()?);
        let (kind, name) = (parts.next()?, parts.next()?);
        let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let digest = if kind == "manifests" { index["manifests"][0]["digest"].as_str()? } else { name };
        let mut bytes = fs::read(layout.join("blobs/sha256").join(digest.strip_prefix("sha256:")?)).unwrap();
        let is_layer = kind == "blobs" && bytes.first() != Some(&b'{');
        let behaviour = if is_layer { *self.0.behaviour.lock().unwrap() } else { Behaviour::Honest };
        let length = bytes.len();
        match behaviour {
            Behaviour::Honest | Behaviour::Mute => {}
            Behaviour::Tampers => *bytes.last_mut()? ^= 1,
            Behaviour::BreaksOff | Behaviour::Hangs => bytes.truncate(length / 2),
            Behaviour::Loses => {
                return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").ok();
            }
        }
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(&bytes).ok()?;
        match behaviour {
            Behaviour::BreaksOff => None,
            Behaviour::Hangs => self.leave_waiting(stream),
            _ => Some(()),
        }
    }

    fn leave_waiting(&self, stream: &UnixStream) -> Option<()> {
        self.0.hanging.lock().unwrap().push(stream.try_clone().ok()?);
        None
    }
}

/// Whether the other end is gone. It has nothing more to say, so that it is not waited for.
fn is_closed(stream: &mut UnixStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    stream.read(&mut [0]).is_ok_and(|count| count == 0)
}

/// The first line of the next request, whose other lines do not matter here.
fn head(reader: &mut BufReader<UnixStream>) -> Option<String> {
    let mut lines = reader.lines();
    let first = lines.next()?.ok()?;
    while !lines.next()?.ok()?.is_empty() {}
    Some(first)
}
