//! Semantic versions as OPA reads them: a `v` before it and leading zeros are accepted.

use std::cmp::Ordering;

/// A semantic version. Build metadata is checked and dropped: it has no order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version<'a> {
    numbers: [u64; 3],
    /// What follows the first `-`; empty for a release.
    pre_release: &'a str,
}

impl<'a> Version<'a> {
    /// The version that `text` states; `None` where OPA refuses it.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, build) = text.split_once('+').unwrap_or((text, ""));
        let (numbers, pre_release) = text.split_once('-').unwrap_or((text, ""));
        if !identifiers(build) || !identifiers(pre_release) {
            return None;
        }
        let mut parts = numbers.split('.');
        let numbers = [number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?];
        parts.next().is_none().then_some(Self { numbers, pre_release })
    }

    /// The order of precedence: a release comes after its pre-releases.
    pub(crate) fn precedence(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| {
            match (self.pre_release.is_empty(), other.pre_release.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => pre_release(self.pre_release, other.pre_release),
            }
        })
    }
}

/// Digits, up to the largest that OPA holds.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse::<i64>().ok()).flatten().and_then(|number| number.try_into().ok())
}

/// Nothing, or identifiers of letters, digits and hyphens with dots between them.
fn identifiers(text: &str) -> bool {
    let identifier = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.is_empty() || text.split('.').all(identifier)
}

fn pre_release(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(left), Some(right)) => identifier(left, right),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Numbers come before words and are compared as numbers, however many digits they have.
fn identifier(left: &str, right: &str) -> Ordering {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match (digits(left), digits(right)) {
        (true, true) => {
            let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
            left.len().cmp(&right.len()).then_with(|| left.cmp(right))
        }
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => left.cmp(right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_opa_reads_them() {
        for text in [
            "1.2.3",
            "v1.2.3",
            "01.2.3",
            "0.0.0",
            "1.2.3-rc.1",
            "1.2.3-01",
            "1.2.3+build.7",
            "1.2.3-a+b",
            "1.2.3-",
        ] {
            assert!(Version::parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "V1.2.3",
            "vv1.2.3",
            " 1.2.3",
            "1.2.x",
            "1..3",
            "1.2.3-a..b",
            "1.2.3-a_b",
            "1.2.3+a+b",
            "1.2.9223372036854775808",
            "latest",
        ] {
            assert!(Version::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn versions_have_the_order_of_the_specification() {
        let ascending = [
            "0.9.10",
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0",
            "1.0.1",
            "v1.1.0",
            "02.0.0",
        ];
        for (index, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                let order = Version::parse(left).unwrap().precedence(&Version::parse(right).unwrap());
                assert_eq!(order, index.cmp(&other), "{left} {right}");
            }
        }
        // Zeros before a number and build metadata have no order; the peer does not end on the first.
        for (left, right) in [("1.0.0-01", "1.0.0-1"), ("1.0.0+a", "1.0.0+b"), ("v1.0.0", "01.00.0")] {
            let order = Version::parse(left).unwrap().precedence(&Version::parse(right).unwrap());
            assert_eq!(order, Ordering::Equal, "{left} {right}");
        }
    }
}
