//! Reading tar archives, by the rules of the reference tool's reader.
//!
//! Root hashes depend on how every corner of the format is read, so the rules here are those of Go's
//! `archive/tar`: which magic means which dialect, which record wins, what a global header is. `mkfs.erofs` reads
//! what image builders write in the same way; where it does not, an archive for it is refused.

mod header;
mod pax;

use std::io::{self, Read};

use thiserror::Error;

use header::{Header, HeaderBlock};
use pax::PaxRecords;

/// Bytes in a header, and the unit to which file data is padded.
const SECTOR_SIZE: usize = 512;
/// The most bytes in a long name or a set of PAX records; no honest archive comes near.
const MAX_METADATA_SIZE: u64 = 1 << 20;

/// What kind of file an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Regular,
    HardLink,
    Symlink,
    Character,
    Block,
    Directory,
    Fifo,
}

/// A point in time; nanoseconds count up from the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timestamp {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// One file of an archive.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    /// Target of a symbolic link, path of the other name of a hard link.
    pub(crate) target: Vec<u8>,
    pub(crate) kind: EntryKind,
    /// Permission bits, without the type.
    pub(crate) permissions: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Bytes of data that follow.
    pub(crate) size_bytes: u64,
    pub(crate) modified: Option<Timestamp>,
    pub(crate) accessed: Option<Timestamp>,
    pub(crate) changed: Option<Timestamp>,
    pub(crate) device_major: u32,
    pub(crate) device_minor: u32,
    /// Extended attributes by full name, in the order of the archive; no name is there twice.
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Whose readings of the format count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// Those of Go's `archive/tar`.
    Go,
    /// The same, without what `mkfs.erofs` reads in another way.
    MkfsErofs,
}

/// Why an archive cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// Not a single byte.
    #[error("the archive is empty")]
    Empty,
    /// The source failed or ended within an entry.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// The checksum of a header is wrong.
    #[error("there is no tar header at byte {offset}")]
    Checksum {
        /// Where the header should be.
        offset: u64,
    },
    /// A number in a header is no number or too large.
    #[error("the {field} in the tar header at byte {offset} is not a valid number")]
    Number {
        /// Name of the field.
        field: &'static str,
        /// Where the header is.
        offset: u64,
    },
    /// PAX records are malformed.
    #[error("the PAX records before byte {offset} are malformed")]
    Pax {
        /// Where the records end.
        offset: u64,
    },
    /// A long name or PAX records of more than 1 MiB.
    #[error("the metadata at byte {offset} has {size_bytes} bytes, more than 1 MiB")]
    MetadataTooLarge {
        /// Where its header is.
        offset: u64,
        /// Bytes it says it has.
        size_bytes: u64,
    },
    /// Sparse files in the forms of GNU: no builder of images writes them, and their maps would be one more thing to parse.
    #[error("the sparse file at byte {offset} is not supported")]
    Sparse {
        /// Where its header is.
        offset: u64,
    },
    /// Something that `mkfs.erofs` leaves out, misreads or does not read.
    #[error("{what} at byte {offset} is nothing that mkfs.erofs makes a layer of")]
    NotForErofs {
        /// What it is.
        what: &'static str,
        /// Where its header is.
        offset: u64,
    },
    /// A single block of zeros followed by more data.
    #[error("the end mark before byte {offset} is followed by data")]
    AfterEnd {
        /// Where the data is.
        offset: u64,
    },
}

/// Reads an archive entry by entry; as a [`Read`] it gives the data of the current one.
#[derive(Debug)]
pub(crate) struct ArchiveReader<R> {
    source: R,
    rules: Rules,
    offset: u64,
    /// Unread data of the current entry.
    data_left: u64,
    /// Padding after that data.
    padding: u64,
}

impl<R: Read> ArchiveReader<R> {
    pub(crate) const fn new(source: R, rules: Rules) -> Self {
        Self { source, rules, offset: 0, data_left: 0, padding: 0 }
    }

    /// The next entry, after skipping what is left of the current one; nothing at the end of the archive.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut records = PaxRecords::default();
        let mut long_path = Vec::new();
        let mut long_target = Vec::new();
        loop {
            self.skip_rest()?;
            let start = self.offset;
            let Some(block) = self.read_header()? else { return Ok(None) };
            let mut header = Header::parse(&block, start)?;
            self.expect_data(&header, start)?;
            match header.typeflag {
                b'x' => records = self.read_records(start)?,
                b'g' if self.rules == Rules::MkfsErofs => {
                    if self.read_records(start)?.describe_files() {
                        return Err(not_for_erofs("a global header with metadata", start));
                    }
                }
                b'g' => {
                    let records = self.read_records(start)?;
                    header.apply(&records).map_err(|field| ArchiveError::Number { field, offset: start })?;
                    return Ok(Some(global_header_entry(header.path, records)));
                }
                b'L' => long_path = header::until_nul(&self.read_metadata(start)?).to_vec(),
                b'K' => long_target = header::until_nul(&self.read_metadata(start)?).to_vec(),
                _ => {
                    if header.typeflag == b'S' || records.describe_sparse_file() {
                        return Err(ArchiveError::Sparse { offset: start });
                    }
                    if self.rules == Rules::MkfsErofs {
                        expect_of_mkfs_erofs(&block, &header, &records, start)?;
                    }
                    header.apply(&records).map_err(|field| ArchiveError::Number { field, offset: start })?;
                    if !long_path.is_empty() {
                        header.path = long_path;
                    }
                    if !long_target.is_empty() {
                        header.target = long_target;
                    }
                    if header.typeflag == 0 {
                        // Before POSIX, a directory was a file whose name ends with a slash.
                        header.typeflag = if header.path.ends_with(b"/") { b'5' } else { b'0' };
                    }
                    self.expect_data(&header, start)?;
                    return Ok(Some(header.into_entry(self.data_left, records)));
                }
            }
        }
    }

    /// Sets how much data follows the header that was just read.
    fn expect_data(&mut self, header: &Header, offset: u64) -> Result<(), ArchiveError> {
        let size = if header.has_data() { header.size } else { 0 };
        self.data_left = u64::try_from(size).map_err(|_| ArchiveError::Number { field: "size", offset })?;
        self.padding = self.data_left.wrapping_neg() & const { SECTOR_SIZE as u64 - 1 };
        Ok(())
    }

    fn skip_rest(&mut self) -> Result<(), ArchiveError> {
        let left = self.data_left;
        let skipped = io::copy(&mut self.by_ref().take(left), &mut io::sink()).map_err(ArchiveError::Read)?;
        if skipped < left {
            return Err(ArchiveError::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        // The padding of the very last file may be missing.
        let padding = self.padding;
        let skipped = io::copy(&mut self.source.by_ref().take(padding), &mut io::sink());
        self.offset = self.offset.saturating_add(skipped.map_err(ArchiveError::Read)?);
        self.padding = 0;
        Ok(())
    }

    /// The next header; nothing at two blocks of zeros, or at the end of the source.
    fn read_header(&mut self) -> Result<Option<HeaderBlock>, ArchiveError> {
        let Some(block) = self.read_sector()? else {
            return if self.offset == 0 { Err(ArchiveError::Empty) } else { Ok(None) };
        };
        if block.iter().any(|byte| *byte != 0) {
            return Ok(Some(block));
        }
        let offset = self.offset;
        match self.read_sector()? {
            Some(second) if second.iter().any(|byte| *byte != 0) => Err(ArchiveError::AfterEnd { offset }),
            _ => Ok(None),
        }
    }

    fn read_sector(&mut self) -> Result<Option<HeaderBlock>, ArchiveError> {
        let mut sector = Vec::with_capacity(SECTOR_SIZE);
        let mut limited = self.source.by_ref().take(SECTOR_SIZE as u64);
        limited.read_to_end(&mut sector).map_err(ArchiveError::Read)?;
        self.offset = self.offset.saturating_add(sector.len() as u64);
        match HeaderBlock::try_from(sector) {
            Ok(block) => Ok(Some(block)),
            Err(partial) if partial.is_empty() => Ok(None),
            Err(_) => Err(ArchiveError::Read(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn read_metadata(&mut self, start: u64) -> Result<Vec<u8>, ArchiveError> {
        let size_bytes = self.data_left;
        if size_bytes > MAX_METADATA_SIZE {
            return Err(ArchiveError::MetadataTooLarge { offset: start, size_bytes });
        }
        let mut data = Vec::new();
        self.read_to_end(&mut data).map_err(ArchiveError::Read)?;
        Ok(data)
    }

    fn read_records(&mut self, start: u64) -> Result<PaxRecords, ArchiveError> {
        let data = self.read_metadata(start)?;
        PaxRecords::parse(&data).ok_or(ArchiveError::Pax { offset: self.offset })
    }
}

impl<R: Read> Read for ArchiveReader<R> {
    /// Reads data of the current entry. An archive that ends within the data is an error, not an end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = usize::try_from(self.data_left).unwrap_or(usize::MAX).min(buffer.len());
        let wanted = buffer.get_mut(..limit).unwrap_or_default();
        if wanted.is_empty() {
            return Ok(0);
        }
        let count = self.source.read(wanted)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.data_left = self.data_left.saturating_sub(count as u64);
        self.offset = self.offset.saturating_add(count as u64);
        Ok(count)
    }
}

const fn not_for_erofs(what: &'static str, offset: u64) -> ArchiveError {
    ArchiveError::NotForErofs { what, offset }
}

/// Refuses what `mkfs.erofs` would drop without a word, read in another way, or not read.
fn expect_of_mkfs_erofs(
    block: &HeaderBlock,
    header: &Header,
    records: &PaxRecords,
    offset: u64,
) -> Result<(), ArchiveError> {
    if !matches!(header.typeflag, b'0'..=b'7') {
        return Err(not_for_erofs("an entry of an unusual type", offset));
    }
    if !header::is_posix(block) {
        return Err(not_for_erofs("a header from before POSIX.1-1988", offset));
    }
    if records.have_encoded_attributes() {
        return Err(not_for_erofs("an extended attribute in libarchive's encoding", offset));
    }
    Ok(())
}

/// The reference tool does not know global headers: each becomes an empty file with the header's name,
/// and with nothing else of it but extended attributes.
fn global_header_entry(path: Vec<u8>, records: PaxRecords) -> Entry {
    Entry {
        path,
        target: Vec::new(),
        kind: EntryKind::Regular,
        permissions: 0,
        uid: 0,
        gid: 0,
        size_bytes: 0,
        modified: None,
        accessed: None,
        changed: None,
        device_major: 0,
        device_minor: 0,
        attributes: records.into_extended_attributes(),
    }
}
