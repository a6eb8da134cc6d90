//! The initrd: a cpio archive in the "newc" format, the same bytes for the same content.
//!
//! Format: Linux `Documentation/driver-api/early-userspace/buffer-format.rst`. Entries are sorted by path, so that a
//! directory precedes what is in it; times, owners and devices are zero; inode numbers count up from one.

mod reader;

use std::collections::BTreeMap;

pub use reader::{Entry as ReadEntry, ReadError, read};

/// Permission bits of a directory.
const DIRECTORY_MODE: u32 = 0o040_755;
/// File type bits of a regular file.
const REGULAR_FILE: u32 = 0o100_000;
/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";
/// Every header with its name, and every file's content, ends on a multiple of this many bytes.
const ALIGNMENT: usize = 4;
/// The kernel and `cpio` read in blocks of this many bytes.
const BLOCK: usize = 512;

/// Why an archive could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CpioError {
    /// The path starts or ends with a slash, is empty, or has an empty, `.` or `..` component.
    #[error("path `{0}` is not a plain relative path")]
    Path(String),
    /// Two entries have one path.
    #[error("path `{0}` is there twice")]
    Duplicate(String),
    /// A header field has eight hexadecimal digits.
    #[error("`{0}` is too large for the format")]
    TooLarge(String),
}

#[derive(Debug)]
struct Entry {
    mode: u32,
    content: Vec<u8>,
}

/// An archive that is being put together.
#[derive(Debug, Default)]
pub struct Archive {
    entries: BTreeMap<String, Entry>,
}

impl Archive {
    /// Adds a directory, and the directories above it where they are missing.
    ///
    /// # Errors
    /// The path is not plain, or names a file that is there already.
    pub fn directory(&mut self, path: &str) -> Result<(), CpioError> {
        check_path(path)?;
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for parent in ends.filter_map(|end| path.get(..end)) {
            let entry = self
                .entries
                .entry(parent.to_owned())
                .or_insert(Entry { mode: DIRECTORY_MODE, content: Vec::new() });
            if entry.mode != DIRECTORY_MODE {
                return Err(CpioError::Duplicate(parent.to_owned()));
            }
        }
        Ok(())
    }

    /// Adds a regular file with these permission bits, and the directories above it where they are missing.
    ///
    /// # Errors
    /// The path is not plain, or is there already.
    pub fn file(&mut self, path: &str, permissions: u32, content: Vec<u8>) -> Result<(), CpioError> {
        check_path(path)?;
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent)?;
        }
        let entry = Entry { mode: REGULAR_FILE | (permissions & 0o7777), content };
        match self.entries.insert(path.to_owned(), entry) {
            None => Ok(()),
            Some(_) => Err(CpioError::Duplicate(path.to_owned())),
        }
    }

    /// The paths in the archive, in the order in which they are written.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The bytes of the archive.
    ///
    /// # Errors
    /// A file or the number of entries is too large for the format.
    pub fn into_bytes(self) -> Result<Vec<u8>, CpioError> {
        let mut bytes = Vec::new();
        for (inode, (path, entry)) in (1_u32..).zip(&self.entries) {
            let links = if entry.mode == DIRECTORY_MODE { 2 } else { 1 };
            write_entry(&mut bytes, inode, links, path, entry)?;
        }
        write_entry(&mut bytes, 0, 1, TRAILER, &Entry { mode: 0, content: Vec::new() })?;
        pad(&mut bytes, BLOCK);
        Ok(bytes)
    }
}

fn check_path(path: &str) -> Result<(), CpioError> {
    let plain = |component: &str| !matches!(component, "" | "." | "..") && !component.contains('\0');
    if path.split('/').all(plain) && path != TRAILER {
        return Ok(());
    }
    Err(CpioError::Path(path.to_owned()))
}

fn write_entry(
    bytes: &mut Vec<u8>,
    inode: u32,
    links: u32,
    path: &str,
    entry: &Entry,
) -> Result<(), CpioError> {
    let too_large = || CpioError::TooLarge(path.to_owned());
    let size = u32::try_from(entry.content.len()).map_err(|_| too_large())?;
    let name_size =
        path.len().checked_add(1).and_then(|len| u32::try_from(len).ok()).ok_or_else(too_large)?;
    // inode, mode, owner, group, links, time, size, device (two), special device (two), name size, checksum.
    let fields = [inode, entry.mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
    bytes.extend_from_slice(b"070701");
    for field in fields {
        bytes.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    bytes.extend_from_slice(path.as_bytes());
    bytes.push(0);
    pad(bytes, ALIGNMENT);
    bytes.extend_from_slice(&entry.content);
    pad(bytes, ALIGNMENT);
    Ok(())
}

fn pad(bytes: &mut Vec<u8>, alignment: usize) {
    bytes.resize(bytes.len().next_multiple_of(alignment), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Archive {
        let mut archive = Archive::default();
        archive.file("lib/modules/b.ko", 0o644, vec![7; 5]).unwrap();
        archive.file("init", 0o755, b"agent".to_vec()).unwrap();
        archive.directory("proc").unwrap();
        archive
    }

    #[test]
    fn what_is_written_is_read_back_sorted_with_parents_first() {
        let bytes = sample().into_bytes().unwrap();
        assert_eq!(bytes.len() % BLOCK, 0);
        let expected = [
            ("init", 0o100_755, b"agent".to_vec()),
            ("lib", 0o040_755, Vec::new()),
            ("lib/modules", 0o040_755, Vec::new()),
            ("lib/modules/b.ko", 0o100_644, vec![7; 5]),
            ("proc", 0o040_755, Vec::new()),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(path, mode, content)| ReadEntry { path, mode: *mode, content }).collect();
        assert_eq!(read(&bytes).unwrap(), expected);
    }

    #[test]
    fn the_order_of_additions_does_not_change_the_bytes() {
        let mut other = Archive::default();
        other.directory("proc").unwrap();
        other.file("init", 0o755, b"agent".to_vec()).unwrap();
        other.file("lib/modules/b.ko", 0o644, vec![7; 5]).unwrap();
        assert_eq!(sample().into_bytes().unwrap(), other.into_bytes().unwrap());
    }

    #[test]
    fn paths_that_are_not_plain_are_refused() {
        for path in ["", "/init", "lib/", "lib//x", "../x", "lib/./x", "TRAILER!!!", "a\0b"] {
            assert_eq!(
                Archive::default().file(path, 0o644, Vec::new()),
                Err(CpioError::Path(path.to_owned()))
            );
        }
    }

    #[test]
    fn one_path_has_one_entry() {
        let mut archive = sample();
        assert_eq!(archive.file("init", 0o755, Vec::new()), Err(CpioError::Duplicate("init".to_owned())));
        let mut archive = sample();
        assert_eq!(archive.file("init/x", 0o755, Vec::new()), Err(CpioError::Duplicate("init".to_owned())));
    }
}
