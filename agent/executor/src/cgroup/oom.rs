//! Containers that run out of memory.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{EventfdFlags, eventfd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::stats::flat;
use crate::sys::reactor::register;

/// Tells when the memory limit of a container was reached and the kernel killed for it.
#[derive(Debug)]
pub struct OomWatch {
    wake: AsyncFd<OwnedFd>,
    file: PathBuf,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// Version 2: `memory.events` can be polled, and counts the processes that were killed.
    Unified { seen: u64 },
    /// Version 1 writes to an event descriptor, before it counts, and as long as the registered file is open.
    Legacy { _registered: File },
}

impl OomWatch {
    pub(super) fn unified(directory: &Path) -> io::Result<Self> {
        let file = directory.join("memory.events");
        let wake = register(File::open(&file)?.into(), Interest::PRIORITY)?;
        Ok(Self { wake, file, source: Source::Unified { seen: 0 } })
    }

    pub(super) fn legacy(directory: &Path) -> io::Result<Self> {
        let file = directory.join("memory.oom_control");
        let registered = File::open(&file)?;
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let registration = format!("{} {}", event.as_raw_fd(), registered.as_raw_fd());
        fs::write(directory.join("cgroup.event_control"), registration)?;
        let wake = register(event, Interest::READABLE)?;
        Ok(Self { wake, file, source: Source::Legacy { _registered: registered } })
    }

    /// Waits for the next time; `None` when the container is removed. A caller that goes away loses nothing.
    pub async fn next(&mut self) -> Option<()> {
        loop {
            if self.happened().ok()? {
                return Some(());
            }
            let mut ready = self.wake.ready(Interest::READABLE | Interest::PRIORITY).await.ok()?;
            ready.clear_ready();
        }
    }

    /// Whether it happened since the last call. An error means that the container is gone.
    fn happened(&mut self) -> io::Result<bool> {
        let mut text = [0; 512];
        match &mut self.source {
            Source::Unified { seen } => {
                // Through this descriptor: the read tells the kernel which version of the file is known.
                let length = rustix::io::pread(&self.wake, &mut text, 0)?;
                let text = String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned();
                let kills = flat(&text).remove("oom_kill").unwrap_or_default();
                let happened = kills > *seen;
                *seen = kills;
                Ok(happened)
            }
            Source::Legacy { .. } => {
                let happened = rustix::io::read(&self.wake, &mut text).is_ok();
                // The removal is told in the same way.
                fs::metadata(&self.file).map(|_| happened)
            }
        }
    }
}
