//! The pod as a whole.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{EnforcementPoint, Judged, Request};
use crate::name::SandboxId;
use crate::question::{self, Question};

/// A host name of RFC 1123: dot-separated labels of letters, digits and inner hyphens, 64 bytes at most.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Hostname(Arc<str>);

impl Hostname {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a host name has 1 to 64 characters in labels of letters, digits and inner hyphens")]
pub struct ParseHostnameError;

impl FromStr for Hostname {
    type Err = ParseHostnameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        // Linux keeps 64 bytes of a host name (`__NEW_UTS_LEN`).
        if text.len() > 64 || !text.split('.').all(label) {
            return Err(ParseHostnameError);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for Hostname {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

/// Brings the sandbox up: once, before the first container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateSandbox {
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// Host name of the guest and of its containers.
    pub hostname: Option<Hostname>,
}

impl Request for CreateSandbox {
    const POINT: EnforcementPoint = EnforcementPoint::CreateSandbox;
}

impl Judged for CreateSandbox {
    fn question(&self) -> Question<'_> {
        Question::CreateSandbox(question::CreateSandbox { sandbox_id: self.sandbox_id.as_str() })
    }
}

/// Takes the guest down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestroySandbox;

impl Request for DestroySandbox {
    const POINT: EnforcementPoint = EnforcementPoint::DestroySandbox;
    const TEARDOWN: bool = true;
}

impl Judged for DestroySandbox {
    fn question(&self) -> Question<'_> {
        Question::DestroySandbox(question::Nothing {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_rfc_1123() {
        for good in ["web", "web-1.example", "a"] {
            assert!(good.parse::<Hostname>().is_ok(), "{good:?}");
        }
        for bad in ["", "-a", "a-", "a..b", "a b", "a\nb", &"a".repeat(65)] {
            assert!(bad.parse::<Hostname>().is_err(), "{bad:?}");
        }
    }
}
