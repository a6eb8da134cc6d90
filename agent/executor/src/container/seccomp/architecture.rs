//! Architectures, their system calls, and the numbers of these.

use std::collections::HashMap;
use std::ffi::c_long;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use super::SeccompError;

/// An architecture whose system calls the kernel of this machine serves.
#[derive(Debug)]
pub(super) struct Architecture {
    /// libseccomp's name of it.
    pub(super) name: &'static str,
    /// What the kernel tells a filter: `AUDIT_ARCH_*` of `linux/audit.h`.
    pub(super) token: u32,
    /// Numbers that are calls of this architecture. Another one may have the rest under the same token.
    pub(super) numbers: RangeInclusive<u32>,
    /// Whether arguments have 32 bits: of a value in a profile only these are compared then.
    pub(super) narrow: bool,
    calls: LazyLock<HashMap<&'static str, u32>>,
    multiplexers: &'static [Multiplexer],
}

/// A system call that stands for many, told apart by its first argument.
#[derive(Debug)]
pub(super) struct Multiplexer {
    /// Its name.
    pub(super) name: &'static str,
    /// The bits of its first argument that tell the calls apart.
    pub(super) mask: u32,
    calls: &'static [(&'static str, u32)],
}

impl Architecture {
    /// Whether it is the machine's own.
    pub(super) fn is_native(&self) -> bool {
        of_machine().first().is_some_and(|native| native.name == self.name)
    }

    /// The number of a call.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        self.calls.get(name).copied()
    }

    /// The calls that the named one can also be made by, each with the value of its first argument.
    pub(super) fn multiplexed(&self, name: &str) -> impl Iterator<Item = (&'static Multiplexer, u32)> {
        self.multiplexers.iter().flat_map(move |multiplexer| {
            let calls = multiplexer.calls.iter().filter(move |(call, _)| *call == name);
            calls.map(move |(_, selector)| (multiplexer, *selector))
        })
    }
}

/// Refuses a name that is no architecture. Calls of one that the machine does not have never come.
pub(super) fn check(name: &str) -> Result<(), SeccompError> {
    let known = NAMES.iter().any(|known| name.strip_prefix("SCMP_ARCH_") == Some(known));
    if known { Ok(()) } else { Err(SeccompError::Architecture { name: name.to_owned() }) }
}

/// The OCI runtime specification's architectures, without their prefix.
const NAMES: [&str; 22] = [
    "X86",
    "X86_64",
    "X32",
    "ARM",
    "AARCH64",
    "MIPS",
    "MIPS64",
    "MIPS64N32",
    "MIPSEL",
    "MIPSEL64",
    "MIPSEL64N32",
    "PPC",
    "PPC64",
    "PPC64LE",
    "S390",
    "S390X",
    "PARISC",
    "PARISC64",
    "RISCV64",
    "LOONGARCH64",
    "M68K",
    "SH",
];

/// The architectures of this machine, the native one first.
#[cfg(target_arch = "x86_64")]
pub(super) fn of_machine() -> &'static [Architecture] {
    &X86_FAMILY
}

/// The architectures of this machine, the native one first.
#[cfg(target_arch = "aarch64")]
pub(super) fn of_machine() -> &'static [Architecture] {
    &ARM_FAMILY
}

/// Set in the number of every x32 call: `__X32_SYSCALL_BIT` of `asm/unistd.h`. They come with the token of x86-64.
pub(super) const X32_BIT: u32 = 0x4000_0000;
/// The number that a tracer sets to have no call made; it never is one.
pub(super) const NO_CALL: u32 = u32::MAX;

#[cfg(target_arch = "x86_64")]
static X86_FAMILY: [Architecture; 3] = [
    Architecture {
        name: "SCMP_ARCH_X86_64",
        token: 0xc000_003e,
        numbers: 0..=X32_BIT - 1,
        narrow: false,
        calls: LazyLock::new(|| calls(0, syscall_numbers::x86_64::sys_call_name)),
        multiplexers: &[],
    },
    Architecture {
        name: "SCMP_ARCH_X32",
        token: 0xc000_003e,
        numbers: X32_BIT..=NO_CALL - 1,
        narrow: false,
        calls: LazyLock::new(|| calls(X32_BIT, syscall_numbers::x32::sys_call_name)),
        multiplexers: &[],
    },
    Architecture {
        name: "SCMP_ARCH_X86",
        token: 0x4000_0003,
        numbers: 0..=NO_CALL - 1,
        narrow: true,
        calls: LazyLock::new(|| calls(0, syscall_numbers::x86::sys_call_name)),
        multiplexers: &[SOCKETCALL, IPC],
    },
];

#[cfg(target_arch = "aarch64")]
static ARM_FAMILY: [Architecture; 2] = [
    Architecture {
        name: "SCMP_ARCH_AARCH64",
        token: 0xc000_00b7,
        numbers: 0..=NO_CALL - 1,
        narrow: false,
        calls: LazyLock::new(|| calls(0, syscall_numbers::aarch64::sys_call_name)),
        multiplexers: &[],
    },
    Architecture {
        name: "SCMP_ARCH_ARM",
        token: 0x4000_0028,
        numbers: 0..=NO_CALL - 1,
        narrow: true,
        calls: LazyLock::new(|| calls(0, syscall_numbers::arm::sys_call_name)),
        multiplexers: &[],
    },
];

/// `socketcall(2)`; its calls by `linux/net.h`.
#[cfg(target_arch = "x86_64")]
const SOCKETCALL: Multiplexer = Multiplexer {
    name: "socketcall",
    mask: u32::MAX,
    calls: &[
        ("socket", 1),
        ("bind", 2),
        ("connect", 3),
        ("listen", 4),
        ("accept", 5),
        ("getsockname", 6),
        ("getpeername", 7),
        ("socketpair", 8),
        ("send", 9),
        ("recv", 10),
        ("sendto", 11),
        ("recvfrom", 12),
        ("shutdown", 13),
        ("setsockopt", 14),
        ("getsockopt", 15),
        ("sendmsg", 16),
        ("recvmsg", 17),
        ("accept4", 18),
        ("recvmmsg", 19),
        ("sendmmsg", 20),
    ],
};

/// `ipc(2)`; its calls by `linux/ipc.h`. The upper half of its first argument is a version.
#[cfg(target_arch = "x86_64")]
const IPC: Multiplexer = Multiplexer {
    name: "ipc",
    mask: 0xffff,
    calls: &[
        ("semop", 1),
        ("semget", 2),
        ("semctl", 3),
        ("semtimedop", 4),
        ("msgsnd", 11),
        ("msgrcv", 12),
        ("msgget", 13),
        ("msgctl", 14),
        ("shmat", 21),
        ("shmdt", 22),
        ("shmget", 23),
        ("shmctl", 24),
    ],
};

/// How many numbers of an architecture are looked at: Linux gives new calls the next number, and is far below.
const NUMBERS_MAX: u32 = 2048;

/// The names of an architecture's calls and their numbers, which begin at `base`.
fn calls(base: u32, name: fn(c_long) -> Option<&'static str>) -> HashMap<&'static str, u32> {
    let numbers = (0..NUMBERS_MAX).map(|offset| base | offset);
    numbers.filter_map(|number| Some((name(c_long::from(number))?, number))).collect()
}
