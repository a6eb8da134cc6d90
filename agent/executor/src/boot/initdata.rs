//! Initdata: the policy as Kata delivers it, on a raw block device.
//!
//! Format: the 8 bytes `initdata`, a length as 64-bit little-endian number, and so many bytes of gzip, which
//! are returned as they are. Nothing of it is to be trusted: what it decompresses to must have the digest
//! that is in HOST_DATA.

use std::fs;
use std::io;
use std::path::PathBuf;

use policy_engine::authority::BootAuthority;

use crate::devices::{Access, BlockDevice};

const MAGIC: &[u8; 8] = b"initdata";
const HEADER_SIZE: u64 = 16;
/// The longest payload ever accepted, in bytes.
pub const INITDATA_LENGTH_MAX: u64 = 4 << 20;
/// The most nodes looked at.
const NODES_MAX: usize = 1024;

/// Why there is no initdata although there may be some.
#[derive(Debug, thiserror::Error)]
pub enum InitdataError {
    /// `/dev` does not read.
    #[error("cannot list the devices")]
    List(#[source] io::Error),
    /// Which one counts would be the host's choice.
    #[error("more than one device holds initdata")]
    Ambiguous,
    /// Empty, larger than allowed, or larger than its device.
    #[error("the initdata has {length_bytes} bytes, 1 to {max_bytes} are possible")]
    Length {
        /// What the header says.
        length_bytes: u64,
        /// The most that is possible: of the caller, of the format, of the device.
        max_bytes: u64,
    },
    /// The device fails behind its header.
    #[error("cannot read the initdata")]
    Read(#[source] io::Error),
}

/// Looks for initdata on the disks and returns its compressed payload, of `max_bytes` at the most.
///
/// # Errors
/// [`InitdataError`]. A device that does not open or read is no reason: it is skipped.
pub fn find_initdata(_: &BootAuthority, max_bytes: u64) -> Result<Option<Vec<u8>>, InitdataError> {
    let devices = disk_nodes()?.into_iter().filter_map(|node| {
        let device = BlockDevice::open_node(&node, Access::ReadOnly).ok()?;
        let size_bytes = device.size_bytes();
        Some((device, size_bytes))
    });
    find(devices, max_bytes)
}

/// The nodes of virtio and SCSI disks, in a fixed order.
fn disk_nodes() -> Result<Vec<PathBuf>, InitdataError> {
    let mut nodes = Vec::new();
    for entry in fs::read_dir("/dev").map_err(InitdataError::List)? {
        let entry = entry.map_err(InitdataError::List)?;
        let name = entry.file_name();
        let is_disk = |name: &str| name.starts_with("vd") || name.starts_with("sd");
        if name.to_str().is_some_and(is_disk) {
            nodes.push(entry.path());
        }
    }
    nodes.sort();
    nodes.truncate(NODES_MAX);
    Ok(nodes)
}

/// Something that is read at offsets: a device, or in tests a file.
trait ReadAt {
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()>;
}

impl ReadAt for BlockDevice {
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        Self::read_exact_at(self, buffer, offset_bytes)
    }
}

fn find<D: ReadAt>(
    devices: impl Iterator<Item = (D, u64)>,
    max_bytes: u64,
) -> Result<Option<Vec<u8>>, InitdataError> {
    let mut found = devices.filter_map(|(device, size_bytes)| {
        let mut header = [0; HEADER_SIZE as usize];
        device.read_exact_at(&mut header, 0).ok()?;
        let (magic, length) = header.split_first_chunk::<8>()?;
        let length_bytes = u64::from_le_bytes(*length.first_chunk()?);
        (magic == MAGIC).then_some((device, size_bytes, length_bytes))
    });
    let Some((device, size_bytes, length_bytes)) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(InitdataError::Ambiguous);
    }
    let max_bytes = max_bytes.min(INITDATA_LENGTH_MAX).min(size_bytes.saturating_sub(HEADER_SIZE));
    let length = usize::try_from(length_bytes).ok().filter(|_| (1..=max_bytes).contains(&length_bytes));
    let length = length.ok_or(InitdataError::Length { length_bytes, max_bytes })?;
    let mut payload = vec![0; length];
    device.read_exact_at(&mut payload, HEADER_SIZE).map_err(InitdataError::Read)?;
    Ok(Some(payload))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    impl ReadAt for fs::File {
        fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
            FileExt::read_exact_at(self, buffer, offset_bytes)
        }
    }

    fn disk(magic: &[u8], length: u64, payload: &[u8]) -> (fs::File, u64) {
        let file = tempfile::tempfile().unwrap();
        let bytes = [magic, &length.to_le_bytes(), payload].concat();
        file.write_all_at(&bytes, 0).unwrap();
        file.set_len(4096).unwrap();
        (file, 4096)
    }

    fn find(disks: Vec<(fs::File, u64)>, max_bytes: u64) -> Result<Option<Vec<u8>>, InitdataError> {
        super::find(disks.into_iter(), max_bytes)
    }

    #[test]
    fn the_payload_is_found_behind_other_disks() {
        let empty = (tempfile::tempfile().unwrap(), 0);
        let disks = vec![empty, disk(b"something", 3, b"abc"), disk(MAGIC, 3, b"abcdef")];
        assert_eq!(find(disks, 1024).unwrap(), Some(b"abc".to_vec()));
        assert_eq!(find(vec![disk(b"Initdata", 3, b"abc")], 1024).unwrap(), None);
        assert_eq!(find(Vec::new(), 1024).unwrap(), None);
    }

    #[test]
    fn two_disks_are_an_error_even_when_equal() {
        let disks = vec![disk(MAGIC, 3, b"abc"), disk(MAGIC, 3, b"abc")];
        assert!(matches!(find(disks, 1024), Err(InitdataError::Ambiguous)));
    }

    #[test]
    fn lengths_are_bounded_by_caller_format_and_device() {
        let length = |length, size_bytes, max_bytes| {
            find(vec![(disk(MAGIC, length, b"abc").0, size_bytes)], max_bytes)
        };
        assert!(length(1024, 4096, 1024).is_ok());
        for (bytes, size, max) in [
            (0, 4096, 1024),
            (1025, 4096, 1024),
            (4081, 4096, 1 << 20),
            (u64::MAX, 4096, u64::MAX),
            (INITDATA_LENGTH_MAX + 1, u64::MAX, u64::MAX),
        ] {
            assert!(matches!(length(bytes, size, max), Err(InitdataError::Length { .. })), "{bytes}");
        }
        // The device is shorter than it said.
        assert!(matches!(length(4090, 8192, 1 << 20), Err(InitdataError::Read(_))));
    }
}
