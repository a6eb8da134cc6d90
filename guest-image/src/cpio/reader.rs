//! Reader of the initrd, which shares nothing with its writer but the format.

/// Why a file is no archive of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the archive is damaged at byte {0}")]
pub struct ReadError(usize);

/// A file or directory of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its path, without a slash in front.
    pub path: &'a str,
    /// File type and permission bits, as `stat` has them.
    pub mode: u32,
    /// What is in it; nothing for a directory.
    pub content: &'a [u8],
}

/// Six digits of magic and 13 fields of eight digits.
const HEADER_SIZE: usize = 6 + 13 * 8;
const MODE: usize = 1;
const SIZE: usize = 6;
const NAME_SIZE: usize = 11;

/// The entries of an archive, in its order.
///
/// # Errors
/// An entry is cut off, no text, or not in the "newc" format; or there is something behind the end.
pub fn read(archive: &[u8]) -> Result<Vec<Entry<'_>>, ReadError> {
    let mut entries = Vec::new();
    let mut offset = 0;
    loop {
        let (entry, next) = entry_at(archive, offset).ok_or(ReadError(offset))?;
        if entry.path == super::TRAILER {
            // The kernel would go on with another archive.
            let rest = archive.get(next..).unwrap_or_default();
            return if rest.iter().all(|byte| *byte == 0) { Ok(entries) } else { Err(ReadError(next)) };
        }
        entries.push(entry);
        offset = next;
    }
}

/// The entry at an offset, and where the next one is.
fn entry_at(archive: &[u8], offset: usize) -> Option<(Entry<'_>, usize)> {
    let header = archive.get(offset..offset.checked_add(HEADER_SIZE)?)?;
    let (magic, fields) = header.split_at_checked(6)?;
    if magic != b"070701" {
        return None;
    }
    let field = |index: usize| {
        let digits = fields.chunks_exact(8).nth(index)?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (mode, size, name_size) = (field(MODE)?, field(SIZE)?, field(NAME_SIZE)?);
    let name_start = offset.checked_add(HEADER_SIZE)?;
    let name_end = name_start.checked_add(usize::try_from(name_size).ok()?)?;
    let name = archive.get(name_start..name_end)?.strip_suffix(b"\0")?;
    let start = name_end.checked_next_multiple_of(super::ALIGNMENT)?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    let content = archive.get(start..end)?;
    let next = end.checked_next_multiple_of(super::ALIGNMENT)?;
    Some((Entry { path: std::str::from_utf8(name).ok()?, mode, content }, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpio::Archive;

    fn sample() -> Vec<u8> {
        let mut archive = Archive::default();
        archive.file("lib/b.ko", 0o444, vec![7; 5]).unwrap();
        archive.file("init", 0o755, b"agent".to_vec()).unwrap();
        archive.into_bytes().unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        let archive = sample();
        let expected = [
            Entry { path: "init", mode: 0o100_755, content: b"agent" },
            Entry { path: "lib", mode: 0o040_755, content: b"" },
            Entry { path: "lib/b.ko", mode: 0o100_444, content: &[7; 5] },
        ];
        assert_eq!(read(&archive).unwrap(), expected);
    }

    #[test]
    fn no_entry_hides_behind_the_end() {
        let twice = [sample(), sample()].concat();
        assert!(read(&twice).is_err());
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let archive = sample();
        for length in 0..archive.len() / 2 {
            assert!(read(&archive[..length]).is_err(), "{length}");
        }
        for index in 0..archive.len() {
            let mut damaged = archive.clone();
            damaged[index] ^= 0xff;
            drop(read(&damaged));
        }
    }
}
