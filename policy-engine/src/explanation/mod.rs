//! What of the policy came closest to a denied request, and where the two differ.
//!
//! An explanation is for who wrote the policy or the request: it shows commands, directories, users, mounts and
//! digests. It never shows what may be a secret: of the environment only names. Everything in it is bounded,
//! because the host chooses the request.

mod conditions;
mod container;
mod differences;
mod overlay;
mod reasons;
mod survey;

#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::denial::shorten;
pub(crate) use reasons::{Explanation, compares_objects, explain};

/// The most differences that one explanation lists.
pub const DIFFERENCES_MAX: usize = 16;

/// The longest text of an explanation, in bytes. Longer ones end in an ellipsis.
pub const EXPLANATION_TEXT_BYTES_MAX: usize = 256;

/// The longest name or id of an object of the policy, in bytes.
pub const OBJECT_NAME_BYTES_MAX: usize = 128;

/// The most bytes of all texts of one explanation together.
pub const EXPLANATION_BYTES_MAX: usize = 8 << 10;

/// What an object of the policy describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ObjectKind {
    /// An entry of `containers`.
    Container,
    /// An entry of a container's `exec_processes`.
    ExecProcess,
    /// An entry of `external_processes`.
    ExternalProcess,
}

impl ObjectKind {
    const fn words(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::ExecProcess => "exec process",
            Self::ExternalProcess => "external process",
        }
    }
}

/// What of an object and a request is compared. The names are those of the policy's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Field {
    /// The argument list.
    Command,
    /// The working directory.
    WorkingDir,
    /// The environment. Values are never given, names are.
    EnvRules,
    /// The mounts.
    Mounts,
    /// The user.
    User,
    /// The groups.
    Groups,
    /// The file mode creation mask.
    Umask,
    /// The five capability sets.
    Capabilities,
    /// Whether it may not gain privileges.
    NoNewPrivileges,
    /// Whether it may be privileged.
    AllowElevated,
    /// The seccomp profile.
    SeccompProfileSha256,
    /// The layers of the root file system, base first.
    Layers,
    /// The signals that may be sent.
    Signals,
}

impl Field {
    /// The name, as in policies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::WorkingDir => "working_dir",
            Self::EnvRules => "env_rules",
            Self::Mounts => "mounts",
            Self::User => "user",
            Self::Groups => "groups",
            Self::Umask => "umask",
            Self::Capabilities => "capabilities",
            Self::NoNewPrivileges => "no_new_privileges",
            Self::AllowElevated => "allow_elevated",
            Self::SeccompProfileSha256 => "seccomp_profile_sha256",
            Self::Layers => "layers",
            Self::Signals => "signals",
        }
    }
}

/// One point in which the object and the request differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The field of the object.
    pub field: Field,
    /// Which element of a list, or which part of the field: `argument 2`, the name of a variable, the
    /// destination of a mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element: Option<String>,
    /// What the policy says there; none when it has nothing, or what it has may be a secret.
    pub expected: Option<String>,
    /// What the request says there; none when it has nothing, or what it has may be a secret.
    pub given: Option<String>,
}

impl Difference {
    pub(crate) const fn of(field: Field) -> Self {
        Self { field, element: None, expected: None, given: None }
    }

    pub(crate) fn at(self, element: impl Into<String>) -> Self {
        Self { element: Some(element.into()), ..self }
    }

    pub(crate) fn expected(self, text: impl Into<String>) -> Self {
        Self { expected: Some(text.into()), ..self }
    }

    pub(crate) fn given(self, text: impl Into<String>) -> Self {
        Self { given: Some(text.into()), ..self }
    }

    fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        [&mut self.element, &mut self.expected, &mut self.given].into_iter().flatten()
    }
}

/// The object of the policy that met most of what was asked; of several the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Closest {
    /// What it describes.
    pub kind: ObjectKind,
    /// Its place in its list, from 0; none when the list has changed since.
    pub index: Option<usize>,
    /// Whether its list is that of the loaded fragments together, not of the policy.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fragment: bool,
    /// For an exec process the place of its container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<usize>,
    /// The `name` that the policy gives it, or its container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The `id` that the policy gives it, or its container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The fields that the request met.
    pub met: Vec<Field>,
    /// The fields that it did not meet.
    pub differing: Vec<Field>,
    /// How these differ, element by element: at most [`DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
    /// How many more differences there are.
    pub differences_left_out: usize,
}

impl Closest {
    /// Keeps every text within its bound, and all of them within [`EXPLANATION_BYTES_MAX`].
    pub(crate) fn bounded(mut self) -> Self {
        let mut room = EXPLANATION_BYTES_MAX;
        let mut bound = |text: &mut String, bytes_max: usize| {
            shorten(text, bytes_max.min(room));
            room = room.saturating_sub(text.len());
        };
        for text in [&mut self.name, &mut self.id].into_iter().flatten() {
            bound(text, OBJECT_NAME_BYTES_MAX);
        }
        let over = self.differences.len().saturating_sub(DIFFERENCES_MAX);
        self.differences.truncate(DIFFERENCES_MAX);
        self.differences_left_out = self.differences_left_out.saturating_add(over);
        for text in self.differences.iter_mut().flat_map(Difference::texts) {
            bound(text, EXPLANATION_TEXT_BYTES_MAX);
        }
        self
    }
}

/// Names the object and the fields that differ, without a value of either side: for the host.
impl std::fmt::Display for Closest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.kind.words())?;
        if let Some(index) = self.index {
            write!(formatter, " {index}")?;
        }
        if let Some(container) = self.container {
            write!(formatter, " of container {container}")?;
        }
        if self.fragment {
            formatter.write_str(" of the fragments")?;
        }
        if let Some(name) = self.name.as_ref().or(self.id.as_ref()) {
            write!(formatter, " `{name}`")?;
        }
        let differing: Vec<&str> = self.differing.iter().map(|field| field.name()).collect();
        if !differing.is_empty() {
            write!(formatter, ", which differs in {}", differing.join(", "))?;
        }
        Ok(())
    }
}
