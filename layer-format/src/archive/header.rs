//! One tar header: POSIX.1-1988 (ustar), its STAR and GNU dialects, and what came before.

use super::pax::{PaxRecords, parse_decimal, parse_time};
use super::{ArchiveError, Entry, EntryKind, SECTOR_SIZE, Timestamp};

/// The bytes of a header.
pub(super) type HeaderBlock = [u8; SECTOR_SIZE];

/// Type bits of a file mode.
const TYPE_MASK: u16 = 0o170_000;

/// What a header says, before PAX records amend it.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) typeflag: u8,
    pub(super) path: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) size: i64,
    mode: i64,
    uid: i64,
    gid: i64,
    modified: Timestamp,
    accessed: Option<Timestamp>,
    changed: Option<Timestamp>,
    device_major: i64,
    device_minor: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    V7,
    Ustar,
    Star,
    Gnu,
}

impl Header {
    /// Reads a header that began at byte `offset` of the archive.
    pub(super) fn parse(block: &HeaderBlock, offset: u64) -> Result<Self, ArchiveError> {
        if !checksum_holds(block) {
            return Err(ArchiveError::Checksum { offset });
        }
        let number = |field, from, to| {
            parse_number(bytes(block, from, to)).ok_or(ArchiveError::Number { field, offset })
        };
        let dialect = dialect(block);
        let device = |field, from, to| if dialect == Dialect::V7 { Ok(0) } else { number(field, from, to) };
        let mut header = Self {
            typeflag: block.get(156).copied().unwrap_or_default(),
            path: text(block, 0, 100).to_vec(),
            target: text(block, 157, 257).to_vec(),
            mode: number("mode", 100, 108)?,
            uid: number("user id", 108, 116)?,
            gid: number("group id", 116, 124)?,
            size: number("size", 124, 136)?,
            modified: at_second(number("modification time", 136, 148)?),
            accessed: None,
            changed: None,
            device_major: device("major device number", 329, 337)?,
            device_minor: device("minor device number", 337, 345)?,
        };
        let prefix = match dialect {
            Dialect::V7 => &[],
            Dialect::Ustar => text(block, 345, 500),
            Dialect::Star => {
                header.accessed = Some(at_second(number("access time", 476, 488)?));
                header.changed = Some(at_second(number("change time", 488, 500)?));
                text(block, 345, 476)
            }
            Dialect::Gnu => header.read_gnu_times(block),
        };
        if !prefix.is_empty() {
            header.path = [prefix, b"/", &header.path].concat();
        }
        Ok(header)
    }

    /// GNU has two times where ustar has a path prefix. Old writers in Go mixed the two up; where the times
    /// are not numbers, they were meant as a prefix, which is returned.
    fn read_gnu_times<'a>(&mut self, block: &'a HeaderBlock) -> &'a [u8] {
        let time = |from, to| match bytes(block, from, to) {
            [0, ..] => Some(None),
            field => parse_number(field).map(|seconds| Some(at_second(seconds))),
        };
        if let (Some(accessed), Some(changed)) = (time(345, 357), time(357, 369)) {
            self.accessed = accessed;
            self.changed = changed;
            return &[];
        }
        let prefix = text(block, 345, 500);
        if prefix.is_ascii() { prefix } else { &[] }
    }

    /// Amends the header; an empty record leaves its field alone. The error names the field.
    pub(super) fn apply(&mut self, records: &PaxRecords) -> Result<(), &'static str> {
        let decimal = |key, field| match records.get(key) {
            Some(value) => parse_decimal(value).map(Some).ok_or(field),
            None => Ok(None),
        };
        let time = |key, field| match records.get(key) {
            Some(value) => parse_time(value).map(Some).ok_or(field),
            None => Ok(None),
        };
        if let Some(path) = records.get(b"path") {
            self.path = path.to_vec();
        }
        if let Some(target) = records.get(b"linkpath") {
            self.target = target.to_vec();
        }
        self.uid = decimal(b"uid".as_slice(), "user id")?.unwrap_or(self.uid);
        self.gid = decimal(b"gid", "group id")?.unwrap_or(self.gid);
        self.size = decimal(b"size", "size")?.unwrap_or(self.size);
        self.modified = time(b"mtime".as_slice(), "modification time")?.unwrap_or(self.modified);
        self.accessed = time(b"atime", "access time")?.or(self.accessed);
        self.changed = time(b"ctime", "change time")?.or(self.changed);
        Ok(())
    }

    /// Whether the size field counts data; links, devices and directories have none whatever it says.
    pub(super) const fn has_data(&self) -> bool {
        !matches!(self.typeflag, b'1'..=b'6')
    }

    pub(super) fn into_entry(self, size_bytes: u64, records: PaxRecords) -> Entry {
        Entry {
            path: self.path,
            target: self.target,
            kind: match self.typeflag {
                b'1' => EntryKind::HardLink,
                b'2' => EntryKind::Symlink,
                b'3' => EntryKind::Character,
                b'4' => EntryKind::Block,
                b'5' => EntryKind::Directory,
                b'6' => EntryKind::Fifo,
                _ => EntryKind::Regular,
            },
            permissions: low_u16(self.mode) & !TYPE_MASK,
            uid: low_u32(self.uid),
            gid: low_u32(self.gid),
            size_bytes,
            modified: Some(self.modified),
            accessed: self.accessed,
            changed: self.changed,
            device_major: low_u32(self.device_major),
            device_minor: low_u32(self.device_minor),
            attributes: records.into_extended_attributes(),
        }
    }
}

const fn at_second(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanoseconds: 0 }
}

const fn low_u32(number: i64) -> u32 {
    number as u32
}

const fn low_u16(number: i64) -> u16 {
    number as u16
}

/// Whether a header is in ustar or one of the dialects that came of it.
pub(super) fn is_posix(block: &HeaderBlock) -> bool {
    dialect(block) != Dialect::V7
}

fn dialect(block: &HeaderBlock) -> Dialect {
    match (bytes(block, 257, 263), bytes(block, 263, 265), bytes(block, 508, 512)) {
        (b"ustar\0", _, b"tar\0") => Dialect::Star,
        (b"ustar\0", _, _) => Dialect::Ustar,
        (b"ustar ", b" \0", _) => Dialect::Gnu,
        _ => Dialect::V7,
    }
}

/// The sum of all bytes with the checksum field as blanks; some old writers took the bytes as signed.
fn checksum_holds(block: &HeaderBlock) -> bool {
    let Some(stored) = parse_octal(bytes(block, 148, 156)) else { return false };
    let (mut unsigned, mut signed) = (0_i64, 0_i64);
    for (index, byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&index) { b' ' } else { *byte };
        unsigned = unsigned.saturating_add(i64::from(byte));
        signed = signed.saturating_add(i64::from(byte.cast_signed()));
    }
    stored == unsigned || stored == signed
}

fn bytes(block: &HeaderBlock, from: usize, to: usize) -> &[u8] {
    block.get(from..to).unwrap_or_default()
}

fn text(block: &HeaderBlock, from: usize, to: usize) -> &[u8] {
    until_nul(bytes(block, from, to))
}

/// The bytes before the first NUL.
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number in octal digits or, with the highest bit set, in big-endian two's complement.
fn parse_number(field: &[u8]) -> Option<i64> {
    match field {
        [first, rest @ ..] if first & 0x80 != 0 => {
            let negative = first & 0x40 != 0;
            let invert = if negative { 0xff } else { 0 };
            let mut number = u64::from((first ^ invert) & 0x7f);
            for byte in rest {
                if number >> 56 != 0 {
                    return None;
                }
                number = number << 8 | u64::from(byte ^ invert);
            }
            let number = i64::try_from(number).ok()?;
            Some(if negative { !number } else { number })
        }
        _ => parse_octal(field),
    }
}

fn parse_octal(field: &[u8]) -> Option<i64> {
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !blank(byte));
    let Some(digits) = start.and_then(|start| field.get(start..)) else { return Some(0) };
    let digits = until_nul(digits).trim_ascii_end();
    let digits = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
    u64::from_str_radix(digits, 8).ok().map(u64::cast_signed)
}
