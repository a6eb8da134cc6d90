//! A disk of the host's behind dm-crypt and dm-integrity.
//!
//! dm-integrity keeps 48 bytes beside each block: a random initialisation vector and an HMAC. dm-crypt fills
//! them. A block that the host changes is a read error; a block that the host replaces by an older state of
//! the same block is not noticed.

use std::fmt::Write as _;
use std::io;

use policy_engine::request::BlockSource;
use zeroize::Zeroizing;

use super::device_stack::{CIPHER, DeviceStack, DeviceStackError, TAG_SIZE};
use super::ext4_format::{self, BLOCK_SIZE, FormatError};
use super::plain_disk::{OpenDiskError, discard, open_unused};
use crate::devices::{self, Access, BlockDevice, MapDeviceError, MappedDevice};
use crate::rollback::Rollback;
use crate::sys::device_mapper::{DeviceMapper, Target};

/// Two AES-256 keys for XTS, then the key of HMAC-SHA-256.
const KEY_SIZE: usize = 96;
/// Room for the parameters of dm-crypt, in bytes.
const PARAMETERS_SIZE: usize = 512;
/// Length of the device that only serves to let dm-integrity lay out the disk, in sectors of 512 bytes.
const LAYOUT_SECTORS: u64 = 8;
const SECTOR_SIZE: u64 = 512;

/// Why a disk is not encrypted.
#[derive(Debug, thiserror::Error)]
pub enum EncryptDiskError {
    /// The disk does not open for writing.
    #[error("cannot open the disk")]
    Open(#[source] OpenDiskError),
    /// Without a device mapper nothing is written to the disk.
    #[error("the kernel has no device mapper")]
    NoDeviceMapper,
    /// No randomness for the key.
    #[error("cannot draw a key")]
    Key(#[source] getrandom::Error),
    /// The place of dm-integrity's superblock could not be cleared.
    #[error("cannot clear the start of the disk")]
    Clear(#[source] io::Error),
    /// The dm-integrity device could not be made.
    #[error("cannot make the integrity device")]
    Integrity(#[source] MapDeviceError),
    /// The dm-integrity device does not say how much it holds.
    #[error("cannot read the size of the integrity device")]
    Size(#[source] io::Error),
    /// The dm-crypt device could not be made.
    #[error("cannot make the encrypted device")]
    Crypt(#[source] MapDeviceError),
    /// The kernel does something else than encrypting what is written.
    #[error("the devices on the disk do not encrypt")]
    Stack(#[source] DeviceStackError),
    /// The file system could not be written.
    #[error("cannot make a file system on the encrypted device")]
    Format(#[source] FormatError),
}

/// A disk on which only this guest, in this life, can read anything.
#[derive(Debug)]
pub(crate) struct EncryptedDisk {
    disk: BlockDevice,
    integrity: MappedDevice,
    crypt: MappedDevice,
    content: BlockDevice,
}

impl EncryptedDisk {
    /// Encrypts the disk under a fresh key and makes an empty file system on it. What was on it is gone.
    pub(super) fn create(source: &BlockSource, rollback: &mut Rollback) -> Result<Self, EncryptDiskError> {
        let mapper = devices::mapper().map_err(EncryptDiskError::Integrity)?;
        let mapper = mapper.ok_or(EncryptDiskError::NoDeviceMapper)?;
        let disk = open_unused(source).map_err(EncryptDiskError::Open)?;
        let (integrity, sectors) = create_integrity(&mapper, &disk, rollback)?;
        let key = draw_key().map_err(EncryptDiskError::Key)?;
        let crypt = create_crypt(&mapper, &integrity, &key, sectors, rollback)?;
        let stack =
            DeviceStack { crypt: &crypt, integrity: &integrity, disk: disk.number(), sectors, key: &key };
        stack.check(&mapper).map_err(EncryptDiskError::Stack)?;
        let content = crypt.open(Access::ReadWrite).map_err(EncryptDiskError::Crypt)?;
        ext4_format::format(content.file(), content.size_bytes()).map_err(EncryptDiskError::Format)?;
        Ok(Self { disk, integrity, crypt, content })
    }

    /// The decrypted device.
    pub(super) fn content(&self) -> &BlockDevice {
        &self.content
    }

    /// Removes the devices, and with them the key: what is on the disk is noise from then on. Its blocks are given back.
    pub(super) fn remove(self) -> io::Result<()> {
        drop(self.content);
        self.crypt.remove()?;
        self.integrity.remove()?;
        discard(&self.disk);
        Ok(())
    }
}

/// `Documentation/admin-guide/device-mapper/dm-integrity.rst`. Mode `D` writes without a journal: what a power
/// cut could tear apart is gone with the key anyway.
fn create_integrity(
    mapper: &DeviceMapper,
    disk: &BlockDevice,
    rollback: &mut Rollback,
) -> Result<(MappedDevice, u64), EncryptDiskError> {
    // dm-integrity lays out a disk only where it finds zeros.
    disk.write_all_at(&[0; BLOCK_SIZE], 0).map_err(EncryptDiskError::Clear)?;
    let parameters = format!("{} 0 {TAG_SIZE} D 1 block_size:{BLOCK_SIZE}", disk.number());
    let table = |sectors| Target { kind: "integrity", sectors, parameters: &parameters, read_only: false };
    let device = MappedDevice::create(mapper, &table(LAYOUT_SECTORS), rollback)
        .map_err(EncryptDiskError::Integrity)?;
    let status = device.status(mapper).map_err(EncryptDiskError::Size)?;
    let sectors =
        provided_sectors(&status).ok_or(EncryptDiskError::Size(io::ErrorKind::InvalidData.into()))?;
    device.reload(mapper, &table(sectors)).map_err(EncryptDiskError::Integrity)?;
    Ok((device, sectors))
}

/// Status of the target: mismatches seen, sectors provided, progress. The sectors are in whole blocks.
fn provided_sectors(status: &str) -> Option<u64> {
    let sectors: u64 = status.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let per_block = BLOCK_SIZE as u64 / SECTOR_SIZE;
    sectors.checked_sub(sectors.checked_rem(per_block)?)
}

/// `Documentation/admin-guide/device-mapper/dm-crypt.rst`: authenticated encryption over dm-integrity.
fn create_crypt(
    mapper: &DeviceMapper,
    integrity: &MappedDevice,
    key: &str,
    sectors: u64,
    rollback: &mut Rollback,
) -> Result<MappedDevice, EncryptDiskError> {
    let parameters = crypt_parameters(key, &integrity.number().to_string());
    let target = Target { kind: "crypt", sectors, parameters: &parameters, read_only: false };
    MappedDevice::create(mapper, &target, rollback).map_err(EncryptDiskError::Crypt)
}

/// A key in hexadecimal digits, as tables have it. It is wiped when it is dropped.
fn draw_key() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut key = Zeroizing::new([0; KEY_SIZE]);
    getrandom::fill(key.as_mut_slice())?;
    Ok(hexadecimal(&key))
}

fn hexadecimal(key: &[u8; KEY_SIZE]) -> Zeroizing<String> {
    // Reserved at once: a string that grew would leave pieces of the key behind.
    let mut text = Zeroizing::new(String::with_capacity(KEY_SIZE * 2));
    for byte in key {
        for digit in [byte >> 4, byte & 0xf] {
            text.extend(char::from_digit(digit.into(), 16));
        }
    }
    text
}

fn crypt_parameters(key: &str, device: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(PARAMETERS_SIZE));
    // Writing to a string does not fail.
    let _ = write!(text, "{CIPHER} {key} 0 {device} 0 2 integrity:{TAG_SIZE}:aead sector_size:{BLOCK_SIZE}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_form_that_dm_crypt_wants() {
        let text = crypt_parameters(&hexadecimal(&[0xa5; KEY_SIZE]), "252:3");
        let key = "a5".repeat(96);
        let expected = format!(
            "capi:authenc(hmac(sha256),xts(aes))-random {key} 0 252:3 0 2 integrity:48:aead sector_size:4096"
        );
        assert_eq!(*text, expected);
        assert!(text.capacity() == PARAMETERS_SIZE, "the text was moved while it grew");
    }

    #[test]
    fn the_size_is_the_second_word_of_the_status_in_whole_blocks() {
        assert_eq!(provided_sectors("0 1234571 -"), Some(1_234_568));
        for bad in ["", "0", "0 many -"] {
            assert_eq!(provided_sectors(bad), None, "{bad:?}");
        }
    }
}
