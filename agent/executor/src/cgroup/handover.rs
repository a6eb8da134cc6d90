//! Cgroups that pass from one process to another.

use std::io;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::Cgroup;
use super::legacy::Legacy;

/// Where the cgroup of a container is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CgroupPlace {
    path: PathBuf,
    /// Controllers of version 1 and where they have it.
    legacy: Vec<(Vec<String>, PathBuf)>,
}

impl Cgroup {
    /// Where it is, for [`take_over`](Self::take_over).
    pub(crate) fn place(&self) -> CgroupPlace {
        CgroupPlace { path: self.path.clone(), legacy: self.legacy.iter().map(Legacy::place).collect() }
    }

    /// Leaves it to another process: dropping it ends nothing.
    pub(crate) fn release(mut self) {
        self.released = true;
    }

    /// Takes over what another process has made. `None` when it is gone. Dropping it ends nothing.
    pub(crate) fn take_over(place: &CgroupPlace) -> io::Result<Option<Self>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match rustix::fs::open(&place.path, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let legacy = place.legacy.iter().cloned().map(Legacy::at).collect();
        Ok(Some(Self { path: place.path.clone(), directory, legacy, released: true }))
    }
}
