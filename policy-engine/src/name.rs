//! Names that the host chooses: bounded, and safe as a single path component.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name accepted, in bytes: above any real id, below `NAME_MAX` with a suffix.
pub const NAME_LENGTH_MAX: usize = 128;

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseNameError {
    /// Names have 2 to [`NAME_LENGTH_MAX`] bytes, as in Kata's agent.
    #[error("an id has 2 to {NAME_LENGTH_MAX} characters, not {length}")]
    Length {
        /// The length that was given, in bytes.
        length: usize,
    },
    /// The first character is an ASCII letter or digit: neither `.` nor `..` nor an option `-x` is a name.
    #[error("an id starts with a letter or a digit")]
    First,
    /// The others are ASCII letters, digits, `_`, `.` or `-`: a name cannot leave its directory.
    #[error("an id holds only letters, digits, `_`, `.` and `-`")]
    Character,
}

fn check(text: &str) -> Result<(), ParseNameError> {
    if !(2..=NAME_LENGTH_MAX).contains(&text.len()) {
        return Err(ParseNameError::Length { length: text.len() });
    }
    if !text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Err(ParseNameError::First);
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
        return Err(ParseNameError::Character);
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as the host wrote it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseNameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                check(text).map(|()| Self(text.into()))
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }
    };
}

name! {
    /// The id of a container.
    ContainerId
}

name! {
    /// The id of a process that was started in a container after its init.
    ExecId
}

name! {
    /// The id of the sandbox (pod).
    SandboxId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_single_path_components() {
        for good in ["c1", "a".repeat(64).as_str(), "web_1.2-x"] {
            assert_eq!(good.parse::<ContainerId>().unwrap().as_str(), good);
        }
        for bad in ["", "a", ".", "..", "../x", "a/b", "-rf", ".a", "a\0b", "a b", "é1", &"a".repeat(129)] {
            assert!(bad.parse::<ContainerId>().is_err(), "{bad:?}");
        }
    }
}
