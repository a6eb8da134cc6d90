//! Masked and read-only paths.

use std::io;
use std::os::fd::AsFd as _;

use rustix::mount::MountAttrFlags;

use super::devices;
use super::filesystem::new_instance;
use super::root::{Root, attach_at, is_directory};
use crate::container::plan::Virtual;
use crate::mounts::{INERT, detached_copy};
use crate::sys::mount_attributes::{Extent, restrict_mount};

/// Hides `path`: a file behind the null device, a directory behind an empty read-only one. A path that does not exist
/// needs no hiding.
pub(super) fn mask(root: &Root, path: &str) -> io::Result<()> {
    let place = match root.find(path) {
        Err(error) if is_missing(&error) => return Ok(()),
        other => other?,
    };
    if is_directory(&place)? {
        let attributes = INERT | MountAttrFlags::MOUNT_ATTR_RDONLY;
        let empty = [("size".to_owned(), "4096".to_owned()), ("mode".to_owned(), "0555".to_owned())];
        attach_at(&new_instance(Virtual::Tmpfs, &empty, attributes)?, &place)
    } else {
        attach_at(&detached_copy(devices::null(root)?, Extent::One)?, &place)
    }
}

/// Makes `path` and what is mounted below it read-only, if it exists.
pub(super) fn make_readonly(root: &Root, path: &str) -> io::Result<()> {
    let place = match root.find(path) {
        Err(error) if is_missing(&error) => return Ok(()),
        other => other?,
    };
    let copy = detached_copy(&place, Extent::Tree)?;
    restrict_mount(copy.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY, Extent::Tree)?;
    attach_at(&copy, &place)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
