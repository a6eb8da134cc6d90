//! Files that every container sees at its root: the policy, certificates, endorsements.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use policy_engine::GuestPath;
use policy_engine::authority::BootAuthority;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsPickFlags, MountAttrFlags};

use crate::mounts::{Filesystem, MountPoint, MountPointError};
use crate::rollback::Rollback;

/// Where they stand in the guest.
const ADDITIONS: &str = "/run/cce/additions";
/// All files together, in bytes: the memory they take.
const SIZE_MAX: usize = 16 << 20;

/// Why containers would not see the files.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// More than [`SIZE_MAX`] bytes.
    #[error("the files have {size_bytes} bytes, {SIZE_MAX} are possible")]
    Size {
        /// Bytes of all files.
        size_bytes: usize,
    },
    /// Not a plain file name.
    #[error("`{0}` is not a file name")]
    Name(String),
    /// No random name for the directory.
    #[error("cannot draw a directory name")]
    DirectoryName(#[source] getrandom::Error),
    /// The file system could not be mounted.
    #[error("cannot mount a file system for the files")]
    Mount(#[source] io::Error),
    /// The directory for it could not be made.
    #[error("cannot make the mount point for the files")]
    MountPoint(#[source] MountPointError),
    /// A file could not be written.
    #[error("cannot write the files")]
    Write(#[source] io::Error),
    /// The files would stay changeable.
    #[error("cannot make the files read-only")]
    Seal(#[source] io::Error),
}

/// The files, mounted read-only.
#[derive(Debug)]
pub struct SecurityContext {
    directory_name: String,
    root: OwnedFd,
    /// Mounted as long as the guest runs.
    _point: MountPoint,
}

impl SecurityContext {
    /// The directory that holds the files, below the root of each container.
    #[must_use]
    pub fn directory_name(&self) -> &str {
        &self.directory_name
    }

    /// The root directory of the mount, which holds that directory only.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// Publishes `files`, name and content, in a directory `security-context-<random>` that
/// [`mount_overlay`](crate::mounts::mount_overlay) puts above the layers of a container.
///
/// # Errors
/// [`PublishError`]
pub fn publish_security_context(
    _: &BootAuthority,
    files: &[(&str, &[u8])],
) -> Result<SecurityContext, PublishError> {
    publish(files)
}

pub(crate) fn publish(files: &[(&str, &[u8])]) -> Result<SecurityContext, PublishError> {
    check(files)?;
    // Random, so that no image can have put a directory of that name in its place.
    let number = getrandom::u64().map_err(PublishError::DirectoryName)?;
    let directory_name = format!("security-context-{number:016x}");
    let root = mount_tmpfs().map_err(PublishError::Mount)?;
    let place: GuestPath = format!("{ADDITIONS}/{directory_name}").parse().map_err(|_| place_error())?;
    let mut rollback = Rollback::default();
    let point = MountPoint::create(&place, &[ADDITIONS], &mut rollback).map_err(PublishError::MountPoint)?;
    let point = point.attach(root.as_fd(), &mut rollback).map_err(PublishError::Mount)?;
    write_files(&root, &directory_name, files).map_err(PublishError::Write)?;
    make_read_only(&root).map_err(PublishError::Seal)?;
    Ok(SecurityContext { directory_name, root, _point: point })
}

fn place_error() -> PublishError {
    PublishError::MountPoint(MountPointError::Place)
}

fn check(files: &[(&str, &[u8])]) -> Result<(), PublishError> {
    let size_bytes = files.iter().fold(0usize, |sum, (_, content)| sum.saturating_add(content.len()));
    if size_bytes > SIZE_MAX {
        return Err(PublishError::Size { size_bytes });
    }
    let plain = |name: &str| Path::new(name).file_name().is_some_and(|file| file == name);
    match files.iter().find(|(name, _)| !plain(name)) {
        Some((name, _)) => Err(PublishError::Name((*name).to_owned())),
        None => Ok(()),
    }
}

fn mount_tmpfs() -> io::Result<OwnedFd> {
    // Twice the content: whole pages, and directories.
    let size_bytes = SIZE_MAX.saturating_mul(2).to_string();
    Filesystem::open("tmpfs")?.option("size", &size_bytes)?.option("mode", "0755")?.mount(
        MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )
}

fn write_files(root: &OwnedFd, directory_name: &str, files: &[(&str, &[u8])]) -> io::Result<()> {
    let (directory_mode, file_mode) = (Mode::from_raw_mode(0o755), Mode::from_raw_mode(0o444));
    rustix::fs::mkdirat(root, directory_name, directory_mode)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(root, directory_name, flags, Mode::empty())?;
    // The process's umask has cleared what others may do.
    rustix::fs::fchmod(&directory, directory_mode)?;
    for (name, content) in files {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&directory, *name, flags, file_mode)?;
        rustix::fs::fchmod(&file, file_mode)?;
        io::Write::write_all(&mut std::fs::File::from(file), content)?;
    }
    Ok(())
}

/// The whole file system becomes read-only, not only this mount of it.
fn make_read_only(root: &OwnedFd) -> io::Result<()> {
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let context = rustix::mount::fspick(root, "", flags)?;
    rustix::mount::fsconfig_set_flag(&context, "ro")?;
    Ok(rustix::mount::fsconfig_reconfigure(&context)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::test_bench::with_private_mounts;

    #[test]
    fn names_are_plain_and_size_is_bounded() {
        assert!(check(&[("host-amd-cert-base64", b"x"), ("a.b", b"")]).is_ok());
        for bad in ["", ".", "..", "/etc", "a/b", "a/"] {
            assert!(matches!(check(&[(bad, b"")]), Err(PublishError::Name(_))), "{bad:?}");
        }
        let half = vec![0; SIZE_MAX / 2 + 1];
        assert!(check(&[("one", &half)]).is_ok());
        assert!(matches!(check(&[("one", &half), ("two", &half)]), Err(PublishError::Size { .. })));
    }

    #[test]
    fn the_files_are_there_and_stay_as_they_are() {
        with_private_mounts(|| {
            let context = publish(&[("policy", b"text"), ("large", &vec![1; SIZE_MAX - 4])]).unwrap();
            let directory =
                Path::new(ADDITIONS).join(context.directory_name()).join(context.directory_name());
            assert_eq!(fs::read(directory.join("policy")).unwrap(), b"text");
            for attempt in
                [fs::write(directory.join("policy"), "x"), fs::remove_file(directory.join("policy"))]
            {
                assert_eq!(attempt.unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
            }
        });
    }
}
