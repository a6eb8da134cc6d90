//! What stands between a scratch's file system and the host's disk, by the kernel's own account.
//!
//! That a device was made is no proof of what it does: a stack that is plaintext in effect looks like any other from
//! above. So the tables are read back, and judged before anything is written.

use std::io;

use zeroize::Zeroizing;

use crate::devices::{DeviceNumber, MappedDevice};
use crate::sys::device_mapper::{DeviceMapper, Table};

/// What dm-integrity keeps for each block: 16 bytes of vector, 32 of HMAC.
pub(super) const TAG_SIZE: usize = 48;
/// Authenticated encryption with a random vector for each write.
pub(super) const CIPHER: &str = "capi:authenc(hmac(sha256),xts(aes))-random";

/// Why a stack of devices is not one that encrypts.
#[derive(Debug, thiserror::Error)]
pub enum DeviceStackError {
    /// The kernel does not say what a device does.
    #[error("cannot read the tables of the devices")]
    Read(#[source] io::Error),
    /// The device above is not dm-crypt from its first to its last sector.
    #[error("the upper device does not encrypt all of its sectors")]
    NotCrypt,
    /// It encrypts by another cipher or key, or without authentication.
    #[error("the upper device does not encrypt as it was told to")]
    Encryption,
    /// It stands on another device than the one made for it.
    #[error("the upper device stands on another device")]
    Below,
    /// The device below is not dm-integrity on the disk.
    #[error("the lower device does not keep integrity data on the disk")]
    NotIntegrity,
}

/// The devices of one stack, and what they were told to do.
pub(super) struct DeviceStack<'a> {
    pub(super) crypt: &'a MappedDevice,
    pub(super) integrity: &'a MappedDevice,
    pub(super) disk: DeviceNumber,
    pub(super) sectors: u64,
    /// In hexadecimal digits, as tables have it.
    pub(super) key: &'a Zeroizing<String>,
}

impl DeviceStack<'_> {
    /// Demands that the kernel does what it was told.
    pub(super) fn check(&self, mapper: &DeviceMapper) -> Result<(), DeviceStackError> {
        let table = |device: &MappedDevice| device.table(mapper).map_err(DeviceStackError::Read);
        let below = self.integrity.number().to_string();
        check_crypt(&table(self.crypt)?, self.sectors, self.key, &below)?;
        check_integrity(&table(self.integrity)?, self.sectors, &self.disk.to_string())
    }
}

/// `<cipher> <key> <offset of vectors> <device> <start> <number of options> <options>`, dm-crypt.rst.
fn check_crypt(table: &Table, sectors: u64, key: &str, below: &str) -> Result<(), DeviceStackError> {
    if table.kind != "crypt" || table.start != 0 || table.sectors != sectors {
        return Err(DeviceStackError::NotCrypt);
    }
    let words: Vec<&str> = table.parameters.split(' ').collect();
    let [cipher, its_key, "0", device, "0", "2", options @ ..] = words.as_slice() else {
        return Err(DeviceStackError::Encryption);
    };
    let (tag, sector) = (format!("integrity:{TAG_SIZE}:aead"), "sector_size:4096");
    let authenticated = *options == [tag.as_str(), sector] || *options == [sector, tag.as_str()];
    if *cipher != CIPHER || *its_key != key || !authenticated {
        return Err(DeviceStackError::Encryption);
    }
    if *device == below { Ok(()) } else { Err(DeviceStackError::Below) }
}

/// `<device> <start> <tag size> <mode> <number of options> <options>`, dm-integrity.rst.
fn check_integrity(table: &Table, sectors: u64, disk: &str) -> Result<(), DeviceStackError> {
    let whole = table.kind == "integrity" && table.start == 0 && table.sectors == sectors;
    let words: Vec<&str> = table.parameters.split(' ').take(4).collect();
    let tag = TAG_SIZE.to_string();
    if whole && words == [disk, "0", &tag, "D"] { Ok(()) } else { Err(DeviceStackError::NotIntegrity) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a5a5";

    fn table(kind: &str, parameters: &str) -> Table {
        Table {
            start: 0,
            sectors: 64,
            kind: kind.to_owned(),
            parameters: Zeroizing::new(parameters.to_owned()),
        }
    }

    #[test]
    fn only_authenticated_encryption_of_all_sectors_is_encryption() {
        let check = |kind: &str, text: &str| check_crypt(&table(kind, text), 64, KEY, "252:0");
        let good = format!("{CIPHER} {KEY} 0 252:0 0 2 integrity:48:aead sector_size:4096");
        check("crypt", &good).unwrap();
        check("crypt", &format!("{CIPHER} {KEY} 0 252:0 0 2 sector_size:4096 integrity:48:aead")).unwrap();
        for kind in ["linear", "striped", "integrity", ""] {
            assert!(matches!(check(kind, &good), Err(DeviceStackError::NotCrypt)), "{kind}");
        }
        for parameters in [
            "252:0 0",
            "",
            &format!("{CIPHER} - 0 252:0 0 2 integrity:48:aead sector_size:4096"),
            &format!("{CIPHER} 5a5a 0 252:0 0 2 integrity:48:aead sector_size:4096"),
            &format!("cipher_null-ecb {KEY} 0 252:0 0 2 integrity:48:aead sector_size:4096"),
            &format!("{CIPHER} {KEY} 0 252:0 0"),
            &format!("{CIPHER} {KEY} 0 252:0 0 1 sector_size:4096"),
            &format!("{CIPHER} {KEY} 0 252:0 0 2 allow_discards sector_size:4096"),
            &format!("{CIPHER} {KEY} 0 252:0 0 2 integrity:48:none sector_size:4096"),
            &format!("{CIPHER} {KEY} 0 252:0 0 3 integrity:48:aead sector_size:4096 allow_discards"),
            &format!("{CIPHER} {KEY} 0 252:0 8 2 integrity:48:aead sector_size:4096"),
        ] {
            assert!(
                matches!(check("crypt", parameters), Err(DeviceStackError::Encryption)),
                "{parameters:?}"
            );
        }
        let elsewhere = good.replace("252:0", "7:0");
        assert!(matches!(check("crypt", &elsewhere), Err(DeviceStackError::Below)));
        for change in [|table: &mut Table| table.sectors = 8, |table: &mut Table| table.start = 8] {
            let mut partial = table("crypt", &good);
            change(&mut partial);
            let error = check_crypt(&partial, 64, KEY, "252:0");
            assert!(matches!(error, Err(DeviceStackError::NotCrypt)), "{partial:?}");
        }
    }

    #[test]
    fn integrity_is_kept_on_the_disk_that_was_named() {
        let check = |kind: &str, text: &str| check_integrity(&table(kind, text), 64, "7:1");
        check("integrity", "7:1 0 48 D 1 block_size:4096").unwrap();
        check("integrity", "7:1 0 48 D 3 block_size:4096 interleave_sectors:32768 buffer_sectors:128")
            .unwrap();
        for (kind, parameters) in [
            ("linear", "7:1 0"),
            ("integrity", "7:2 0 48 D 1 block_size:4096"),
            ("integrity", "7:1 8 48 D 1 block_size:4096"),
            ("integrity", "7:1 0 32 D 1 block_size:4096"),
            ("integrity", "7:1 0 48 R 1 block_size:4096"),
            ("integrity", ""),
        ] {
            let error = check(kind, parameters);
            assert!(matches!(error, Err(DeviceStackError::NotIntegrity)), "{kind} {parameters}");
        }
    }
}
