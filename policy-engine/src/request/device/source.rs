//! Where a block device is.

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

/// Where the guest finds a block device. The host chooses it freely: dm-verity decides what may be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BlockSource {
    /// A virtio-blk device by its PCI path: slot numbers from the root bus down.
    PciPath(Vec<u8>),
    /// A disk on the one SCSI bus that has such an address.
    Scsi(ScsiAddress),
    /// A device node, directly below `/dev`.
    Node(String),
}

/// The address of a disk on a SCSI bus, in channel 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScsiAddress {
    /// The target's number.
    pub target: u8,
    /// The logical unit of the target: below 16,384, which is what virtio can address.
    pub unit: u16,
}

/// One more than the highest logical unit.
const SCSI_UNITS: u16 = 1 << 14;

/// Why a text names no block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseBlockSourceError {
    /// None of the three forms.
    #[error(
        "a block device is `/dev/<name>`, a PCI path such as `05` or `02/05`, or a SCSI address such as `0:3`"
    )]
    Form,
    /// PCI slots are two hexadecimal digits, `00` to `1f`, four levels at the most.
    #[error("a PCI path has one to four slots from `00` to `1f`")]
    PciSlot,
    /// Target and logical unit, decimal.
    #[error("a SCSI address is `<target>:<unit>`, from `0:0` to `255:16383`, without leading zeros")]
    ScsiAddress,
}

impl FromStr for BlockSource {
    type Err = ParseBlockSourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(name) = text.strip_prefix("/dev/") {
            let plain =
                (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            return plain.then(|| Self::Node(name.to_owned())).ok_or(ParseBlockSourceError::Form);
        }
        if let Some((target, unit)) = text.split_once(':') {
            let address = plain_number(target).zip(plain_number(unit).filter(|unit| *unit < SCSI_UNITS));
            let (target, unit) = address.ok_or(ParseBlockSourceError::ScsiAddress)?;
            return Ok(Self::Scsi(ScsiAddress { target, unit }));
        }
        if text.is_empty() || text.starts_with('/') {
            return Err(ParseBlockSourceError::Form);
        }
        let slot = |part: &str| match (part.len(), u8::from_str_radix(part, 16)) {
            (2, Ok(number)) if number < 0x20 && !part.starts_with('+') => Ok(number),
            _ => Err(ParseBlockSourceError::PciSlot),
        };
        let slots = text.split('/').take(5).map(slot).collect::<Result<Vec<_>, _>>()?;
        if slots.len() > 4 { Err(ParseBlockSourceError::PciSlot) } else { Ok(Self::PciPath(slots)) }
    }
}

/// A number in the one spelling that is displayed: digits, no leading zero, no sign.
fn plain_number<T: FromStr>(text: &str) -> Option<T> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for BlockSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(formatter, "/dev/{name}"),
            Self::Scsi(ScsiAddress { target, unit }) => write!(formatter, "{target}:{unit}"),
            Self::PciPath(slots) => {
                let parts: Vec<String> = slots.iter().map(|slot| format!("{slot:02x}")).collect();
                formatter.write_str(&parts.join("/"))
            }
        }
    }
}

/// The number of a partition, from 1, as partition tables count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartitionNumber(NonZeroU8);

impl PartitionNumber {
    /// The partition of this number; there is none of number 0.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        NonZeroU8::new(number).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0.get()
    }
}

/// Why a text is no number of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a partition has a number from 1 to 255, without leading zeros")]
pub struct ParsePartitionNumberError;

impl FromStr for PartitionNumber {
    type Err = ParsePartitionNumberError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        plain_number(text).and_then(Self::new).ok_or(ParsePartitionNumberError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_devices_are_nodes_pci_paths_or_scsi_addresses() {
        for good in ["/dev/vda", "/dev/loop12", "/dev/pmem0", "05", "02/1f", "0:0", "0:3", "255:16383"] {
            assert_eq!(good.parse::<BlockSource>().unwrap().to_string(), good);
        }
        for bad in
            ["", "/dev/", "/dev/../x", "/dev/mapper/x", "/etc/passwd", "5", "20", "+5", "01/02/03/04/05", "/"]
        {
            assert!(bad.parse::<BlockSource>().is_err(), "{bad:?}");
        }
        for bad in [":", "0:", ":0", "0:0:0:0", "256:0", "0:16384", "00:1", "0:+1", "0:-1", "0: 1", "0:01"] {
            assert_eq!(bad.parse::<BlockSource>(), Err(ParseBlockSourceError::ScsiAddress), "{bad:?}");
        }
    }

    #[test]
    fn partitions_count_from_one() {
        assert_eq!("1".parse::<PartitionNumber>().unwrap().get(), 1);
        assert_eq!("255".parse::<PartitionNumber>().unwrap().get(), 255);
        for bad in ["", "0", "00", "01", "+1", "-1", "256", "1 ", "p1"] {
            assert_eq!(bad.parse::<PartitionNumber>(), Err(ParsePartitionNumberError), "{bad:?}");
        }
    }
}
