//! Where a container's cgroup is.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::path::{GuestPath, ParsePathError};

/// The directory of a container's cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CgroupsPath {
    /// Below the mount point of each hierarchy.
    Absolute(GuestPath),
    /// Below the guest's own directory for containers, which stands for this path's root.
    Relative(GuestPath),
}

/// Why a text is not such a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseCgroupsPathError {
    /// A unit of systemd, which the guest does not have.
    #[error("cgroups are not made by systemd: `slice:prefix:name` is no path")]
    Systemd,
    /// The root of a hierarchy is nobody's own.
    #[error("the root of a hierarchy cannot be a container's cgroup")]
    Root,
    /// Not canonical, or leaves its place.
    #[error("not a canonical path")]
    Path(#[source] ParsePathError),
}

impl FromStr for CgroupsPath {
    type Err = ParseCgroupsPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let absolute = text.starts_with('/');
        if !absolute && text.contains(':') {
            return Err(ParseCgroupsPathError::Systemd);
        }
        let path = if absolute { text.parse() } else { format!("/{text}").parse() };
        let path: GuestPath = path.map_err(ParseCgroupsPathError::Path)?;
        match path.as_str() {
            "/" => Err(ParseCgroupsPathError::Root),
            _ if absolute => Ok(Self::Absolute(path)),
            _ => Ok(Self::Relative(path)),
        }
    }
}

impl fmt::Display for CgroupsPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absolute(path) => formatter.write_str(path.as_str()),
            Self::Relative(path) => formatter.write_str(path.as_str().trim_start_matches('/')),
        }
    }
}

impl Serialize for CgroupsPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_absolute_or_below_the_guests_own() {
        for good in ["/a", "/a/b:c", "a", "a/b"] {
            assert_eq!(good.parse::<CgroupsPath>().unwrap().to_string(), good);
        }
        assert!(matches!("/a/b".parse(), Ok(CgroupsPath::Absolute(path)) if path.as_str() == "/a/b"));
        assert!(matches!("a/b".parse(), Ok(CgroupsPath::Relative(path)) if path.as_str() == "/a/b"));
        for bad in ["/", "", "..", "../a", "/a/../b", "/a/", "a//b", "/a\0", "system.slice:docker:1"] {
            assert!(bad.parse::<CgroupsPath>().is_err(), "{bad:?}");
        }
        assert_eq!("a:b:c".parse::<CgroupsPath>(), Err(ParseCgroupsPathError::Systemd));
    }
}
