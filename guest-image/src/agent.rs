//! What the agent's program must be before it goes into an image.

use crate::Flavour;

/// Words of the emulated secure processor's client: what its parser of addresses and its connection say when they fail.
const EMULATED_PSP_WORDS: [&str; 2] = [
    "expected vsock://CID:PORT or unix://PATH",
    "cannot exchange messages with the emulated secure processor",
];

/// Why a program is no agent for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    /// It would not start in a guest that has no other program.
    #[error("it is not a static x86-64 ELF program: {0}")]
    NotStatic(&'static str),
    /// It takes reports from an emulation, which anybody can run.
    #[error("it contains the emulated secure processor, which has no place in production")]
    EmulatedPsp,
    /// It cannot take reports from the emulation that the command line names, or the words by which this is seen have
    /// changed.
    #[error("it does not contain the emulated secure processor")]
    NoEmulatedPsp,
}

/// Checks that `program` starts alone, and takes reports from where the flavour says.
pub(crate) fn check(program: &[u8], flavour: Flavour) -> Result<(), AgentError> {
    check_static(program).map_err(AgentError::NotStatic)?;
    let holds = |words: &str| program.windows(words.len()).any(|bytes| bytes == words.as_bytes());
    match flavour {
        Flavour::Production if EMULATED_PSP_WORDS.iter().any(|words| holds(words)) => {
            Err(AgentError::EmulatedPsp)
        }
        Flavour::Development { .. } if !EMULATED_PSP_WORDS.iter().all(|words| holds(words)) => {
            Err(AgentError::NoEmulatedPsp)
        }
        _ => Ok(()),
    }
}

/// Offsets: ELF-64 specification, file header and program header.
fn check_static(program: &[u8]) -> Result<(), &'static str> {
    const PROGRAM_INTERPRETER: u32 = 3;
    const TRUNCATED: &str = "cut off";
    if program.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Err("no 64-bit little-endian ELF header");
    }
    if program.get(0x12..0x14) != Some(&[0x3e, 0]) {
        return Err("built for another machine");
    }
    let field = |start: usize, len: usize| {
        let bytes = program.get(start..start.checked_add(len)?)?;
        bytes.iter().rev().try_fold(0_usize, |value, &byte| value.checked_mul(256)?.checked_add(byte.into()))
    };
    let table = field(0x20, 8).ok_or(TRUNCATED)?;
    let entry_size = field(0x36, 2).ok_or(TRUNCATED)?;
    let entries = field(0x38, 2).ok_or(TRUNCATED)?;
    for index in 0..entries {
        let start = entry_size.checked_mul(index).and_then(|offset| table.checked_add(offset));
        let kind = start.and_then(|start| field(start, 4)).ok_or(TRUNCATED)?;
        if u32::try_from(kind) == Ok(PROGRAM_INTERPRETER) {
            return Err("needs a loader");
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const LOAD: u8 = 1;
    const INTERPRETER: u8 = 3;

    /// An ELF header with one program header of this kind, and these words behind it.
    pub(crate) fn elf(kind: u8, words: &[&str]) -> Vec<u8> {
        let mut program = vec![0; 0x40 + 0x38];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        program[0x12] = 0x3e;
        program[0x20] = 0x40;
        program[0x36] = 0x38;
        program[0x38] = 1;
        program[0x40] = kind;
        words.iter().for_each(|words| program.extend(words.as_bytes()));
        program
    }

    /// An agent for development.
    pub(crate) fn with_emulated_psp() -> Vec<u8> {
        elf(LOAD, &EMULATED_PSP_WORDS)
    }

    #[test]
    fn the_emulated_secure_processor_is_in_development_and_nowhere_else() {
        let development = Flavour::Development { psp_port: 1 };
        assert_eq!(check(&with_emulated_psp(), development), Ok(()));
        assert_eq!(check(&elf(LOAD, &[]), Flavour::Production), Ok(()));
        assert_eq!(check(&elf(LOAD, &[]), development), Err(AgentError::NoEmulatedPsp));
        for words in EMULATED_PSP_WORDS {
            assert_eq!(check(&elf(LOAD, &[words]), Flavour::Production), Err(AgentError::EmulatedPsp));
            assert_eq!(check(&elf(LOAD, &[words]), development), Err(AgentError::NoEmulatedPsp));
        }
    }

    #[test]
    fn an_agent_that_needs_a_loader_is_refused() {
        for (program, reason) in [
            (elf(INTERPRETER, &[]), "needs a loader"),
            (b"#!/bin/sh\n".to_vec(), "no 64-bit little-endian ELF header"),
            (elf(LOAD, &[])[..0x42].to_vec(), "cut off"),
        ] {
            assert_eq!(check(&program, Flavour::Production), Err(AgentError::NotStatic(reason)));
        }
    }
}
