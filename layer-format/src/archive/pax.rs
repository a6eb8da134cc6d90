//! PAX extended header records (POSIX.1-2001, `pax`).

use std::collections::BTreeMap;

use super::Timestamp;

/// Key prefix of extended attributes.
const ATTRIBUTE_PREFIX: &[u8] = b"SCHILY.xattr.";
/// Key prefix of extended attributes whose names and values libarchive has encoded.
const LIBARCHIVE_ATTRIBUTE_PREFIX: &[u8] = b"LIBARCHIVE.xattr.";
/// Key prefix of the records that describe GNU sparse files.
const SPARSE_PREFIX: &[u8] = b"GNU.sparse.";
/// Digits of a second that are kept.
const NANOSECOND_DIGITS: usize = 9;

/// The records of one extended header; of two with the same key the later one counts, in the place of the first.
#[derive(Debug, Default)]
pub(super) struct PaxRecords(BTreeMap<Vec<u8>, PaxValue>);

#[derive(Debug)]
struct PaxValue {
    /// How many other keys came before.
    place: usize,
    value: Vec<u8>,
}

impl PaxRecords {
    /// Reads records until the data ends; nothing when it is malformed.
    pub(super) fn parse(mut data: &[u8]) -> Option<Self> {
        let mut records = BTreeMap::new();
        while !data.is_empty() {
            let (key, value, rest) = parse_record(data)?;
            let place = records.len();
            let record = records.entry(key.to_vec()).or_insert_with(|| PaxValue { place, value: Vec::new() });
            record.value = value.to_vec();
            data = rest;
        }
        Some(Self(records))
    }

    /// The value of a record that is there and not empty.
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.0.get(key).map(|record| record.value.as_slice()).filter(|value| !value.is_empty())
    }

    pub(super) fn describe_sparse_file(&self) -> bool {
        self.0.keys().any(|key| key.starts_with(SPARSE_PREFIX))
    }

    /// Whether any record tells something of files; comments do not.
    pub(super) fn describe_files(&self) -> bool {
        const KEYS: [&[u8]; 6] = [b"path", b"linkpath", b"mtime", b"size", b"uid", b"gid"];
        let tells = |key: &[u8]| {
            KEYS.contains(&key)
                || key.starts_with(ATTRIBUTE_PREFIX)
                || key.starts_with(LIBARCHIVE_ATTRIBUTE_PREFIX)
        };
        self.0.keys().any(|key| tells(key))
    }

    /// Whether there is an extended attribute in libarchive's encoding that is not there in the usual one too.
    pub(super) fn have_encoded_attributes(&self) -> bool {
        let encoded = self.0.keys().filter_map(|key| key.strip_prefix(LIBARCHIVE_ATTRIBUTE_PREFIX));
        encoded.into_iter().any(|name| !self.0.contains_key(&[ATTRIBUTE_PREFIX, name].concat()))
    }

    /// Extended attributes by full name in the order of the archive, empty ones too.
    pub(super) fn into_extended_attributes(self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut records: Vec<_> = self.0.into_iter().collect();
        records.sort_unstable_by_key(|(_, record)| record.place);
        let attribute = |(key, record): (Vec<u8>, PaxValue)| {
            Some((key.strip_prefix(ATTRIBUTE_PREFIX)?.to_vec(), record.value))
        };
        records.into_iter().filter_map(attribute).collect()
    }
}

/// Splits off one record: `LENGTH KEY=VALUE\n`, where the length counts all of it.
fn parse_record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = data.iter().position(|byte| *byte == b' ')?;
    let length = std::str::from_utf8(data.get(..blank)?).ok()?.parse::<usize>().ok()?;
    let (record, rest) = data.split_at_checked(length)?;
    let content = record.get(blank..)?.strip_prefix(b" ")?.strip_suffix(b"\n")?;
    let equals = content.iter().position(|byte| *byte == b'=')?;
    let (key, value) = content.split_at_checked(equals)?;
    let value = value.strip_prefix(b"=")?;
    // A NUL would end a name early in one reader and not in another.
    let checked_for_nul = match key {
        b"path" | b"linkpath" | b"uname" | b"gname" => value,
        _ => key,
    };
    (!key.is_empty() && !checked_for_nul.contains(&0)).then_some((key, value, rest))
}

/// A decimal number, perhaps negative.
pub(super) fn parse_decimal(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Seconds with an optional fraction, of which nanoseconds are kept; both may lie before 1970.
pub(super) fn parse_time(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds = whole.parse::<i64>().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(NANOSECOND_DIGITS);
    let nanoseconds = digits.fold(0_u32, |sum, digit| {
        sum.saturating_mul(10).saturating_add(u32::from(digit.saturating_sub(b'0')))
    });
    if whole.starts_with('-') && nanoseconds > 0 {
        let nanoseconds = 1_000_000_000_u32.saturating_sub(nanoseconds);
        return Some(Timestamp { seconds: seconds.checked_sub(1)?, nanoseconds });
    }
    Some(Timestamp { seconds, nanoseconds })
}
