//! What programs in machine code need around them that no package has: static ones for x86-64, without a C library.

/// Where the file lies in memory.
const BASE: u32 = 0x40_0000;
/// ELF header and one program header.
const HEADERS_SIZE: u32 = 0x40 + 0x38;

/// Where the data of an [`executable`] lies in memory.
pub const DATA_ADDRESS: u32 = BASE + HEADERS_SIZE;
/// `AF_VSOCK`
pub const VSOCK_FAMILY: u8 = 40;
/// Size of what [`vsock_address`] gives, in bytes.
pub const VSOCK_ADDRESS_SIZE: u8 = 16;

/// `struct sockaddr_vm`: family, reserved, port, context id, flags.
#[must_use]
pub fn vsock_address(context: u32, port: u32) -> Vec<u8> {
    [u32::from(VSOCK_FAMILY), port, context, 0].map(u32::to_le_bytes).concat()
}

/// An ELF file with this data, and this code behind it, with which it starts.
#[must_use]
pub fn executable(data: &[u8], code: &[u8]) -> Vec<u8> {
    let entry = u64::from(DATA_ADDRESS).saturating_add(data.len() as u64);
    let size = entry.saturating_add(code.len() as u64).saturating_sub(BASE.into());
    let mut program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    // Entry, place of the program header, of no section header; flags, sizes and numbers of headers.
    for value in [entry, 0x40, 0] {
        program.extend(value.to_le_bytes());
    }
    program.extend([0, 0, 0, 0, 0x40, 0, 0x38, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    // One segment, readable and executable: all of the file.
    program.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for value in [0, BASE.into(), BASE.into(), size, size, 0x1000] {
        program.extend(value.to_le_bytes());
    }
    program.extend(data);
    program.extend(code);
    program
}
