//! The kernel's file: what its setup header says about loading it. Format: Linux `Documentation/arch/x86/boot.rst`.

use super::{IgvmError, pages::PAGE_SIZE};

/// Offset of the setup header in the file, and in the boot parameters.
pub(super) const SETUP_HEADER: usize = 0x1f1;
const SETUP_SECTORS: usize = 0x1f1;
const JUMP_DISTANCE: usize = 0x201;
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const INITRD_ADDRESS_LIMIT: usize = 0x22c;
const LOAD_FLAGS_64: usize = 0x236;
const COMMAND_LINE_LIMIT: usize = 0x238;
const PREFERRED_ADDRESS: usize = 0x258;
const INIT_SIZE: usize = 0x260;

/// Boot protocol 2.15: the first whose kernels look at `setup_data` for a confidential machine.
const OLDEST_VERSION: u64 = 0x020f;
/// `XLF_KERNEL_64`: there is an entry for a processor in long mode.
const ENTRY_64: u64 = 1;
/// That entry's distance from the start of the protected-mode kernel.
const ENTRY_64_OFFSET: u64 = 0x200;
const SECTOR_SIZE: usize = 512;

/// A kernel that can be started in long mode.
#[derive(Debug, Clone)]
pub(super) struct BzImage<'a> {
    /// The setup header, as the boot parameters hold it from [`SETUP_HEADER`] on.
    pub(super) setup_header: &'a [u8],
    /// The part that runs in long mode.
    pub(super) code: &'a [u8],
    /// Guest physical address that it is loaded at.
    pub(super) address: u64,
    /// Bytes from that address on that the kernel needs before it knows the memory map.
    pub(super) init_size: u64,
    /// Highest guest physical address that a byte of the initrd may have.
    pub(super) initrd_limit: u64,
    /// Longest command line in bytes, without its end.
    pub(super) command_line_limit: u64,
}

impl<'a> BzImage<'a> {
    /// Reads the setup header.
    pub(super) fn parse(file: &'a [u8]) -> Result<Self, IgvmError> {
        let wrong = |reason| IgvmError::Kernel { reason };
        let field = |offset: usize, len: usize| number(file, offset, len).ok_or(wrong("cut off"));
        if file.get(MAGIC..).is_none_or(|rest| !rest.starts_with(b"HdrS")) {
            return Err(wrong("no setup header"));
        }
        if field(VERSION, 2)? < OLDEST_VERSION {
            return Err(wrong("a boot protocol older than 2.15"));
        }
        if field(LOAD_FLAGS_64, 2)? & ENTRY_64 == 0 {
            return Err(wrong("no 64-bit entry"));
        }
        let header_end = usize::from(*file.get(JUMP_DISTANCE).ok_or(wrong("cut off"))?)
            .checked_add(MAGIC)
            .ok_or(wrong("cut off"))?;
        let sectors = usize::from(*file.get(SETUP_SECTORS).ok_or(wrong("cut off"))?);
        // Zero stands for four, for kernels older than any that comes here.
        let sectors = if sectors == 0 { 4 } else { sectors };
        let code_start = sectors
            .checked_add(1)
            .and_then(|count| count.checked_mul(SECTOR_SIZE))
            .ok_or(wrong("cut off"))?;
        let image = Self {
            setup_header: file.get(SETUP_HEADER..header_end).ok_or(wrong("cut off"))?,
            code: file.get(code_start..).ok_or(wrong("cut off"))?,
            address: field(PREFERRED_ADDRESS, 8)?,
            init_size: field(INIT_SIZE, 4)?,
            initrd_limit: field(INITRD_ADDRESS_LIMIT, 4)?,
            command_line_limit: field(COMMAND_LINE_LIMIT, 4)?,
        };
        if !image.address.is_multiple_of(PAGE_SIZE) {
            return Err(wrong("a load address within a page"));
        }
        let code_size = u64::try_from(image.code.len()).map_err(|_| wrong("too large"))?;
        if code_size <= ENTRY_64_OFFSET || code_size > image.init_size {
            return Err(wrong("another size than it says"));
        }
        Ok(image)
    }

    /// Guest physical address of the 64-bit entry.
    pub(super) fn entry(&self) -> Result<u64, IgvmError> {
        self.address.checked_add(ENTRY_64_OFFSET).ok_or(IgvmError::DoesNotFit { what: "the kernel" })
    }

    /// Guest physical address behind what the kernel needs at its start.
    pub(super) fn end(&self) -> Result<u64, IgvmError> {
        self.address.checked_add(self.init_size).ok_or(IgvmError::DoesNotFit { what: "the kernel" })
    }
}

/// A little-endian number of up to eight bytes.
fn number(bytes: &[u8], offset: usize, len: usize) -> Option<u64> {
    let bytes = bytes.get(offset..offset.checked_add(len)?)?;
    bytes.iter().rev().try_fold(0_u64, |value, &byte| value.checked_mul(256)?.checked_add(byte.into()))
}
