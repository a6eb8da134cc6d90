//! Seccomp profiles.

use policy_engine::request::linux::{SeccompArgument, SeccompProfile, SeccompSyscall};
use proto::kata::oci;
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};

use super::RequestError;

/// The profile of a message. The wire has no error number of the default action, and no listener: the digest is of what
/// came over it.
pub(super) fn profile(message: &oci::LinuxSeccomp) -> Result<SeccompProfile, RequestError> {
    Ok(SeccompProfile {
        default_action: word("OCI.Linux.Seccomp.DefaultAction", &message.DefaultAction)?,
        default_errno_ret: None,
        architectures: message.Architectures.clone(),
        flags: message.Flags.clone(),
        listener_path: String::new(),
        listener_metadata: String::new(),
        syscalls: message.Syscalls.iter().map(syscall).collect::<Result<_, _>>()?,
    })
}

fn syscall(message: &oci::LinuxSyscall) -> Result<SeccompSyscall, RequestError> {
    if message.Names.is_empty() {
        return Err(RequestError::Value {
            field: "OCI.Linux.Seccomp.Syscalls",
            expected: "calls with names",
        });
    }
    Ok(SeccompSyscall {
        names: message.Names.clone(),
        action: word("OCI.Linux.Seccomp.Syscalls.Action", &message.Action)?,
        errno_ret: message.has_errnoret().then(|| message.errnoret()),
        args: message.Args.iter().map(argument).collect::<Result<_, _>>()?,
    })
}

fn argument(message: &oci::LinuxSeccompArg) -> Result<SeccompArgument, RequestError> {
    let index = u32::try_from(message.Index).ok().filter(|index| *index < 6);
    let field = "OCI.Linux.Seccomp.Syscalls.Args.Index";
    Ok(SeccompArgument {
        index: index.ok_or(RequestError::Value { field, expected: "0 to 5" })?,
        value: message.Value,
        value_two: message.ValueTwo,
        op: word("OCI.Linux.Seccomp.Syscalls.Args.Op", &message.Op)?,
    })
}

/// A word that stands for one of a few things.
fn word<'a, T: Deserialize<'a>>(field: &'static str, text: &'a str) -> Result<T, RequestError> {
    T::deserialize(StrDeserializer::<Error>::new(text))
        .map_err(|_| RequestError::Value { field, expected: "a name of the OCI runtime specification" })
}
