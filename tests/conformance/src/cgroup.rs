//! A cgroup of its own for an agent that is started here: what it leaves behind is removed with it, and agents of other
//! tests may run containers of the same id.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long processes of an agent that was killed may take to end.
const END_LIMIT: Duration = Duration::from_secs(5);
const END_POLL: Duration = Duration::from_millis(10);

/// A directory of the cgroup file system, version 2, removed with all below it when it is dropped.
#[derive(Debug)]
pub(crate) struct Cgroup {
    pub(crate) mount_point: PathBuf,
    pub(crate) path: PathBuf,
}

impl Cgroup {
    /// Makes the directory; `None` where no such file system is mounted.
    pub(crate) fn create(name: &str) -> io::Result<Option<Self>> {
        let table = fs::read_to_string("/proc/self/mountinfo")?;
        let Some(mount_point) = mount_point(&table) else { return Ok(None) };
        let path = mount_point.join(name);
        fs::create_dir(&path)?;
        Ok(Some(Self { mount_point, path }))
    }
}

/// Where a cgroup file system of version 2 is mounted (proc_pid_mountinfo(5): the type follows a lone hyphen).
fn mount_point(table: &str) -> Option<PathBuf> {
    let line = table.lines().find(|line| line.contains(" - cgroup2 "))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let begin = Instant::now();
        // The kernel refuses as long as a process is left in it.
        while remove(&self.path).is_err() && begin.elapsed() < END_LIMIT {
            sleep(END_POLL);
        }
    }
}

/// Removes a cgroup, those below it first. Their files go with them.
fn remove(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}
