//! Sets of CPUs and memory nodes.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Numbers of CPUs or memory nodes as `cpuset(7)` lists them: `0-3,7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexList(Arc<str>);

/// The longest list, in bytes.
const INDEX_LIST_LENGTH_MAX: usize = 1024;

/// Why a text is not such a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a list of numbers and ranges such as `0-3,7`")]
pub struct ParseIndexListError;

impl FromStr for IndexList {
    type Err = ParseIndexListError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|_| digits)
        };
        let is_item = |item: &str| match item.split_once('-') {
            None => number(item).is_some(),
            Some((first, last)) => number(first).zip(number(last)).is_some_and(|(first, last)| first <= last),
        };
        if text.len() <= INDEX_LIST_LENGTH_MAX && text.split(',').all(is_item) {
            Ok(Self(text.into()))
        } else {
            Err(ParseIndexListError)
        }
    }
}

impl IndexList {
    /// The numbers, as ranges in the order of the text.
    pub fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u16>> {
        self.0.split(',').filter_map(|item| {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            Some(first.parse().ok()?..=last.parse().ok()?)
        })
    }
}

impl Serialize for IndexList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for IndexList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_numbers_and_ranges() {
        for good in ["0", "0-3", "0-3,7", "1,1"] {
            assert_eq!(good.parse::<IndexList>().unwrap().to_string(), good);
        }
        assert!("0-2,7".parse::<IndexList>().unwrap().ranges().eq([0..=2, 7..=7]));
        for bad in ["", "-1", "3-1", "0-3,", "a", "+1", "0 1", "0\n1", "0-3-4", "70000"] {
            assert!(bad.parse::<IndexList>().is_err(), "{bad:?}");
        }
        assert!("1,".repeat(600).trim_end_matches(',').parse::<IndexList>().is_err());
    }
}
