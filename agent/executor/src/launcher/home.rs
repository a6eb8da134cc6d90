//! The launcher's own namespaces, which it leaves for those of a container while it makes a process there.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{ThreadNameSpaceType as NamespaceKinds, move_into_thread_name_spaces};

use super::protocol::Birth;

/// The kernel's name of each kind in `/proc/<pid>/ns`, ordered as [`Birth::JOINED`].
const NAMES: [&str; Birth::JOINED.len()] = ["pid", "ipc", "uts", "net", "time"];

/// The way back into the launcher's own namespaces.
#[derive(Debug)]
pub(super) struct Home {
    own: Vec<(NamespaceKinds, OwnedFd)>,
    /// The kinds of which it is in another now.
    left: NamespaceKinds,
}

impl Home {
    /// Remembers the namespaces that the process is in. One of a kind that the kernel does not have is never left.
    pub(super) fn remember() -> io::Result<Self> {
        let mut own = Vec::new();
        for (kind, name) in Birth::JOINED.into_iter().zip(NAMES) {
            let path = format!("/proc/self/ns/{name}");
            match rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
                Ok(namespace) => own.push((kind, namespace)),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(Self { own, left: NamespaceKinds::empty() })
    }

    /// Enters another namespace of one `kind`: a descriptor of it, or of a process that is in it. From here on children
    /// are born in it.
    pub(super) fn leave_for(&mut self, kind: NamespaceKinds, namespace: BorrowedFd<'_>) -> io::Result<()> {
        if !self.own.iter().any(|(own, _)| *own == kind) {
            return Err(Errno::INVAL.into());
        }
        self.left |= kind;
        move_into_thread_name_spaces(namespace, kind).map_err(io::Error::from)
    }

    /// Enters those that were left again. When this fails, the next process would be born in the wrong ones.
    pub(super) fn come_back(&mut self) -> io::Result<()> {
        for (kind, namespace) in &self.own {
            if self.left.contains(*kind) {
                move_into_thread_name_spaces(namespace.as_fd(), *kind)?;
                self.left.remove(*kind);
            }
        }
        Ok(())
    }
}
