//! Which devices the processes of a container may use: a filter in the kernel, attached to the container's cgroup.
//!
//! A container's root may hold `CAP_MKNOD`. Without the filter it would make itself a node for a disk of the guest and
//! write there (CVE-2020-2023, CVE-2026-24834).

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use crate::sys::bpf::{Instruction, attach_device_filter, load_device_filter};

/// The character devices that every container has: name, major and minor number.
pub(crate) const DEFAULT_NODES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// A character device that may be used; without a minor number, all of the major one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Allowed {
    major: u32,
    minor: Option<u32>,
}

/// What is there besides the nodes: the multiplexer and the terminals of the container's devpts.
const TERMINALS: [Allowed; 2] = [Allowed { major: 5, minor: Some(2) }, Allowed { major: 136, minor: None }];

/// Attaches the filter to a cgroup that no process is in yet.
pub(super) fn restrict(cgroup: BorrowedFd<'_>) -> io::Result<()> {
    let nodes = DEFAULT_NODES.iter().map(|(_, major, minor)| Allowed { major: *major, minor: Some(*minor) });
    let allowed: Vec<Allowed> = nodes.chain(TERMINALS).collect();
    let filter = load_device_filter(&program(&allowed).ok_or(io::ErrorKind::InvalidInput)?)?;
    attach_device_filter(cgroup, filter.as_fd())
}

/// `BPF_LDX | BPF_MEM | BPF_W`: a 32-bit load.
const LOAD: u8 = 0x61;
/// `BPF_ALU | BPF_AND | BPF_K`.
const AND: u8 = 0x54;
/// `BPF_JMP | BPF_JNE | BPF_K`.
const JUMP_IF_NOT: u8 = 0x55;
/// `BPF_ALU64 | BPF_MOV | BPF_K`.
const SET: u8 = 0xb7;
/// `BPF_JMP | BPF_EXIT`: ends with the value of register 0.
const EXIT: u8 = 0x95;

/// `BPF_DEVCG_DEV_CHAR`.
const CHARACTER_DEVICE: i32 = 2;

/// Registers: the verdict, the context, and what is loaded from it.
const VERDICT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const MAJOR: u8 = 3;
const MINOR: u8 = 4;

/// The filter: 1 for an access to an allowed character device, 0 for anything else.
///
/// The context is `struct bpf_cgroup_dev_ctx`: access and kind (16 bits each), major number, minor number.
fn program(allowed: &[Allowed]) -> Option<Vec<Instruction>> {
    let load =
        |to: u8, offset: i16| Instruction { code: LOAD, registers: to | CONTEXT << 4, offset, immediate: 0 };
    let unless = |register: u8, value: i32, skip: i16| Instruction {
        code: JUMP_IF_NOT,
        registers: register,
        offset: skip,
        immediate: value,
    };
    let set = |value: i32| Instruction { code: SET, registers: VERDICT, offset: 0, immediate: value };
    let exit = Instruction { code: EXIT, registers: 0, offset: 0, immediate: 0 };

    let mut program = vec![
        load(KIND, 0),
        Instruction { code: AND, registers: KIND, offset: 0, immediate: 0xffff },
        load(MAJOR, 4),
        load(MINOR, 8),
        unless(KIND, CHARACTER_DEVICE, i16::try_from(length(allowed)).ok()?),
    ];
    for device in allowed {
        let major = i32::try_from(device.major).ok()?;
        match device.minor {
            None => program.push(unless(MAJOR, major, 2)),
            Some(minor) => {
                program.push(unless(MAJOR, major, 3));
                program.push(unless(MINOR, i32::try_from(minor).ok()?, 2));
            }
        }
        program.extend([set(1), exit]);
    }
    program.extend([set(0), exit]);
    Some(program)
}

/// The number of instructions for the allowed devices.
fn length(allowed: &[Allowed]) -> usize {
    allowed.iter().map(|device| if device.minor.is_some() { 4_usize } else { 3 }).sum()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "a test's own counters")]

    use super::*;

    /// Runs a program as the kernel would.
    fn verdict(program: &[Instruction], kind: u32, major: u32, minor: u32) -> i64 {
        let context = [(6 << 16) | kind, major, minor];
        let mut registers = [0_i64; 11];
        let mut next = 0;
        loop {
            let instruction = program[next];
            next += 1;
            let to = usize::from(instruction.registers & 15);
            match instruction.code {
                LOAD => registers[to] = i64::from(context[usize::try_from(instruction.offset).unwrap() / 4]),
                AND => registers[to] &= i64::from(instruction.immediate),
                SET => registers[to] = i64::from(instruction.immediate),
                JUMP_IF_NOT if registers[to] != i64::from(instruction.immediate) => {
                    next += usize::try_from(instruction.offset).unwrap();
                }
                JUMP_IF_NOT => {}
                EXIT => return registers[0],
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn only_listed_character_devices_pass() {
        let allowed = [Allowed { major: 1, minor: Some(3) }, Allowed { major: 136, minor: None }];
        let program = program(&allowed).unwrap();
        let (block, character) = (1, 2);
        assert_eq!(verdict(&program, character, 1, 3), 1);
        assert_eq!(verdict(&program, character, 136, 9), 1);
        assert_eq!(verdict(&program, character, 1, 1), 0, "/dev/mem");
        assert_eq!(verdict(&program, character, 10, 124), 0, "/dev/sev-guest");
        assert_eq!(verdict(&program, block, 1, 3), 0);
        assert_eq!(verdict(&program, block, 254, 0), 0, "/dev/vda");
        assert_eq!(verdict(&program, block, 136, 0), 0);
    }

    #[test]
    fn an_empty_list_allows_nothing() {
        let program = program(&[]).unwrap();
        assert_eq!(verdict(&program, 2, 1, 3), 0);
    }
}
