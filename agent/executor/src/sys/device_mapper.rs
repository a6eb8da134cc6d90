//! The control interface of the device mapper.
//!
//! UNSAFETY: `ioctl` takes a pointer whose meaning depends on the request number; the kernel reads and writes
//! as many bytes behind it as the buffer itself says it has.
//!
//! Format: `struct dm_ioctl` and `struct dm_target_spec` of `linux/dm-ioctl.h`, interface version 4.

#![expect(unsafe_code, reason = "ioctl on the device mapper has no safe wrapper")]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{Direction, Ioctl, IoctlOutput, Opcode, ioctl, opcode};
use zeroize::{Zeroize as _, Zeroizing};

/// Bytes of `struct dm_ioctl`.
const HEADER_SIZE: usize = 312;
/// Bytes of `struct dm_target_spec`.
const TARGET_SIZE: usize = 40;
/// Bytes exchanged with the kernel in one call: a header, a target and its parameters.
const BUFFER_SIZE: usize = 4096;
/// The longest parameters of a target, in bytes: what the buffer leaves for them and their terminator.
const PARAMETERS_MAX: usize = BUFFER_SIZE - HEADER_SIZE - TARGET_SIZE - 1;

const FLAG_READ_ONLY: u32 = 1 << 0;
const FLAG_SUSPEND: u32 = 1 << 1;
/// `TableStatus` gives the table instead of the status.
const FLAG_STATUS_TABLE: u32 = 1 << 4;
/// The answer did not fit.
const FLAG_BUFFER_FULL: u32 = 1 << 8;
/// The kernel wipes its own copy of the buffer.
const FLAG_SECURE_DATA: u32 = 1 << 15;

/// Offsets in `struct dm_ioctl`.
const DATA_SIZE: usize = 12;
const DATA_START: usize = 16;
const TARGET_COUNT: usize = 20;
const FLAGS: usize = 28;
const DEVICE: usize = 40;
const NAME: usize = 48;
const NAME_SIZE: usize = 128;

#[derive(Debug, Clone, Copy)]
enum Command {
    Create = 3,
    Remove = 4,
    Suspend = 6,
    LoadTable = 9,
    TableStatus = 12,
}

/// What a mapped device does: one target from its first to its last sector.
pub(crate) struct Target<'a> {
    /// The name of the target, for instance `verity`.
    pub(crate) kind: &'a str,
    /// Length of the device, in sectors of 512 bytes.
    pub(crate) sectors: u64,
    /// The parameters of the target.
    pub(crate) parameters: &'a str,
    /// Whether the device only reads.
    pub(crate) read_only: bool,
}

/// What a mapped device does, by the kernel's account.
#[derive(Debug)]
pub(crate) struct Table {
    /// The first sector.
    pub(crate) start: u64,
    /// Length of the device, in sectors of 512 bytes.
    pub(crate) sectors: u64,
    /// The name of the target.
    pub(crate) kind: String,
    /// The parameters of the target, keys among them.
    pub(crate) parameters: Zeroizing<String>,
}

/// The device mapper, open.
#[derive(Debug)]
pub(crate) struct DeviceMapper {
    control: File,
}

impl DeviceMapper {
    /// Opens the device mapper; nothing where the kernel has none.
    pub(crate) fn open() -> io::Result<Option<Self>> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::open("/dev/mapper/control", flags, Mode::empty()) {
            Ok(control) => Ok(Some(Self { control: control.into() })),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NODEV | rustix::io::Errno::NXIO) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Creates a device without a table and returns its device number, as `stat` would.
    pub(crate) fn create(&self, name: &str, read_only: bool) -> io::Result<u64> {
        let mut buffer = Buffer::new(name, if read_only { FLAG_READ_ONLY } else { 0 })?;
        self.call(Command::Create, &mut buffer)?;
        buffer.read(DEVICE).map(u64::from_ne_bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Loads the table that the next resume puts into force.
    pub(crate) fn load_table(&self, name: &str, target: &Target<'_>) -> io::Result<()> {
        let read_only = if target.read_only { FLAG_READ_ONLY } else { 0 };
        let mut buffer = Buffer::new(name, read_only | FLAG_SECURE_DATA)?;
        buffer.write_target(target)?;
        self.call(Command::LoadTable, &mut buffer)
    }

    /// Puts the loaded table into force.
    pub(crate) fn resume(&self, name: &str) -> io::Result<()> {
        self.call(Command::Suspend, &mut Buffer::new(name, 0)?)
    }

    /// Stops the device: what is under way is finished first.
    pub(crate) fn suspend(&self, name: &str) -> io::Result<()> {
        self.call(Command::Suspend, &mut Buffer::new(name, FLAG_SUSPEND)?)
    }

    /// Removes a device that nobody has open.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        self.call(Command::Remove, &mut Buffer::new(name, 0)?)
    }

    /// What the target of the device says of itself.
    pub(crate) fn status(&self, name: &str) -> io::Result<String> {
        let mut buffer = Buffer::new(name, 0)?;
        self.call(Command::TableStatus, &mut buffer)?;
        let start = buffer.read(DATA_START).map_or(HEADER_SIZE, |bytes| u32::from_ne_bytes(bytes) as usize);
        let text = buffer.0.get(start..).and_then(|data| data.get(TARGET_SIZE..)).unwrap_or_default();
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// The table of the device that is in force; an error if it is not one target alone.
    pub(crate) fn table(&self, name: &str) -> io::Result<Table> {
        let mut buffer = Buffer::new(name, FLAG_STATUS_TABLE | FLAG_SECURE_DATA)?;
        self.call(Command::TableStatus, &mut buffer)?;
        buffer.read_table().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn call(&self, command: Command, buffer: &mut Buffer) -> io::Result<()> {
        control(self.control.as_fd(), command, buffer)
    }
}

/// A `struct dm_ioctl` with the data behind it; wiped when dropped, since tables hold keys.
struct Buffer(Box<[u8; BUFFER_SIZE]>);

impl Buffer {
    fn new(name: &str, flags: u32) -> io::Result<Self> {
        // A name fills its field at the most up to the terminator.
        if name.is_empty() || name.len() >= NAME_SIZE || name.contains('\0') {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut buffer = Self(Box::new([0; BUFFER_SIZE]));
        buffer.write(0, &4u32.to_ne_bytes());
        buffer.write(DATA_SIZE, &(BUFFER_SIZE as u32).to_ne_bytes());
        buffer.write(DATA_START, &(HEADER_SIZE as u32).to_ne_bytes());
        buffer.write(FLAGS, &flags.to_ne_bytes());
        buffer.write(NAME, name.as_bytes());
        Ok(buffer)
    }

    fn write_target(&mut self, target: &Target<'_>) -> io::Result<()> {
        let parameters = target.parameters.as_bytes();
        if parameters.len() > PARAMETERS_MAX || target.kind.len() >= 16 || parameters.contains(&0) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.write(TARGET_COUNT, &1u32.to_ne_bytes());
        // sector_start stays 0; then length, status and next (both 0: the only one), and the type.
        self.write(HEADER_SIZE + 8, &target.sectors.to_ne_bytes());
        self.write(HEADER_SIZE + 24, target.kind.as_bytes());
        self.write(HEADER_SIZE + TARGET_SIZE, parameters);
        Ok(())
    }

    fn read_table(&self) -> Option<Table> {
        let number = |offset| self.read(offset).map(u32::from_ne_bytes);
        if number(TARGET_COUNT)? != 1 || number(FLAGS)? & FLAG_BUFFER_FULL != 0 {
            return None;
        }
        let target = self.0.get(number(DATA_START)? as usize..)?;
        let text = |bytes: &[u8]| {
            let end = bytes.iter().position(|byte| *byte == 0)?;
            std::str::from_utf8(bytes.get(..end)?).ok().map(str::to_owned)
        };
        Some(Table {
            start: target.first_chunk().copied().map(u64::from_ne_bytes)?,
            sectors: target.get(8..)?.first_chunk().copied().map(u64::from_ne_bytes)?,
            kind: text(target.get(24..TARGET_SIZE)?)?,
            parameters: Zeroizing::new(text(target.get(TARGET_SIZE..)?)?),
        })
    }

    /// Writes at an offset that the callers' checks keep inside the buffer.
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        for (to, from) in self.0.iter_mut().skip(offset).zip(bytes) {
            *to = *from;
        }
    }

    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.0.get(offset..)?.first_chunk().copied()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

struct Call<'a> {
    command: Command,
    buffer: &'a mut Buffer,
}

// SAFETY: each command is `_IOWR(0xfd, number, struct dm_ioctl)`. The kernel reads and writes at most
// `data_size` bytes behind the pointer; `Buffer::new` is the only constructor, sets it to `BUFFER_SIZE`, which
// is the length of the array, and only the kernel writes that field again, with what it used of it. Any content
// of the array is a valid `u8`.
unsafe impl Ioctl for Call<'_> {
    type Output = ();

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::from_components(Direction::ReadWrite, 0xfd, self.command as u8, HEADER_SIZE)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.buffer.0.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

fn control(device: BorrowedFd<'_>, command: Command, buffer: &mut Buffer) -> io::Result<()> {
    // SAFETY: `Call` states how the kernel uses the buffer, which lives until the call returns.
    unsafe { ioctl(device, Call { command, buffer }) }.map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_stands_where_the_kernel_looks_for_it() {
        let mut buffer = Buffer::new("layer", FLAG_READ_ONLY).unwrap();
        let target = Target { kind: "verity", sectors: 8, parameters: "1 7:0", read_only: true };
        buffer.write_target(&target).unwrap();
        assert_eq!(buffer.0[0..4], [4, 0, 0, 0]);
        assert_eq!(buffer.0[12..16], 4096u32.to_ne_bytes());
        assert_eq!(buffer.0[16..20], 312u32.to_ne_bytes());
        assert_eq!(buffer.0[20..24], 1u32.to_ne_bytes());
        assert_eq!(buffer.0[28..32], 1u32.to_ne_bytes());
        assert_eq!(&buffer.0[48..54], b"layer\0");
        assert_eq!(buffer.0[312..320], 0u64.to_ne_bytes());
        assert_eq!(buffer.0[320..328], 8u64.to_ne_bytes());
        assert_eq!(&buffer.0[336..343], b"verity\0");
        assert_eq!(&buffer.0[352..358], b"1 7:0\0");
    }

    #[test]
    fn a_table_is_read_as_it_is_written() {
        let mut buffer = Buffer::new("scratch", 0).unwrap();
        let target = Target { kind: "crypt", sectors: 8, parameters: "null - 0", read_only: false };
        buffer.write_target(&target).unwrap();
        let table = buffer.read_table().unwrap();
        assert_eq!((table.start, table.sectors, table.kind.as_str()), (0, 8, "crypt"));
        assert_eq!(*table.parameters, "null - 0");
        // Two targets, none, an answer that is cut, one that starts outside.
        for (offset, value) in
            [(TARGET_COUNT, 2), (TARGET_COUNT, 0), (FLAGS, FLAG_BUFFER_FULL), (DATA_START, u32::MAX)]
        {
            let mut other = Buffer(buffer.0.clone());
            other.write(offset, &u32::to_ne_bytes(value));
            assert!(other.read_table().is_none(), "{offset} {value}");
        }
    }

    #[test]
    fn names_and_tables_that_do_not_fit_are_refused() {
        for name in ["", "a\0b", &"n".repeat(128)] {
            assert!(Buffer::new(name, 0).is_err(), "{name:?}");
        }
        let mut buffer = Buffer::new("layer", 0).unwrap();
        let long = "x".repeat(PARAMETERS_MAX + 1);
        for (kind, parameters) in [("verity", long.as_str()), ("verity", "a\0"), ("a-target-of-16-b", "")] {
            let target = Target { kind, sectors: 8, parameters, read_only: true };
            assert!(buffer.write_target(&target).is_err(), "{kind} {}", parameters.len());
        }
    }
}
