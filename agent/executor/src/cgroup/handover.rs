//! Cgroups that pass from one process to another.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Cgroup, hierarchies};

/// Where the cgroup of a container is: its path below the mount point of each hierarchy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CgroupPlace(PathBuf);

impl Cgroup {
    /// Where it is, for [`take_over`](Self::take_over).
    pub(crate) fn place(&self) -> CgroupPlace {
        CgroupPlace(self.relative.clone())
    }

    /// Leaves it to another process: dropping it ends nothing.
    pub(crate) fn release(mut self) {
        self.released = true;
    }

    /// Takes over what another process has made. `None` when it is gone. Dropping it ends nothing.
    pub(crate) fn take_over(CgroupPlace(relative): &CgroupPlace) -> io::Result<Option<Self>> {
        let hierarchies = hierarchies::get()?;
        let path = hierarchies.unified.join(relative);
        let directory = match hierarchies::open_directory(&path) {
            Ok(directory) => directory,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        Ok(Some(Self { hierarchies, relative: relative.clone(), path, directory, released: true }))
    }
}
