//! What the kernel is handed: its boot parameters ("zero page") and, through `setup_data`, where the pages are that only
//! a machine of SEV-SNP has. Formats: Linux `Documentation/arch/x86/boot.rst`, `zero-page.rst`,
//! `arch/x86/include/uapi/asm/setup_data.h` and `arch/x86/include/asm/sev.h`.

use super::{IgvmError, bzimage, bzimage::BzImage, memory::Use, pages::Addresses};

/// Size of the boot parameters in bytes.
const SIZE: usize = 4096;
const ACPI_ROOT: usize = 0x070;
const MEMORY_MAP_ENTRIES: usize = 0x1e8;
const VIDEO_MODE: usize = 0x1fa;
const LOADER_TYPE: usize = 0x210;
const INITRD_ADDRESS: usize = 0x218;
const INITRD_SIZE: usize = 0x21c;
const COMMAND_LINE_ADDRESS: usize = 0x228;
const SETUP_DATA_ADDRESS: usize = 0x250;
const MEMORY_MAP: usize = 0x2d0;
/// Entries of the memory map have 20 bytes: address, size, type.
const MEMORY_MAP_ENTRY_SIZE: usize = 20;

/// A loader without a number of its own.
const UNKNOWN_LOADER: u8 = 0xff;
/// The kernel leaves the display as it is.
const NORMAL_VIDEO: u16 = 0xffff;

/// Guest physical addresses that the kernel is told.
#[derive(Debug, Clone)]
pub(super) struct BootParams<'a> {
    /// ACPI's root pointer.
    pub(super) acpi_root: u64,
    /// The initrd's first byte.
    pub(super) initrd: u64,
    /// Size of the initrd in bytes.
    pub(super) initrd_size: usize,
    /// The command line, ended by a zero.
    pub(super) command_line: u64,
    /// First entry of the list of setup data.
    pub(super) setup_data: u64,
    /// What memory there is.
    pub(super) memory_map: &'a [(Addresses, Use)],
}

impl BootParams<'_> {
    /// The page of boot parameters for this kernel.
    pub(super) fn page(&self, kernel: &BzImage<'_>) -> Result<Vec<u8>, IgvmError> {
        let mut page = vec![0; SIZE];
        put(&mut page, bzimage::SETUP_HEADER, kernel.setup_header)?;
        put(&mut page, VIDEO_MODE, &NORMAL_VIDEO.to_le_bytes())?;
        put(&mut page, LOADER_TYPE, &[UNKNOWN_LOADER])?;
        put(&mut page, INITRD_ADDRESS, &low(self.initrd)?)?;
        put(&mut page, INITRD_SIZE, &low(u64::try_from(self.initrd_size).unwrap_or(u64::MAX))?)?;
        put(&mut page, COMMAND_LINE_ADDRESS, &low(self.command_line)?)?;
        put(&mut page, SETUP_DATA_ADDRESS, &self.setup_data.to_le_bytes())?;
        put(&mut page, ACPI_ROOT, &self.acpi_root.to_le_bytes())?;
        let entries = u8::try_from(self.memory_map.len()).map_err(|_| TOO_SMALL)?;
        put(&mut page, MEMORY_MAP_ENTRIES, &[entries])?;
        let mut offset = MEMORY_MAP;
        for (range, kind) in self.memory_map {
            let size = range.end.checked_sub(range.start).ok_or(TOO_SMALL)?;
            let kind = *kind as u32;
            let entry = [&range.start.to_le_bytes()[..], &size.to_le_bytes(), &kind.to_le_bytes()].concat();
            put(&mut page, offset, &entry)?;
            offset = offset.checked_add(MEMORY_MAP_ENTRY_SIZE).ok_or(TOO_SMALL)?;
        }
        Ok(page)
    }
}

const TOO_SMALL: IgvmError = IgvmError::DoesNotFit { what: "the boot parameters" };

/// `SETUP_CC_BLOB`: the entry holds the address of a description of a confidential machine.
const CONFIDENTIAL_MACHINE: u32 = 7;
/// "AMDE", which opens that description for SEV-SNP.
const DESCRIPTION_MAGIC: u32 = 0x4544_4d41;
const DESCRIPTION_VERSION: u16 = 1;
const PAGE: u32 = 4096;
/// The entry: next entry, type, size of the content, content; then the description at the next multiple of eight.
const ENTRY_SIZE: u64 = 24;

/// The list of setup data with its one entry, to be put at this address.
pub(super) fn setup_data(address: u64, secrets: u64, cpuid: u64) -> Result<Vec<u8>, IgvmError> {
    let description = address.checked_add(ENTRY_SIZE).ok_or(TOO_SMALL)?;
    let entry =
        [&[0; 8][..], &CONFIDENTIAL_MACHINE.to_le_bytes(), &4_u32.to_le_bytes(), &low(description)?, &[0; 4]];
    let description = [
        &DESCRIPTION_MAGIC.to_le_bytes()[..],
        &DESCRIPTION_VERSION.to_le_bytes(),
        &[0; 2],
        &secrets.to_le_bytes(),
        &PAGE.to_le_bytes(),
        &[0; 4],
        &cpuid.to_le_bytes(),
        &PAGE.to_le_bytes(),
        &[0; 4],
    ];
    Ok([entry.concat(), description.concat()].concat())
}

/// A field of 32 bits.
fn low(value: u64) -> Result<[u8; 4], IgvmError> {
    u32::try_from(value).map(u32::to_le_bytes).map_err(|_| TOO_SMALL)
}

/// Writes into a page.
pub(super) fn put(page: &mut [u8], offset: usize, bytes: &[u8]) -> Result<(), IgvmError> {
    let end = offset.checked_add(bytes.len()).ok_or(TOO_SMALL)?;
    page.get_mut(offset..end).ok_or(TOO_SMALL)?.copy_from_slice(bytes);
    Ok(())
}
