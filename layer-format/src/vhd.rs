//! The footer of a fixed VHD, for hosts that attach layers as such (Virtual Hard Disk Image Format, 1.0).

use crate::record::Record;

/// Bytes of the footer.
pub(crate) const FOOTER_SIZE: usize = 512;
/// Offset of the checksum.
const CHECKSUM_OFFSET: usize = 64;

/// The footer of a disk of `size_bytes` bytes.
pub(crate) fn footer(size_bytes: u64, unique_id: [u8; 16]) -> [u8; FOOTER_SIZE] {
    let mut record = Record::<FOOTER_SIZE>::zeroed();
    record.put::<0, 8>(*b"conectix");
    record.put::<8, 4>(2_u32.to_be_bytes()); // Features: the reserved bit, always set.
    record.put::<12, 4>(0x0001_0000_u32.to_be_bytes()); // Version 1.0 of the format.
    record.put::<16, 8>(u64::MAX.to_be_bytes()); // No dynamic header.
    record.put::<32, 4>(0x000a_0000_u32.to_be_bytes()); // Version of the creator.
    record.put::<40, 8>(size_bytes.to_be_bytes());
    record.put::<48, 8>(size_bytes.to_be_bytes());
    record.put::<60, 4>(2_u32.to_be_bytes()); // Fixed disk.
    record.put::<68, 16>(unique_id);
    let sum = record.clone().into_bytes().iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    record.put::<CHECKSUM_OFFSET, 4>((!sum).to_be_bytes());
    record.into_bytes()
}
