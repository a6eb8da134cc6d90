//! Seccomp profiles of the OCI runtime specification, compiled to the kernel's filters (`seccomp(2)`).
//!
//! A profile means what runc and libseccomp make of it, decision record 0012:
//!
//! - A call of an architecture that the profile does not name kills the process, and so does a call with the x32 bit when
//!   x32 is not named: the native one is named always.
//! - An entry without conditions beats those with conditions, the first of its kind the later ones. Of several entries
//!   whose conditions hold the strictest counts.
//! - Conditions of an entry hold together, unless two are on the same argument: then each stands for itself.
//! - An entry that does what the default does says nothing. A name that the architecture does not have says nothing.
//! - A call newer than any that the profile names fails with `ENOSYS` unless the default lets calls pass: programs try
//!   new calls and fall back to old ones.

mod architecture;
mod program;
mod space;
#[cfg(test)]
mod tests;

use nix::libc;
use policy_engine::request::linux::{SeccompAction, SeccompArgument, SeccompProfile};
use serde::{Deserialize, Serialize};

use self::architecture::Architecture;
pub(crate) use self::program::Instruction;
use self::space::{Calls, NumberSpace};

/// The longest program that the kernel takes: `BPF_MAXINSNS` of `linux/bpf_common.h`.
const PROGRAM_LENGTH_MAX: usize = 4096;
/// The largest error number, `MAX_ERRNO` of `linux/err.h`.
const ERRNO_MAX: u32 = 4095;

/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV` of `linux/seccomp.h`.
const WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;

/// A compiled profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filter {
    /// `SECCOMP_FILTER_FLAG_*` bits.
    pub(crate) flags: u32,
    pub(crate) program: Vec<Instruction>,
    /// Whether it hands system calls to somebody, who gets a listener for them.
    pub(crate) notifies: bool,
}

/// Why a seccomp profile cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeccompError {
    /// No architecture of Linux.
    #[error("`{name}` is not an architecture")]
    Architecture {
        /// What was given.
        name: String,
    },
    /// No flag of a filter.
    #[error("`{name}` is not a flag of a filter")]
    Flag {
        /// What was given.
        name: String,
    },
    /// An error number for an action that has none, or one beyond what the action can tell.
    #[error("the action does not take the error number {number}")]
    Errno {
        /// What was given.
        number: u32,
    },
    /// An entry has an empty name.
    #[error("a system call has no name")]
    Unnamed,
    /// System calls have six arguments.
    #[error("no system call has an argument of the index {index}")]
    ArgumentIndex {
        /// What was given.
        index: u32,
    },
    /// There is nobody to hand system calls to; or all of them would be handed over, also those that hand over.
    #[error("handing system calls to another process is not supported")]
    Notify,
    /// More than the kernel takes.
    #[error("the filter has more than {PROGRAM_LENGTH_MAX} instructions")]
    TooLong,
}

/// A condition on an argument.
type Condition = SeccompArgument;

/// Compiles a profile. `listened` is whether there is somebody to hand system calls to.
pub(super) fn compile(profile: &SeccompProfile, listened: bool) -> Result<Filter, SeccompError> {
    let notifies = profile.syscalls.iter().any(|entry| entry.action == SeccompAction::Notify);
    let speaks_of_it = notifies || !profile.listener_path.is_empty() || !profile.listener_metadata.is_empty();
    if profile.default_action == SeccompAction::Notify || (speaks_of_it && !listened) {
        return Err(SeccompError::Notify);
    }
    let flags = profile.flags.iter().try_fold(0, |bits, name| Ok(bits | flag(name, notifies)?))?;
    let default = verdict(profile.default_action, profile.default_errno_ret)?;
    let entries: Vec<Entry<'_>> =
        profile.syscalls.iter().map(|entry| Entry::new(entry, default)).collect::<Result<_, _>>()?;
    let named = |architecture: &&Architecture| {
        architecture.is_native() || profile.architectures.iter().any(|name| name == architecture.name)
    };
    for name in &profile.architectures {
        architecture::check(name)?;
    }
    let mut spaces: Vec<NumberSpace> = Vec::new();
    for architecture in architecture::of_machine().iter().filter(named) {
        let calls = Calls::new(architecture, &entries, default)?;
        match spaces.iter_mut().find(|space| space.token == architecture.token) {
            Some(space) => space.add(architecture, calls),
            None => spaces.push(NumberSpace::new(architecture, calls)),
        }
    }
    let program = program::assemble(&spaces).ok_or(SeccompError::TooLong)?;
    Ok(Filter { flags, program, notifies })
}

/// An entry of a profile, checked.
#[derive(Debug)]
struct Entry<'a> {
    names: &'a [String],
    /// What the filter returns; `None` for what it returns in any case.
    verdict: Option<u32>,
    /// Any of these has to hold, if there are any: all of its conditions.
    alternatives: Vec<Vec<Condition>>,
}

impl<'a> Entry<'a> {
    fn new(
        entry: &'a policy_engine::request::linux::SeccompSyscall,
        default: u32,
    ) -> Result<Self, SeccompError> {
        if entry.names.iter().any(String::is_empty) {
            return Err(SeccompError::Unnamed);
        }
        if let Some(argument) = entry.args.iter().find(|argument| argument.index > 5) {
            return Err(SeccompError::ArgumentIndex { index: argument.index });
        }
        let twice = |argument: &Condition| {
            entry.args.iter().filter(|other| other.index == argument.index).count() > 1
        };
        let alternatives = if entry.args.is_empty() {
            Vec::new()
        } else if entry.args.len() > 6 || entry.args.iter().any(twice) {
            entry.args.iter().map(|condition| vec![*condition]).collect()
        } else {
            vec![entry.args.clone()]
        };
        let verdict = verdict(entry.action, entry.errno_ret)?;
        Ok(Self { names: &entry.names, verdict: (verdict != default).then_some(verdict), alternatives })
    }
}

/// What a filter returns for an action.
fn verdict(action: SeccompAction, errno: Option<u32>) -> Result<u32, SeccompError> {
    let with_number = |action: u32, max: u32| {
        let number = errno.unwrap_or(libc::EPERM.unsigned_abs());
        if number > max { Err(SeccompError::Errno { number }) } else { Ok(action | number) }
    };
    let action = match action {
        SeccompAction::Errno => return with_number(libc::SECCOMP_RET_ERRNO, ERRNO_MAX),
        SeccompAction::Trace => return with_number(libc::SECCOMP_RET_TRACE, libc::SECCOMP_RET_DATA),
        SeccompAction::Notify => libc::SECCOMP_RET_USER_NOTIF,
        // As with libseccomp: the thread alone.
        SeccompAction::Kill | SeccompAction::KillThread => libc::SECCOMP_RET_KILL_THREAD,
        SeccompAction::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        SeccompAction::Trap => libc::SECCOMP_RET_TRAP,
        SeccompAction::Allow => libc::SECCOMP_RET_ALLOW,
        SeccompAction::Log => libc::SECCOMP_RET_LOG,
    };
    errno.map_or(Ok(action), |number| Err(SeccompError::Errno { number }))
}

/// The bits of a flag. The process that installs the filter has one thread, so that one of the flags has no effect, and
/// without a listener there is nobody to wait for.
fn flag(name: &str, notifies: bool) -> Result<u32, SeccompError> {
    let bits = match name {
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" if notifies => WAIT_KILLABLE_RECV,
        "SECCOMP_FILTER_FLAG_TSYNC" | "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => 0,
        "SECCOMP_FILTER_FLAG_LOG" => libc::SECCOMP_FILTER_FLAG_LOG,
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        _ => return Err(SeccompError::Flag { name: name.to_owned() }),
    };
    u32::try_from(bits).map_err(|_| SeccompError::Flag { name: name.to_owned() })
}
