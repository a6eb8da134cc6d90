//! Paths of the guest in one canonical spelling.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The longest path accepted, in bytes: Linux's `PATH_MAX` less its terminator.
pub const PATH_LENGTH_MAX: usize = 4095;

/// Why a text is not a guest path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParsePathError {
    /// Empty, or longer than [`PATH_LENGTH_MAX`].
    #[error("a path has 1 to {PATH_LENGTH_MAX} bytes, not {length}")]
    Length {
        /// The length that was given, in bytes.
        length: usize,
    },
    /// A relative path would be resolved against a directory that nobody judged.
    #[error("a path is absolute")]
    Relative,
    /// `.`, `..`, empty components and trailing slashes: two spellings of one path could be judged apart.
    #[error("a path has no `.`, `..` or empty components")]
    NotCanonical,
    /// A NUL would cut the path short in the kernel.
    #[error("a path has no NUL byte")]
    Nul,
}

/// An absolute path without `.`, `..`, doubled or trailing slashes.
///
/// Canonical in spelling only: it says nothing about symbolic links, which the executor resolves below a
/// root descriptor.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestPath(Arc<str>);

impl GuestPath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path for the standard library.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&*self.0)
    }

    /// The path without its leading slash, for resolution below a root descriptor.
    #[must_use]
    pub fn below_root(&self) -> &Path {
        Path::new(self.0.trim_start_matches('/'))
    }
}

impl FromStr for GuestPath {
    type Err = ParsePathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > PATH_LENGTH_MAX {
            return Err(ParsePathError::Length { length: text.len() });
        }
        if text.contains('\0') {
            return Err(ParsePathError::Nul);
        }
        let Some(relative) = text.strip_prefix('/') else { return Err(ParsePathError::Relative) };
        let canonical = |component: &str| !matches!(component, "" | "." | "..");
        if !relative.is_empty() && !relative.split('/').all(canonical) {
            return Err(ParsePathError::NotCanonical);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for GuestPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Debug for GuestPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_path_has_one_spelling() {
        for good in ["/", "/run", "/run/mounts/scsi/m0", "/a b/c"] {
            assert_eq!(good.parse::<GuestPath>().unwrap().as_str(), good);
        }
        for bad in ["", "run", "./x", "/a/../b", "/a//b", "/a/", "/.", "/..", "/a/./b", "/a\0b"] {
            assert!(bad.parse::<GuestPath>().is_err(), "{bad:?}");
        }
    }
}
