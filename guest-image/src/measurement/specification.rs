//! The launch measurement a second time, from the specifications alone: whoever does not believe the first computation
//! has one to compare it with, which shares no code with it.
//!
//! SEV-SNP firmware ABI 1.55, section 8.17.2 (the chain of `PAGE_INFO`); AMD64 Architecture Programmer's Manual, volume 2,
//! table B-4 (the save area of a virtual CPU) with what QEMU sets in it; edk2 `OvmfPkg/ResetVector` (the tables at a
//! firmware's end); QEMU `target/i386/sev.c` (the table of digests).

use sha2::{Digest as _, Sha256, Sha384};

use super::{PAGE_SIZE, RESET_VECTOR_SIZE, guid};

/// Why a firmware's tables are of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the firmware has no {0}")]
pub struct FirmwareError(&'static str);

/// Kinds of pages in a launch, as `PAGE_INFO` numbers them.
mod page {
    pub(super) const NORMAL: u8 = 1;
    pub(super) const SAVE_AREA: u8 = 2;
    pub(super) const ZERO: u8 = 3;
    pub(super) const SECRETS: u8 = 5;
    pub(super) const CPUID: u8 = 6;
}

/// Kinds of sections in a firmware's metadata.
mod section {
    pub(super) const SECRETS: u32 = 2;
    pub(super) const CPUID: u32 = 3;
    pub(super) const KERNEL_HASHES: u32 = 0x10;
}

/// Where the save area of every virtual CPU lies.
const SAVE_AREA_ADDRESS: u64 = 0xffff_ffff_f000;
/// Where the first virtual CPU starts, whatever the firmware says.
const FIRST_CPU_RESET: u32 = 0xffff_fff0;
/// Family 23, model 1, stepping 2: the signature of QEMU's `EPYC-v4`.
const CPU_SIGNATURE: u64 = 0x0080_0f12;
const FOUR_GIB: u64 = 1 << 32;
/// An entry of the firmware's table ends with its size and its GUID.
const ENTRY_END_SIZE: usize = 18;

/// What is launched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) firmware: &'a [u8],
    pub(crate) kernel: &'a [u8],
    pub(crate) initrd: &'a [u8],
    /// Without the zero that ends it in memory.
    pub(crate) command_line: &'a str,
    pub(crate) vcpus: u32,
}

/// The launch measurement of these parts.
pub(crate) fn launch_digest(parts: &Parts<'_>) -> Result<[u8; 48], FirmwareError> {
    let firmware = Firmware(parts.firmware);
    let mut chain = Chain([0; 48]);
    let size = u64::try_from(parts.firmware.len()).map_err(|_| FirmwareError("place below 4 GiB"))?;
    let start = FOUR_GIB.checked_sub(size).ok_or(FirmwareError("place below 4 GiB"))?;
    chain.pages(start, parts.firmware);
    let mut hashes_are_measured = false;
    for Section { address, size, kind } in firmware.sections()? {
        let address = u64::from(address);
        match kind {
            section::SECRETS => chain.unmeasured(page::SECRETS, address),
            section::CPUID => chain.unmeasured(page::CPUID, address),
            section::KERNEL_HASHES => {
                chain.pages(address, &firmware.hash_page(parts)?);
                hashes_are_measured = true;
            }
            _ => {
                let offsets = (0..u64::from(size)).step_by(PAGE_SIZE);
                offsets.for_each(|offset| chain.unmeasured(page::ZERO, address.saturating_add(offset)));
            }
        }
    }
    if !hashes_are_measured {
        return Err(FirmwareError("page for the digests of the kernel"));
    }
    let others = firmware.value(guid::RESET_BLOCK).ok_or(FirmwareError("reset address"))?;
    for vcpu in 0..parts.vcpus {
        let save_area = save_area(if vcpu == 0 { FIRST_CPU_RESET } else { others });
        chain.extend(Sha384::digest(save_area).into(), page::SAVE_AREA, SAVE_AREA_ADDRESS);
    }
    Ok(chain.0)
}

/// The digest, extended by each page of the launch.
struct Chain([u8; 48]);

impl Chain {
    fn extend(&mut self, content: [u8; 48], kind: u8, address: u64) {
        let mut info = Vec::with_capacity(0x70);
        info.extend_from_slice(&self.0);
        info.extend_from_slice(&content);
        info.extend_from_slice(&0x70_u16.to_le_bytes());
        info.extend_from_slice(&[kind, 0, 0, 0, 0, 0]);
        info.extend_from_slice(&address.to_le_bytes());
        self.0 = Sha384::digest(&info).into();
    }

    /// Pages whose content counts.
    fn pages(&mut self, start: u64, content: &[u8]) {
        for (page, content) in (0_u64..).zip(content.chunks(PAGE_SIZE)) {
            let address = start.wrapping_add(page.wrapping_mul(PAGE_SIZE as u64));
            self.extend(Sha384::digest(content).into(), page::NORMAL, address);
        }
    }

    /// A page that the secure processor fills, or leaves empty.
    fn unmeasured(&mut self, kind: u8, address: u64) {
        self.extend([0; 48], kind, address);
    }
}

/// A range of memory that the firmware wants at launch.
struct Section {
    address: u32,
    size: u32,
    kind: u32,
}

struct Firmware<'a>(&'a [u8]);

impl Firmware<'_> {
    /// The 32-bit number at an offset.
    fn number(&self, offset: usize) -> Option<u32> {
        let bytes = self.0.get(offset..offset.checked_add(4)?)?;
        Some(u32::from_le_bytes(*bytes.first_chunk()?))
    }

    /// The first number of the table's entry with this GUID. The table is read from its end, where its own entry lies.
    fn value(&self, wanted: [u8; 16]) -> Option<u32> {
        let (size, name, end) = self.entry(self.0.len().checked_sub(RESET_VECTOR_SIZE)?)?;
        if name != guid::TABLE_FOOTER {
            return None;
        }
        let start = end.checked_add(ENTRY_END_SIZE)?.checked_sub(size)?;
        let mut place = end;
        while place > start {
            let (size, name, end) = self.entry(place)?;
            let next = place.checked_sub(size.max(ENTRY_END_SIZE))?;
            if name == wanted {
                return if next < end { self.number(next) } else { None };
            }
            place = next;
        }
        None
    }

    /// Size and GUID of the entry that ends at `end`, and where its values end.
    fn entry(&self, end: usize) -> Option<(usize, [u8; 16], usize)> {
        let values_end = end.checked_sub(ENTRY_END_SIZE)?;
        let (size, name) = self.0.get(values_end..end)?.split_first_chunk::<2>()?;
        Some((u16::from_le_bytes(*size).into(), *name.first_chunk()?, values_end))
    }

    /// The sections of the metadata, in their order.
    fn sections(&self) -> Result<Vec<Section>, FirmwareError> {
        let read = || {
            let from_end = usize::try_from(self.value(guid::METADATA)?).ok()?;
            let start = self.0.len().checked_sub(from_end)?;
            if self.0.get(start..start.checked_add(4)?)? != b"ASEV" {
                return None;
            }
            let first = start.checked_add(16)?;
            let count = usize::try_from(self.number(start.checked_add(12)?)?).ok()?;
            let places = (0..count).map(|number| first.checked_add(number.checked_mul(12)?));
            places
                .map(|place| {
                    let place = place?;
                    let number = |index: usize| self.number(place.checked_add(index)?);
                    Some(Section { address: number(0)?, size: number(4)?, kind: number(8)? })
                })
                .collect()
        };
        read().ok_or(FirmwareError("metadata of SEV"))
    }

    /// The page with the table of digests, at the place in it that the firmware names.
    fn hash_page(&self, parts: &Parts<'_>) -> Result<Vec<u8>, FirmwareError> {
        let place = self.value(guid::HASH_TABLE).ok_or(FirmwareError("place for digests"))?;
        let offset = usize::try_from(place).map_err(|_| FirmwareError("place for digests"))? % PAGE_SIZE;
        let command_line = [parts.command_line.as_bytes(), b"\0"].concat();
        let mut page = vec![0; offset];
        page.extend(b"\x06\xd6\x38\x94\x22\x4f\xc9\x4c\xb4\x79\xa7\x93\xd4\x11\xfd\x21");
        page.extend(168_u16.to_le_bytes());
        for (guid, content) in [
            (b"\xd8\x2d\xd0\x97\x20\xbd\x94\x4c\xaa\x78\xe7\x71\x4d\x36\xab\x2a", command_line.as_slice()),
            (b"\x31\xf7\xba\x44\x2f\x3a\xd7\x4b\x9a\xf1\x41\xe2\x91\x69\x78\x1d", parts.initrd),
            (b"\x37\x94\xe7\x4d\xd2\xab\x7f\x42\xb8\x35\xd5\xb1\x72\xd2\x04\x5b", parts.kernel),
        ] {
            page.extend(guid);
            page.extend(50_u16.to_le_bytes());
            page.extend(Sha256::digest(content));
        }
        page.resize(PAGE_SIZE, 0);
        Ok(page)
    }
}

/// The first state of a virtual CPU that starts at this address.
fn save_area(reset: u32) -> [u8; PAGE_SIZE] {
    const CODE: u64 = 0x9b;
    const DATA: u64 = 0x93;
    const LOCAL_TABLE: u64 = 0x82;
    const TASK: u64 = 0x8b;
    const LIMIT: u64 = 0xffff;
    let segment = |offset: usize, selector: u64, attributes: u64, base: u64| {
        [(offset, selector | attributes << 16 | LIMIT << 32), (offset | 8, base)]
    };
    let reset = u64::from(reset);
    let segments = [
        segment(0x00, 0, DATA, 0),
        segment(0x10, 0xf000, CODE, reset & 0xffff_0000),
        segment(0x20, 0, DATA, 0),
        segment(0x30, 0, DATA, 0),
        segment(0x40, 0, DATA, 0),
        segment(0x50, 0, DATA, 0),
        segment(0x60, 0, 0, 0),
        segment(0x70, 0, LOCAL_TABLE, 0),
        segment(0x80, 0, 0, 0),
        segment(0x90, 0, TASK, 0),
    ];
    let registers = [
        (0x0d0, 0x1000),                // EFER: SVME
        (0x148, 0x40),                  // CR4: MCE
        (0x158, 0x10),                  // CR0: ET
        (0x160, 0x400),                 // DR7
        (0x168, 0xffff_0ff0),           // DR6
        (0x170, 0x2),                   // RFLAGS
        (0x178, reset & 0xffff),        // RIP
        (0x268, 0x0007_0406_0007_0406), // PAT
        (0x310, CPU_SIGNATURE),         // RDX
        (0x3b0, 0x1),                   // SEV_FEATURES: SNP
        (0x3e8, 0x1),                   // XCR0
        (0x408, 0x1f80),                // MXCSR
        (0x410, 0x37f),                 // FCW
    ];
    let mut area = [0; PAGE_SIZE];
    for (offset, value) in segments.into_iter().flatten().chain(registers) {
        let bytes: [u8; 8] = value.to_le_bytes();
        for (target, byte) in area.iter_mut().skip(offset).zip(bytes) {
            *target = byte;
        }
    }
    area
}
