//! The objects that a policy lists, as `objects.rego` describes them, in little memory.
//!
//! An object is read only if it has every field of its framework version with the type it must have. Rego
//! gives others a meaning too (a container that lacks a field is none); they are left to the interpreter.

use std::sync::Arc;

use crate::pattern::WholePattern;

mod read;
mod write;

pub(crate) use read::{FRAMEWORK, Reader};

/// A list of texts.
pub(crate) type Texts = Box<[Box<str>]>;

/// A text of the policy or a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TextRule {
    /// Strategy `string`: this very text.
    Exact(Box<str>),
    /// Strategy `re2`.
    Pattern(Arc<WholePattern>),
}

/// What an environment entry may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EnvForm {
    /// A rule about the entry `NAME=value` as a whole.
    Entry(TextRule),
    /// Rules about what is before and after the first equals sign.
    Parts {
        /// Before.
        name: TextRule,
        /// After.
        value: TextRule,
    },
}

/// A rule about environment entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnvRule {
    pub(crate) form: EnvForm,
    /// Whether some entry must fit it.
    pub(crate) required: bool,
}

/// A mount that a container may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) destination: Box<str>,
    pub(crate) fstype: Box<str>,
    pub(crate) options: Texts,
    pub(crate) source: Box<str>,
    /// The pattern after `sandbox://`, if the source starts so.
    pub(crate) below_sandbox: Option<Arc<WholePattern>>,
    /// The pattern after `hugepages://`, if the source starts so.
    pub(crate) below_huge_pages: Option<Arc<WholePattern>>,
    /// Whether the source is any 9p directory of the container.
    pub(crate) plan9: bool,
}

/// A command that may be executed in a container, and the signals it may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExecProcess {
    pub(crate) command: Texts,
    pub(crate) signals: Box<[i64]>,
}

/// What a user or group may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IdNameRule {
    /// Anyone; the pattern means nothing.
    Any(Box<str>),
    /// This id.
    Id(Box<str>),
    /// This name.
    Name(Box<str>),
    /// A pattern of names.
    Pattern(Arc<WholePattern>),
}

/// As whom a container's processes may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserRule {
    pub(crate) user: IdNameRule,
    pub(crate) groups: Box<[IdNameRule]>,
    pub(crate) umask: Box<str>,
}

/// The capabilities that a container is granted, each set sorted: their order means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub(crate) bounding: Texts,
    pub(crate) effective: Texts,
    pub(crate) inheritable: Texts,
    pub(crate) permitted: Texts,
    pub(crate) ambient: Texts,
}

/// A container, in the shape of this framework's version.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    /// What tools call it; decides nothing.
    pub(crate) name: Option<Box<str>>,
    /// The image it was made of; decides nothing.
    pub(crate) id: Option<Box<str>>,
    /// `None` is null, which policy writers give where neither image nor template names a command: no request
    /// fits.
    pub(crate) command: Option<Texts>,
    pub(crate) env_rules: Box<[EnvRule]>,
    /// Root hashes, base first.
    pub(crate) layers: Box<[Arc<str>]>,
    pub(crate) mounts: Box<[Mount]>,
    pub(crate) exec_processes: Box<[ExecProcess]>,
    pub(crate) signals: Box<[i64]>,
    pub(crate) user: UserRule,
    /// `None` stands for what the container runtime gives by default.
    pub(crate) capabilities: Option<Capabilities>,
    pub(crate) seccomp_profile_sha256: Box<str>,
    pub(crate) working_dir: Box<str>,
    pub(crate) allow_elevated: bool,
    pub(crate) allow_stdio_access: bool,
    pub(crate) no_new_privileges: bool,
}

/// A process of the guest itself.
#[derive(Debug, Clone)]
pub(crate) struct ExternalProcess {
    pub(crate) command: Texts,
    pub(crate) env_rules: Box<[EnvRule]>,
    pub(crate) working_dir: Box<str>,
    pub(crate) allow_stdio_access: bool,
}

/// What the platform may add to a container.
#[derive(Debug, Clone)]
pub(crate) struct PlatformRule {
    pub(crate) env_rules: Box<[EnvRule]>,
    pub(crate) mounts: Box<[Mount]>,
}

/// A version `N.N.N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u32, u32, u32);

impl Version {
    pub(crate) const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self(major, minor, patch)
    }

    /// Plain versions only: no leading zeros, no pre-release.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| {
            let plain = part.bytes().all(|byte| byte.is_ascii_digit())
                && (part == "0" || !part.starts_with('0'))
                && part.len() <= 9;
            plain.then(|| part.parse().ok()).flatten()
        });
        let version = Self(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(version)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What mount sources of policies start with.
#[derive(Debug, Clone, Default)]
pub(crate) struct SourcePrefixes {
    pub(crate) sandbox: String,
    pub(crate) huge_pages: String,
    pub(crate) plan9: String,
}
