//! Seccomp profiles.

use anyhow::Context as _;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompOperator, LinuxSyscall};
use policy_engine::request::linux::{
    SeccompAction, SeccompArgument, SeccompComparison, SeccompProfile, SeccompSyscall,
};

pub(super) fn profile(asked: &LinuxSeccomp) -> anyhow::Result<SeccompProfile> {
    let listener = asked.listener_path().as_deref().map(super::text).transpose()?;
    Ok(SeccompProfile {
        default_action: action(asked.default_action()),
        default_errno_ret: asked.default_errno_ret(),
        architectures: asked.architectures().iter().flatten().map(name).collect::<anyhow::Result<_>>()?,
        flags: asked.flags().iter().flatten().map(name).collect::<anyhow::Result<_>>()?,
        listener_path: listener.unwrap_or_default(),
        listener_metadata: asked.listener_metadata().clone().unwrap_or_default(),
        syscalls: asked.syscalls().iter().flatten().map(syscall).collect::<anyhow::Result<_>>()?,
    })
}

/// The word that the configuration has for it.
fn name(value: &impl serde::Serialize) -> anyhow::Result<String> {
    let json = serde_json::to_value(value)?;
    json.as_str().map(str::to_owned).context("a word")
}

fn syscall(asked: &LinuxSyscall) -> anyhow::Result<SeccompSyscall> {
    let argument = |asked: &oci_spec::runtime::LinuxSeccompArg| {
        let op = match asked.op() {
            LinuxSeccompOperator::ScmpCmpNe => SeccompComparison::NotEqual,
            LinuxSeccompOperator::ScmpCmpLt => SeccompComparison::Less,
            LinuxSeccompOperator::ScmpCmpLe => SeccompComparison::LessOrEqual,
            LinuxSeccompOperator::ScmpCmpEq => SeccompComparison::Equal,
            LinuxSeccompOperator::ScmpCmpGe => SeccompComparison::GreaterOrEqual,
            LinuxSeccompOperator::ScmpCmpGt => SeccompComparison::Greater,
            LinuxSeccompOperator::ScmpCmpMaskedEq => SeccompComparison::MaskedEqual,
        };
        Ok(SeccompArgument {
            index: u32::try_from(asked.index())?,
            value: asked.value(),
            value_two: asked.value_two().unwrap_or_default(),
            op,
        })
    };
    Ok(SeccompSyscall {
        names: asked.names().clone(),
        action: action(asked.action()),
        errno_ret: asked.errno_ret(),
        args: asked.args().iter().flatten().map(argument).collect::<anyhow::Result<_>>()?,
    })
}

fn action(asked: LinuxSeccompAction) -> SeccompAction {
    match asked {
        LinuxSeccompAction::ScmpActKill => SeccompAction::Kill,
        LinuxSeccompAction::ScmpActKillThread => SeccompAction::KillThread,
        LinuxSeccompAction::ScmpActKillProcess => SeccompAction::KillProcess,
        LinuxSeccompAction::ScmpActTrap => SeccompAction::Trap,
        LinuxSeccompAction::ScmpActErrno => SeccompAction::Errno,
        LinuxSeccompAction::ScmpActNotify => SeccompAction::Notify,
        LinuxSeccompAction::ScmpActTrace => SeccompAction::Trace,
        LinuxSeccompAction::ScmpActLog => SeccompAction::Log,
        LinuxSeccompAction::ScmpActAllow => SeccompAction::Allow,
    }
}
