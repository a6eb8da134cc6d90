//! First state of the boot processor: long mode with paging, as the kernel's 64-bit entry asks for it
//! (Linux `Documentation/arch/x86/boot.rst`, "64-bit BOOT PROTOCOL"), in the format of SEV-SNP
//! (AMD64 Architecture Programmer's Manual, volume 2, appendix B, "VMSA").

use ::igvm::snp_defs::{SevFeatures, SevSelector, SevVmsa};
use zerocopy::FromZeros as _;

use super::{
    IgvmError,
    pages::{Addresses, PAGE_SIZE},
};

/// The bit of an address that makes memory private to the guest, on every processor with SEV-SNP.
pub(super) const PRIVATE_BIT: u64 = 1 << 51;

/// Selectors that the boot protocol names.
const CODE_SELECTOR: u16 = 0x10;
const DATA_SELECTOR: u16 = 0x18;
/// Descriptors: flat, present, already accessed; code for long mode, data to write to.
const CODE_DESCRIPTOR: u64 = 0x00af_9b00_0000_ffff;
const DATA_DESCRIPTOR: u64 = 0x00cf_9300_0000_ffff;
/// The same attributes as the processor keeps them: twelve bits without those of the limit.
const CODE_ATTRIBUTES: u16 = 0xa9b;
const DATA_ATTRIBUTES: u16 = 0xc93;
/// A busy task segment and a local table, as after reset.
const TASK_ATTRIBUTES: u16 = 0x8b;
const LOCAL_TABLE_ATTRIBUTES: u16 = 0x82;

/// Protection, coprocessor type, paging.
const CR0: u64 = 0x8000_0011;
/// Physical address extension, and machine checks, which a hypervisor turns on anyway.
const CR4: u64 = 0x60;
/// Long mode enabled and active, and SVM, without which no guest runs.
const EFER: u64 = 0x1500;
/// As after reset.
const PAT: u64 = 0x0007_0406_0007_0406;
const DR6: u64 = 0xffff_0ff0;
const DR7: u64 = 0x400;
const RFLAGS: u64 = 2;
const XCR0: u64 = 1;
const MXCSR: u32 = 0x1f80;
const X87_CONTROL: u16 = 0x37f;

/// Descriptors for the selectors of the boot protocol.
pub(super) fn descriptor_table() -> Vec<u8> {
    [0, 0, CODE_DESCRIPTOR, DATA_DESCRIPTOR].into_iter().flat_map(u64::to_le_bytes).collect()
}

/// Where the boot processor starts.
#[derive(Debug, Clone)]
pub(super) struct Start {
    /// First instruction.
    pub(super) instruction: u64,
    /// Top-level page table.
    pub(super) page_tables: u64,
    /// Descriptor table.
    pub(super) descriptors: u64,
    /// Boot parameters.
    pub(super) boot_params: u64,
}

impl Start {
    /// The state with which the processor starts.
    pub(super) fn state(&self) -> Box<SevVmsa> {
        let segment = |selector, attrib| SevSelector { selector, attrib, limit: u32::MAX, base: 0 };
        let system = |attrib| SevSelector { selector: 0, attrib, limit: 0xffff, base: 0 };
        let data = segment(DATA_SELECTOR, DATA_ATTRIBUTES);
        Box::new(SevVmsa {
            cs: segment(CODE_SELECTOR, CODE_ATTRIBUTES),
            ds: data,
            es: data,
            fs: data,
            gs: data,
            ss: data,
            gdtr: SevSelector { selector: 0, attrib: 0, limit: 31, base: self.descriptors },
            // No interrupt table: an exception before the kernel has one ends the machine.
            idtr: SevSelector { selector: 0, attrib: 0, limit: 0, base: 0 },
            tr: system(TASK_ATTRIBUTES),
            ldtr: system(LOCAL_TABLE_ATTRIBUTES),
            cr0: CR0,
            cr3: self.page_tables | PRIVATE_BIT,
            cr4: CR4,
            efer: EFER,
            pat: PAT,
            dr6: DR6,
            dr7: DR7,
            rflags: RFLAGS,
            rip: self.instruction,
            rsi: self.boot_params,
            xcr0: XCR0,
            mxcsr: MXCSR,
            x87_fcw: X87_CONTROL,
            // SNP and nothing else: no virtual top of memory, as Debian's kernel handles the private bit itself.
            sev_features: SevFeatures::new().with_snp(true),
            ..SevVmsa::new_zeroed()
        })
    }
}

const ENTRIES: u64 = 512;
const LARGE_PAGE: u64 = 2 << 20;
const GIB: u64 = 1 << 30;
/// Present, writable, accessed: what every entry has.
const ENTRY: u64 = 0x23;
/// Dirty, and a page of 2 MiB.
const LEAF: u64 = 0xc0;

/// Number of bytes of [`page_tables`] that map up to this address.
pub(super) fn page_tables_len(mapped_end: u64) -> Result<usize, IgvmError> {
    let pages = mapped_end.div_ceil(GIB).checked_add(2).filter(|&pages| pages <= ENTRIES + 2);
    let len = pages.and_then(|pages| pages.checked_mul(PAGE_SIZE)).and_then(|len| usize::try_from(len).ok());
    len.ok_or(TOO_LARGE)
}

/// Four-level tables that map each address to itself, private, in pages of 2 MiB, up to this address. The top-level table
/// comes first.
pub(super) fn page_tables(place: &Addresses, mapped_end: u64) -> Result<Vec<u8>, IgvmError> {
    let table = |index: u64| {
        let offset = index.checked_mul(PAGE_SIZE)?;
        Some(place.start.checked_add(offset)? | PRIVATE_BIT | ENTRY)
    };
    let gibibytes = mapped_end.div_ceil(GIB);
    let mut entries = vec![table(1).ok_or(TOO_LARGE)?];
    entries.resize(512, 0);
    for index in 0..ENTRIES {
        let lowest =
            index.checked_add(2).filter(|_| index < gibibytes).map(|number| table(number).ok_or(TOO_LARGE));
        entries.push(lowest.transpose()?.unwrap_or(0));
    }
    for index in 0..gibibytes.saturating_mul(ENTRIES) {
        entries.push(index.checked_mul(LARGE_PAGE).ok_or(TOO_LARGE)? | PRIVATE_BIT | ENTRY | LEAF);
    }
    Ok(entries.into_iter().flat_map(u64::to_le_bytes).collect())
}

const TOO_LARGE: IgvmError = IgvmError::DoesNotFit { what: "the page tables" };
