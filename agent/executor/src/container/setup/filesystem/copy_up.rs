//! Copies of what an image has in a directory, for the file system that covers it.
//!
//! Each entry is opened below the one before, without following symbolic links, and is what it is when it is opened: an
//! image cannot lead the copy elsewhere. How much is copied is bounded, for the time is the agent's.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chmodat, chownat, fstat, mkdirat, mknodat, openat,
    readlinkat, statat, symlinkat,
};
use rustix::io::Errno;

use super::super::root::open_child;

/// The most entries.
const ENTRIES_MAX: u32 = 1 << 16;
/// The most bytes of all files together.
const LENGTH_MAX: u64 = 256 << 20;
/// The deepest directory.
const DEPTH_MAX: u32 = 64;

/// What may still be copied.
struct Allowance {
    entries: u32,
    length: u64,
}

/// Copies what is in the directory `from` into the empty one `to`: files, directories, symbolic links and pipes with
/// their owners and modes.
pub(super) fn copy(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    let mut allowance = Allowance { entries: ENTRIES_MAX, length: LENGTH_MAX };
    allowance.copy_directory(from, to, DEPTH_MAX)
}

impl Allowance {
    fn copy_directory(&mut self, from: &OwnedFd, to: &OwnedFd, depth: u32) -> io::Result<()> {
        let depth = depth.checked_sub(1).ok_or(Errno::NAMETOOLONG)?;
        let readable = open_child(from, ".", OFlags::RDONLY | OFlags::DIRECTORY)?;
        for entry in Dir::read_from(&readable)? {
            let entry = entry?;
            let name = entry.file_name().to_str().map_err(|_| Errno::ILSEQ)?;
            if name == "." || name == ".." {
                continue;
            }
            self.entries = self.entries.checked_sub(1).ok_or(Errno::DQUOT)?;
            let status = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(status.st_mode) {
                FileType::Directory => {
                    mkdirat(to, name, Mode::RWXU)?;
                    let flags = OFlags::PATH | OFlags::DIRECTORY;
                    let (inner, copy) = (open_child(from, name, flags)?, open_child(to, name, flags)?);
                    self.copy_directory(&inner, &copy, depth)?;
                }
                FileType::RegularFile => self.copy_file(from, to, name)?,
                FileType::Symlink => symlinkat(readlinkat(from, name, Vec::new())?.as_c_str(), to, name)?,
                FileType::Fifo => mknodat(to, name, FileType::Fifo, Mode::RUSR, 0)?,
                _ => return Err(Errno::OPNOTSUPP.into()),
            }
            take_over(&status, to, name)?;
        }
        Ok(())
    }

    fn copy_file(&mut self, from: &OwnedFd, to: &OwnedFd, name: &str) -> io::Result<()> {
        // Were it another kind of file by now, opening it must not wait for anyone.
        let file = open_child(from, name, OFlags::RDONLY | OFlags::NONBLOCK)?;
        if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(Errno::STALE.into());
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut copy = File::from(openat(to, name, flags, Mode::RWXU)?);
        // One byte more than allowed shows that there is more.
        let copied = io::copy(&mut File::from(file).take(self.length.saturating_add(1)), &mut copy)?;
        self.length = self.length.checked_sub(copied).ok_or(Errno::FBIG)?;
        Ok(())
    }
}

/// Gives the copy `name` the owner and the mode of the original. Nobody else sees the copy yet.
fn take_over(original: &Stat, directory: &OwnedFd, name: &str) -> io::Result<()> {
    let (owner, group) = (Uid::from_raw(original.st_uid), Gid::from_raw(original.st_gid));
    chownat(directory, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(original.st_mode) != FileType::Symlink {
        chmodat(directory, name, Mode::from_raw_mode(original.st_mode), AtFlags::empty())?;
    }
    Ok(())
}
