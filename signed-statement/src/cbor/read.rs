use std::collections::BTreeSet;

use super::{Item, Map};

/// The deepest nesting. Headers of statements and receipts nest five levels.
pub(super) const DEPTH_MAX: usize = 12;
/// The most items in one encoding, whatever their nesting: each costs memory.
pub(super) const ITEMS_MAX: usize = 16 * 1024;

/// Why bytes are not one acceptable CBOR item.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// The bytes end within the item.
    #[error("the CBOR item is cut off")]
    Truncated,
    /// Bytes follow the item.
    #[error("{count} bytes follow the CBOR item")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// A length or number in more bytes than it needs.
    #[error("a CBOR length or number is not in its shortest form")]
    NotShortest,
    /// An indefinite length.
    #[error("indefinite CBOR lengths are not accepted")]
    Indefinite,
    /// A reserved or malformed head.
    #[error("a CBOR head is malformed")]
    Malformed,
    /// A text string that is not UTF-8.
    #[error("a CBOR text string is not UTF-8")]
    Text,
    /// A label stands twice in one map.
    #[error("a label is twice in one CBOR map")]
    DuplicateLabel,
    /// Nested too deep.
    #[error("CBOR items nest deeper than {DEPTH_MAX} levels")]
    Depth,
    /// Too many items.
    #[error("more than {ITEMS_MAX} CBOR items")]
    Count,
}

/// Reads `bytes` as exactly one item.
pub(crate) fn read(bytes: &[u8]) -> Result<Item<'_>, CborError> {
    let mut reader = Reader { rest: bytes, items_left: ITEMS_MAX };
    let item = reader.item(DEPTH_MAX)?;
    match reader.rest.len() {
        0 => Ok(item),
        count => Err(CborError::Trailing { count }),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    items_left: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], CborError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn integer<const N: usize>(&mut self) -> Result<u64, CborError> {
        let bytes = self.take(N)?;
        Ok(bytes.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    }

    /// The argument of a head whose low five bits are `info` (RFC 8949, 3).
    fn argument(&mut self, info: u8) -> Result<u64, CborError> {
        let (value, smallest) = match info {
            0..=23 => return Ok(info.into()),
            24 => (self.integer::<1>()?, 24),
            25 => (self.integer::<2>()?, 1 << 8),
            26 => (self.integer::<4>()?, 1 << 16),
            27 => (self.integer::<8>()?, 1 << 32),
            31 => return Err(CborError::Indefinite),
            _ => return Err(CborError::Malformed),
        };
        if value < smallest { Err(CborError::NotShortest) } else { Ok(value) }
    }

    fn string(&mut self, info: u8) -> Result<&'a [u8], CborError> {
        let length = self.argument(info)?;
        self.take(usize::try_from(length).map_err(|_| CborError::Truncated)?)
    }

    /// The number of elements of a container: at most as many as bytes are left.
    fn count(&mut self, info: u8) -> Result<usize, CborError> {
        let count = usize::try_from(self.argument(info)?).map_err(|_| CborError::Truncated)?;
        if count > self.rest.len() { Err(CborError::Truncated) } else { Ok(count) }
    }

    fn item(&mut self, depth: usize) -> Result<Item<'a>, CborError> {
        self.items_left = self.items_left.checked_sub(1).ok_or(CborError::Count)?;
        let below = depth.checked_sub(1).ok_or(CborError::Depth)?;
        let head = *self.take(1)?.first().ok_or(CborError::Truncated)?;
        let info = head & 0x1f;
        match head >> 5 {
            0 => Ok(Item::Integer(self.argument(info)?.into())),
            1 => Ok(Item::Integer((-1_i128).saturating_sub(self.argument(info)?.into()))),
            2 => Ok(Item::Bytes(self.string(info)?)),
            3 => Ok(Item::Text(std::str::from_utf8(self.string(info)?).map_err(|_| CborError::Text)?)),
            4 => {
                let count = self.count(info)?;
                (0..count).map(|_| self.item(below)).collect::<Result<_, _>>().map(Item::Array)
            }
            5 => self.map(info, below).map(Item::Map),
            6 => Ok(Item::Tagged(self.argument(info)?, Box::new(self.item(below)?))),
            _ => self.simple(info),
        }
    }

    fn map(&mut self, info: u8, depth: usize) -> Result<Map<'a>, CborError> {
        let count = self.count(info)?;
        let mut labels = BTreeSet::new();
        let mut entries = Vec::new();
        for _ in 0..count {
            let before = self.rest;
            let label = self.item(depth)?;
            let length = before.len().saturating_sub(self.rest.len());
            if !labels.insert(before.get(..length).unwrap_or_default()) {
                return Err(CborError::DuplicateLabel);
            }
            entries.push((label, self.item(depth)?));
        }
        Ok(Map { entries })
    }

    fn simple(&mut self, info: u8) -> Result<Item<'a>, CborError> {
        match info {
            20 => Ok(Item::Bool(false)),
            21 => Ok(Item::Bool(true)),
            22 => Ok(Item::Null),
            0..=19 | 23 => Ok(Item::Other),
            24 if self.integer::<1>()? < 32 => Err(CborError::Malformed),
            24 => Ok(Item::Other),
            25 => self.take(2).map(|_| Item::Other),
            26 => self.take(4).map(|_| Item::Other),
            27 => self.take(8).map(|_| Item::Other),
            31 => Err(CborError::Indefinite),
            _ => Err(CborError::Malformed),
        }
    }
}
