//! The first steps of a guest: its first processor's state, and the validation of its memory.

use std::{collections::BTreeSet, path::Path};

use crate::config::Refusal;

use super::{
    Contents, LaunchError, Loader, PAGE_SIZE, PRIVATE_BIT,
    gdb::{Gdb, Register},
};

/// `PVALIDATE` as it is encoded, and its size.
const PVALIDATE: [u8; 4] = [0xf2, 0x0f, 0x01, 0xff];
/// Its page sizes in ECX, and its answers in EAX.
const SMALL: u64 = 0;
const LARGE: u64 = 1;
const LARGE_PAGE_SIZE: u64 = 2 << 20;
const DONE: u64 = 0;
const SIZE_MISMATCH: u64 = 6;
const FAILED: u64 = 1;
/// `VMGEXIT` as it is encoded, by which the guest asks the host for something.
const VMGEXIT: [u8; 4] = [0xf3, 0x0f, 0x01, 0xd9];
/// What it asks for in the GHCB's MSR: its end.
const TERMINATE: u64 = 0x100;
/// The flag by which it says that a page was valid before.
const CARRY: u64 = 1;

/// EFER without SVM, which this processor has not.
const EFER_SVM: u64 = 1 << 12;

/// Starts a machine that QEMU has loaded and holds at its debugger socket. When it returns, the kernel runs.
///
/// # Errors
/// The guest does something that no processor with SEV-SNP would take, or leaves memory out that its kernel will use.
pub(crate) fn start(loader: &Loader, socket: &Path) -> Result<(), LaunchError> {
    let contents = &loader.contents;
    let mut gdb = Gdb::connect(socket)?;
    set_state(&mut gdb, contents)?;
    validate(&mut gdb, contents, loader.refusal)?;
    Ok(gdb.detach()?)
}

/// Gives the first processor its state. The debugger can set every register but that of the descriptor table, which the
/// processor sets itself, by one instruction.
fn set_state(gdb: &mut Gdb, contents: &Contents) -> Result<(), LaunchError> {
    const SCRATCH_DESCRIPTOR: u64 = 0x20;
    const SCRATCH_CODE: u64 = 0x100;
    const SCRATCH_OPERAND: u64 = 0x110;
    const SCRATCH_LEN: usize = 0x200;
    let state = &contents.processor;
    // The processor's table is at address zero after reset. A selector of its own, so that the file's are loaded anew.
    gdb.write(SCRATCH_DESCRIPTOR, &0x00af_9b00_0000_ffff_u64.to_le_bytes())?;
    let [low, high, ..] = SCRATCH_OPERAND.to_le_bytes();
    gdb.write(SCRATCH_CODE, &[0x0f, 0x01, 0x14, 0x25, low, high, 0, 0])?;
    let limit = u16::try_from(state.gdtr.limit).unwrap_or(u16::MAX);
    gdb.write(SCRATCH_OPERAND, &[&limit.to_le_bytes()[..], &state.gdtr.base.to_le_bytes()].concat())?;
    for (register, value) in [
        (Register::CR4, state.cr4),
        (Register::CR3, state.cr3 & !PRIVATE_BIT),
        (Register::EFER, state.efer & !EFER_SVM),
        (Register::CR0, state.cr0),
        (Register::CS, SCRATCH_DESCRIPTOR),
        (Register::RIP, SCRATCH_CODE),
    ] {
        gdb.set_register(register, value)?;
    }
    gdb.step()?;
    place_timer(gdb)?;
    for (register, value) in [
        (Register::CS, state.cs.selector.into()),
        (Register::SS, state.ss.selector.into()),
        (Register::DS, state.ds.selector.into()),
        (Register::ES, state.es.selector.into()),
        (Register::FS, state.fs.selector.into()),
        (Register::GS, state.gs.selector.into()),
        (Register::RFLAGS, state.rflags),
        (Register::RSI, state.rsi),
        (Register::RIP, state.rip),
    ] {
        gdb.set_register(register, value)?;
    }
    let first = contents.page(0).ok_or(LaunchError::Lacks("page at address zero"))?;
    Ok(gdb.write(0, first.bytes.get(..SCRATCH_LEN).unwrap_or_default())?)
}

/// Puts the chipset's timer where the file's tables have it, which firmware does on this machine (Intel ICH9 datasheet,
/// LPC interface: `PMBASE`, `ACPI_CNTL`). Needs a processor in long mode.
fn place_timer(gdb: &mut Gdb) -> Result<(), LaunchError> {
    const SCRATCH_CODE: u64 = 0x120;
    const OUT_DX_EAX: u8 = 0xef;
    const CONFIGURATION_ADDRESS: u64 = 0xcf8;
    const CONFIGURATION_DATA: u64 = 0xcfc;
    gdb.write(SCRATCH_CODE, &[OUT_DX_EAX])?;
    for (register, value) in [(0x8000_f840, 0x601), (0x8000_f844, 0x80)] {
        for (port, value) in [(CONFIGURATION_ADDRESS, register), (CONFIGURATION_DATA, value)] {
            gdb.set_register(Register::RIP, SCRATCH_CODE)?;
            gdb.set_register(Register::RDX, port)?;
            gdb.set_register(Register::RAX, value)?;
            gdb.step()?;
        }
    }
    for register in [Register::RAX, Register::RDX] {
        gdb.set_register(register, 0)?;
    }
    Ok(())
}

/// Answers the validation of memory until the guest comes to its kernel.
fn validate(gdb: &mut Gdb, contents: &Contents, refusal: Option<Refusal>) -> Result<(), LaunchError> {
    let params = BootParams::of(contents);
    let validations = places_of(contents, PVALIDATE)?;
    let ends = places_of(contents, VMGEXIT)?;
    let breakpoints = [&validations[..], &ends, &[params.kernel_entry]].concat();
    for &place in &breakpoints {
        gdb.set_breakpoint(place)?;
    }
    let valid = contents.pages.iter().map(|page| page.address).collect();
    let mut processor = Processor { valid, host_splits_next: true, refusal };
    loop {
        gdb.run_to_breakpoint()?;
        let address = gdb.register(Register::RIP)?;
        if address == params.kernel_entry {
            break;
        }
        if ends.contains(&address) && gdb.register(Register::RAX)? == TERMINATE {
            return Err(LaunchError::GuestEnded);
        }
        if !validations.contains(&address) {
            return Err(LaunchError::Strayed { address });
        }
        let (answer, was_valid) = processor.answer(gdb)?;
        let flags = gdb.register(Register::RFLAGS)? & !CARRY;
        gdb.set_register(Register::RFLAGS, flags | u64::from(was_valid))?;
        gdb.set_register(Register::RAX, answer)?;
        gdb.set_register(Register::RIP, address.saturating_add(4))?;
    }
    for place in breakpoints {
        gdb.remove_breakpoint(place)?;
    }
    params.check(&processor.valid)
}

/// What a processor with SEV-SNP knows of the guest's memory.
struct Processor {
    /// Addresses of valid pages.
    valid: BTreeSet<u64>,
    /// Whether the next large page is one that the host backs with small ones.
    host_splits_next: bool,
    refusal: Option<Refusal>,
}

impl Processor {
    /// Its answer to a validation: a code, and whether a page was valid before.
    fn answer(&mut self, gdb: &mut Gdb) -> Result<(u64, bool), LaunchError> {
        let address = gdb.register(Register::RAX)?;
        let wish = gdb.register(Register::RDX)?;
        let size = match gdb.register(Register::RCX)? {
            SMALL => PAGE_SIZE,
            LARGE => LARGE_PAGE_SIZE,
            _ => return Err(LaunchError::Validation { address }),
        };
        if wish != 1 || !address.is_multiple_of(size) {
            return Err(LaunchError::Validation { address });
        }
        let large = size == LARGE_PAGE_SIZE;
        if large && std::mem::take(&mut self.host_splits_next) {
            return Ok((SIZE_MISMATCH, false));
        }
        if let Some(refusal) = self.refusal.take_if(|refusal| refusal.large == large) {
            return Ok(if refusal.was_valid { (DONE, true) } else { (FAILED, false) });
        }
        let mut was_valid = false;
        let mut page = address;
        while page < address.saturating_add(size) {
            was_valid |= !self.valid.insert(page);
            page = page.saturating_add(PAGE_SIZE);
        }
        Ok((DONE, was_valid))
    }
}

/// Where the guest's first page has an instruction.
fn places_of(contents: &Contents, instruction: [u8; 4]) -> Result<Vec<u64>, LaunchError> {
    let start = contents.processor.rip;
    let page = contents.page(start).ok_or(LaunchError::Lacks("page where its processor starts"))?;
    let found =
        (start..).zip(page.bytes.windows(instruction.len())).filter(|(_, bytes)| *bytes == instruction);
    Ok(found.map(|(address, _)| address).collect())
}

/// What the harness reads in the boot parameters (Linux `Documentation/arch/x86/boot.rst`).
struct BootParams {
    kernel_entry: u64,
    memory: Vec<(u64, u64)>,
}

impl BootParams {
    fn of(contents: &Contents) -> Self {
        let params = contents.processor.rsi;
        let number = |offset, len| contents.number(params, offset, len);
        let count = usize::try_from(number(0x1e8, 1)).unwrap_or_default();
        let entries = (0..count).map(|index| index.saturating_mul(20).saturating_add(0x2d0));
        let memory = entries.map(|at| {
            let start = number(at, 8);
            (start, start.saturating_add(number(at.saturating_add(8), 8)))
        });
        Self { kernel_entry: number(0x258, 8).saturating_add(0x200), memory: memory.collect() }
    }

    /// Everything that the kernel is told of can be used.
    fn check(&self, valid: &BTreeSet<u64>) -> Result<(), LaunchError> {
        for &(start, end) in &self.memory {
            let mut address = start;
            while address < end {
                if !valid.contains(&address) {
                    return Err(LaunchError::NotValidated { address });
                }
                address = address.saturating_add(PAGE_SIZE);
            }
        }
        Ok(())
    }
}
