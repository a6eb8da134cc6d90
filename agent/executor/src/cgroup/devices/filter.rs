//! The program of a device filter.
//!
//! Format: `struct bpf_cgroup_dev_ctx` of `linux/bpf.h`.

use policy_engine::request::linux::{DeviceAccess, DeviceKind, DeviceRule};

use crate::sys::bpf::Instruction;

/// `BPF_LDX | BPF_MEM | BPF_W`: a 32-bit load.
const LOAD: u8 = 0x61;
/// `BPF_ALU64 | BPF_MOV | BPF_X`: a copy.
const COPY: u8 = 0xbf;
/// `BPF_ALU64 | BPF_MOV | BPF_K`.
const SET: u8 = 0xb7;
/// `BPF_ALU | BPF_AND | BPF_K`, in 32 bits.
const AND: u8 = 0x54;
/// `BPF_ALU | BPF_RSH | BPF_K`, in 32 bits.
const SHIFT_RIGHT: u8 = 0x74;
/// `BPF_JMP | BPF_JNE | BPF_K`.
const JUMP_IF_NOT: u8 = 0x55;
/// `BPF_JMP | BPF_JSET | BPF_K`: jumps if any of the bits is set.
const JUMP_IF_ANY: u8 = 0x45;
/// `BPF_JMP | BPF_JA`.
const JUMP: u8 = 0x05;
/// `BPF_JMP | BPF_EXIT`: ends with the value of register 0.
const EXIT: u8 = 0x95;

/// `BPF_DEVCG_DEV_BLOCK`.
const BLOCK: i32 = 1;
/// `BPF_DEVCG_DEV_CHAR`.
const CHARACTER: i32 = 2;

/// `BPF_DEVCG_ACC_MKNOD`.
const MKNOD: i32 = 1;
/// `BPF_DEVCG_ACC_READ`.
const READ: i32 = 2;
/// `BPF_DEVCG_ACC_WRITE`.
const WRITE: i32 = 4;

/// Registers: the verdict, the context, and what is loaded from it.
const VERDICT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const MAJOR: u8 = 3;
const MINOR: u8 = 4;
/// The accesses that no rule has allowed yet.
const WANTED: u8 = 5;

const fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers, offset, immediate }
}

/// The filter: 1 for a request all of whose accesses are allowed, each by the last rule that fits it; 0 for others.
/// `None` if a number is beyond any device's.
pub(super) fn compile(rules: &[DeviceRule]) -> Option<Vec<Instruction>> {
    let load = |to: u8, offset: i16| instruction(LOAD, to | CONTEXT << 4, offset, 0);
    let mut program = vec![
        // The kind in the low 16 bits, the accesses above.
        load(KIND, 0),
        instruction(COPY, WANTED | KIND << 4, 0, 0),
        instruction(AND, KIND, 0, 0xffff),
        instruction(SHIFT_RIGHT, WANTED, 0, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in rules.iter().rev().filter(|rule| rule.kind != Some(DeviceKind::Fifo)) {
        let kind = rule.kind.map(|kind| if kind == DeviceKind::Block { BLOCK } else { CHARACTER });
        let numbers = [(MAJOR, rule.major), (MINOR, rule.minor)];
        let mut conditions: Vec<(u8, i32)> = kind.map(|kind| (KIND, kind)).into_iter().collect();
        for (register, number) in numbers {
            conditions.extend(number.map(i32::try_from).transpose().ok()?.map(|number| (register, number)));
        }
        let effect = effect(rule.allow, bits(rule.access));
        for (index, (register, value)) in conditions.iter().enumerate() {
            let others = conditions.len().checked_sub(index)?.checked_sub(1)?;
            let skip = i16::try_from(others.checked_add(effect.len())?).ok()?;
            program.push(instruction(JUMP_IF_NOT, *register, skip, *value));
        }
        program.extend(effect);
    }
    program.extend([instruction(SET, VERDICT, 0, 0), instruction(EXIT, 0, 0, 0)]);
    Some(program)
}

/// What a rule does that fits the device.
fn effect(allow: bool, access: i32) -> Vec<Instruction> {
    let verdict = instruction(SET, VERDICT, 0, i32::from(allow));
    let exit = instruction(EXIT, 0, 0, 0);
    if allow {
        // Once nothing more is wanted, all of it is allowed.
        let allowed = instruction(AND, WANTED, 0, !access);
        vec![allowed, instruction(JUMP_IF_NOT, WANTED, 2, 0), verdict, exit]
    } else {
        vec![instruction(JUMP_IF_ANY, WANTED, 1, access), instruction(JUMP, 0, 2, 0), verdict, exit]
    }
}

fn bits(access: DeviceAccess) -> i32 {
    let bits = [(access.mknod, MKNOD), (access.read, READ), (access.write, WRITE)];
    bits.into_iter().filter(|(asked, _)| *asked).fold(0, |all, (_, bit)| all | bit)
}

#[cfg(test)]
mod tests;
