//! The first code of the guest: it validates the memory that the launch did not, then jumps to the kernel.
//!
//! A guest can use a private page only once it has validated it (`PVALIDATE`, AMD64 Architecture Programmer's Manual,
//! volume 3), and the kernel leaves that to its firmware. There is none here. What the launch put into memory is
//! validated already, and is never validated again: a host that puts another page in the place of a validated one is
//! found by the fault on the first access, unless the guest validates the replacement.

use iced_x86::{
    IcedError,
    code_asm::{CodeAssembler, CodeLabel, eax, ebx, ecx, edx, qword_ptr, r8, r9b, rax, rbx, rcx, rdi},
};

use super::{IgvmError, boot_params::put, pages::Addresses};

/// Code and ranges share a page.
const SIZE: usize = 4096;
/// Where the ranges start in it.
const RANGES_OFFSET: u64 = 512;
/// Size of a range: first address, address behind the last.
const RANGE_SIZE: u32 = 16;

const SMALL_PAGE: i32 = 4096;
const LARGE_PAGE: i32 = 2 << 20;
/// `PVALIDATE`'s page size in ECX.
const SMALL: u32 = 0;
const LARGE: u32 = 1;
/// `PVALIDATE`'s wish in EDX, and its answer in EAX where the host backs a large page by small ones.
const VALIDATE: u32 = 1;
const SIZE_MISMATCH: u32 = 6;

/// MSR and value by which a guest asks for its end (GHCB specification, "GHCB MSR Protocol", termination request).
const GHCB_MSR: u32 = 0xc001_0130;
const TERMINATE: u32 = 0x100;

/// The page with code and ranges. Its first byte is the first instruction; RSI passes through to the kernel.
pub(super) fn page(address: u64, kernel_entry: u64, ranges: &[Addresses]) -> Result<Vec<u8>, IgvmError> {
    let table = address.checked_add(RANGES_OFFSET).and_then(|table| u32::try_from(table).ok());
    let code = table.ok_or(TOO_LARGE).and_then(|table| {
        assemble(address, table, kernel_entry).map_err(|source| IgvmError::Assemble(Box::new(source)))
    })?;
    if code.len() > RANGES_OFFSET as usize {
        return Err(TOO_LARGE);
    }
    let mut page = code;
    page.resize(RANGES_OFFSET as usize, 0);
    for range in ranges {
        page.extend([range.start, range.end].into_iter().flat_map(u64::to_le_bytes));
    }
    // The rest of the page ends the list: a range from zero to zero.
    let mut whole = vec![0; SIZE];
    if page.len() > SIZE.saturating_sub(RANGE_SIZE as usize) {
        return Err(TOO_LARGE);
    }
    put(&mut whole, 0, &page)?;
    Ok(whole)
}

const TOO_LARGE: IgvmError = IgvmError::DoesNotFit { what: "the list of memory to validate" };

struct Labels {
    next_range: CodeLabel,
    next_page: CodeLabel,
    small_page: CodeLabel,
    kernel: CodeLabel,
    fail: CodeLabel,
}

/// Registers: RBX next range, RDI next address, R8 end of the range.
#[expect(clippy::arithmetic_side_effects, reason = "an address expression of the assembler adds nothing yet")]
fn assemble(address: u64, table: u32, kernel_entry: u64) -> Result<Vec<u8>, IcedError> {
    let mut asm = CodeAssembler::new(64)?;
    let mut labels = Labels {
        next_range: asm.create_label(),
        next_page: asm.create_label(),
        small_page: asm.create_label(),
        kernel: asm.create_label(),
        fail: asm.create_label(),
    };
    asm.mov(ebx, table)?;

    asm.set_label(&mut labels.next_range)?;
    asm.mov(rdi, qword_ptr(rbx))?;
    asm.mov(r8, qword_ptr(rbx + 8))?;
    asm.add(rbx, RANGE_SIZE as i32)?;
    asm.test(r8, r8)?;
    asm.je(labels.kernel)?;

    asm.set_label(&mut labels.next_page)?;
    asm.cmp(rdi, r8)?;
    asm.jae(labels.next_range)?;
    large_page(&mut asm, &labels)?;
    asm.set_label(&mut labels.small_page)?;
    validate(&mut asm, SMALL)?;
    asm.test(eax, eax)?;
    asm.jne(labels.fail)?;
    asm.test(r9b, r9b)?;
    asm.jne(labels.fail)?;
    asm.add(rdi, SMALL_PAGE)?;
    asm.jmp(labels.next_page)?;

    asm.set_label(&mut labels.kernel)?;
    asm.mov(rax, kernel_entry)?;
    asm.jmp(rax)?;

    end(&mut asm, &mut labels)?;
    asm.assemble(address)
}

/// Tries a page of 2 MiB where one starts and the range reaches over it. Ends at the label of the small page.
#[expect(clippy::arithmetic_side_effects, reason = "an address expression of the assembler adds nothing yet")]
fn large_page(asm: &mut CodeAssembler, labels: &Labels) -> Result<(), IcedError> {
    asm.test(rdi, LARGE_PAGE.saturating_sub(1))?;
    asm.jne(labels.small_page)?;
    asm.lea(rcx, qword_ptr(rdi + LARGE_PAGE))?;
    asm.cmp(rcx, r8)?;
    asm.ja(labels.small_page)?;
    validate(asm, LARGE)?;
    asm.cmp(eax, SIZE_MISMATCH)?;
    asm.je(labels.small_page)?;
    asm.test(eax, eax)?;
    asm.jne(labels.fail)?;
    asm.test(r9b, r9b)?;
    asm.jne(labels.fail)?;
    asm.add(rdi, LARGE_PAGE)?;
    asm.jmp(labels.next_page)
}

/// Validates the page at RDI. EAX is the answer; R9B is one where the page was valid before, which it must not be.
fn validate(asm: &mut CodeAssembler, size: u32) -> Result<(), IcedError> {
    asm.mov(rax, rdi)?;
    asm.mov(ecx, size)?;
    asm.mov(edx, VALIDATE)?;
    asm.pvalidate()?;
    asm.setc(r9b)
}

/// Asks the host for the machine's end, again and again.
fn end(asm: &mut CodeAssembler, labels: &mut Labels) -> Result<(), IcedError> {
    asm.set_label(&mut labels.fail)?;
    asm.mov(ecx, GHCB_MSR)?;
    asm.mov(eax, TERMINATE)?;
    asm.xor(edx, edx)?;
    asm.wrmsr()?;
    asm.vmgexit()?;
    asm.jmp(labels.fail)
}
