//! Names of users and groups in a container's own files.

mod database;

use std::io::{self, Read as _};

use policy_engine::authority::{Attempt, Claimed};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

use crate::mounts::Overlay;
use crate::patience::{DISK_WORK, Patience, SilentDiskError};
use crate::rollback::Rollback;

pub use database::{ResolveUserError, ResolvedUser, Users};

/// The most that is read of one file, in bytes.
const FILE_SIZE_MAX: u64 = 1 << 20;

/// Why the names are not known.
#[derive(Debug, thiserror::Error)]
pub enum ReadUsersError {
    /// The root could not be held open.
    #[error("cannot open the root of the container")]
    Root(#[source] io::Error),
    /// A disk of the root does not answer, or has not answered before.
    #[error("the disks of the container's root cannot be waited for")]
    Silent(#[from] SilentDiskError),
    /// The file exists and does not open.
    #[error("cannot open {path} of the container")]
    Open {
        /// The file, below the container's root.
        path: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A device, FIFO or socket: reading it has effects, or never ends.
    #[error("{path} of the container is not a regular file")]
    NotRegular {
        /// The file, below the container's root.
        path: &'static str,
    },
    /// Too large to be what it should be.
    #[error("{path} of the container has more than {FILE_SIZE_MAX} bytes")]
    TooLarge {
        /// The file, below the container's root.
        path: &'static str,
    },
    /// The file does not read.
    #[error("cannot read {path} of the container")]
    Read {
        /// The file, below the container's root.
        path: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Reads `etc/passwd` and `etc/group` of a mounted root file system. A missing file names nobody.
///
/// # Errors
/// [`ReadUsersError`]
pub fn read_users(_: &Attempt, rootfs: &Overlay) -> Result<Claimed<Users>, ReadUsersError> {
    let root = rootfs.root().try_clone_to_owned().map_err(ReadUsersError::Root)?;
    let target = rootfs.target().as_str();
    // Nothing is made, and nothing has to be undone.
    DISK_WORK.make(target, Patience::FEW_BLOCKS, &mut Rollback::default(), move |_| {
        let passwd = read(&root, "etc/passwd")?;
        let group = read(&root, "etc/group")?;
        Ok(Claimed::new(Users::parse(&passwd, &group)))
    })
}

/// Reads a file below `root`. Links are followed as the container would see them and never out of it.
fn read(root: &impl std::os::fd::AsFd, path: &'static str) -> Result<String, ReadUsersError> {
    // Without O_NONBLOCK a FIFO would block until somebody writes to it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(String::new()),
        file => file.map_err(|error| ReadUsersError::Open { path, source: error.into() })?,
    };
    let status =
        rustix::fs::fstat(&file).map_err(|error| ReadUsersError::Open { path, source: error.into() })?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Err(ReadUsersError::NotRegular { path });
    }
    let mut bytes = Vec::new();
    let limit = FILE_SIZE_MAX.saturating_add(1);
    std::fs::File::from(file)
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|source| ReadUsersError::Read { path, source })?;
    if bytes.len() as u64 > FILE_SIZE_MAX {
        return Err(ReadUsersError::TooLarge { path });
    }
    // A line that is not text names nobody; the lines around it are unharmed.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::CWD;

    use super::*;

    fn root_with_etc() -> (tempfile::TempDir, fs::File) {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        let descriptor = fs::File::open(root.path()).unwrap();
        (root, descriptor)
    }

    #[test]
    fn links_do_not_lead_out_of_the_root() {
        let (root, descriptor) = root_with_etc();
        fs::write(root.path().join("real"), "inside").unwrap();
        symlink("/real", root.path().join("etc/passwd")).unwrap();
        assert_eq!(read(&descriptor, "etc/passwd").unwrap(), "inside");
        symlink("../../../../../../../etc/hostname", root.path().join("etc/group")).unwrap();
        assert_eq!(read(&descriptor, "etc/group").unwrap(), "");
    }

    #[test]
    fn only_regular_files_of_bounded_size_are_read() {
        let (root, descriptor) = root_with_etc();
        assert_eq!(read(&descriptor, "etc/passwd").unwrap(), "");
        let path = root.path().join("etc/passwd");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(matches!(read(&descriptor, "etc/passwd"), Err(ReadUsersError::NotRegular { .. })));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(read(&descriptor, "etc/passwd"), Err(ReadUsersError::NotRegular { .. })));
        fs::remove_dir(&path).unwrap();
        fs::File::create(&path).unwrap().set_len(FILE_SIZE_MAX + 1).unwrap();
        assert!(matches!(read(&descriptor, "etc/passwd"), Err(ReadUsersError::TooLarge { .. })));
        fs::File::create(&path).unwrap().set_len(FILE_SIZE_MAX).unwrap();
        assert!(read(&descriptor, "etc/passwd").is_ok());
    }
}
