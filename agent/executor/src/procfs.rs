//! A procfs of the process's own: what it writes to about itself, its namespaces and the kernel.
//!
//! What lies at `/proc` of a container may be something else, have something mounted over the file that is meant, or
//! turn the write into one of another file (CVE-2019-19921, CVE-2025-52881, CVE-2025-62596). So the writes of the
//! set-up go to a new instance that is attached to no directory tree: no container has a path to it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, fstatfs, openat2};
use rustix::io::Errno;

use crate::mounts::{Filesystem, INERT};

/// `PROC_SUPER_MAGIC` of Linux `include/uapi/linux/magic.h`.
pub(crate) const PROCFS_MAGIC: u32 = 0x9fa0;

/// A detached instance of procfs for the caller's pid namespace.
#[derive(Debug)]
pub(crate) struct PrivateProcfs(OwnedFd);

impl PrivateProcfs {
    /// One with the directories of processes alone.
    pub(crate) fn of_processes() -> io::Result<Self> {
        Self::new(Some("pid"))
    }

    /// One with `/proc/sys` as well, which is that of the caller's namespaces.
    pub(crate) fn with_sysctls() -> io::Result<Self> {
        Self::new(None)
    }

    /// One that was made outside of the caller's user namespace, which may have no right to make one.
    pub(crate) fn given(tree: OwnedFd) -> Self {
        Self(tree)
    }

    /// The tree, to be attached.
    pub(crate) fn tree(&self) -> &OwnedFd {
        &self.0
    }

    /// The tree, to be passed on.
    pub(crate) fn into_tree(self) -> OwnedFd {
        self.0
    }

    /// Opens a namespace of the caller: a name in `/proc/self/ns`.
    pub(crate) fn open_namespace(&self, name: &str) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat2(&self.0, "self/ns", flags, Mode::empty(), resolve)?;
        // The last step is a link of the kernel's.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        openat2(&directory, name, flags, Mode::empty(), ResolveFlags::empty()).map_err(io::Error::from)
    }

    fn new(subset: Option<&str>) -> io::Result<Self> {
        let procfs = Filesystem::open("proc")?;
        let procfs = match subset {
            Some(subset) => procfs.option("subset", subset)?,
            None => procfs,
        };
        procfs.mount(INERT).map(Self)
    }

    /// Reads at most `limit` bytes of the file at `path`, which is relative.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub(crate) fn read(&self, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.open(path, OFlags::RDONLY)?;
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes `value`, in one piece, to the file at `path`, which is relative: `self/oom_score_adj`.
    ///
    /// # Errors
    ///
    /// The kernel's; `EINVAL` when `path` is no regular file of a procfs.
    pub(crate) fn write(&self, path: &str, value: &[u8]) -> io::Result<()> {
        let mut file = self.open(path, OFlags::WRONLY)?;
        // The kernel takes a value whole or not at all; a second part would be a second value.
        if file.write(value)? == value.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    fn open(&self, path: &str, access: OFlags) -> io::Result<File> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let flags = access | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(openat2(&self.0, path, flags, Mode::empty(), resolve)?);
        check(&file)?;
        Ok(file)
    }
}

/// Refuses all but regular files of a procfs.
fn check(file: impl AsFd) -> io::Result<()> {
    let is_regular = FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::RegularFile;
    let is_procfs = u32::try_from(fstatfs(&file)?.f_type) == Ok(PROCFS_MAGIC);
    if is_regular && is_procfs { Ok(()) } else { Err(Errno::INVAL.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_a_procfs_are_written() {
        assert!(check(File::open("/proc/self/oom_score_adj").unwrap()).is_ok());
        for other in ["/proc/self", "/dev/null", "/sys/kernel/mm", "/etc/passwd"] {
            let refused = check(File::open(other).unwrap()).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(Errno::INVAL.raw_os_error()), "{other}");
        }
    }
}
