//! CBOR (RFC 8949) in the one encoding that signers of statements use: definite lengths, shortest heads.
//!
//! One value has one encoding here, so that equal labels are equal bytes and a map cannot hide a label twice.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::CborError;
pub(crate) use read::read;
#[cfg(feature = "sign")]
pub(crate) use write::integer;
pub(crate) use write::{array, bytes, map, null, tag, text};

/// One data item; byte and text strings are borrowed from the input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item<'a> {
    /// Major types 0 and 1.
    Integer(i128),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(Vec<Item<'a>>),
    Map(Map<'a>),
    Tagged(u64, Box<Item<'a>>),
    Bool(bool),
    Null,
    /// Floats and other simple values: nothing here reads them.
    Other,
}

/// A map without duplicate labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Map<'a> {
    pub(crate) entries: Vec<(Item<'a>, Item<'a>)>,
}

impl<'a> Item<'a> {
    pub(crate) fn as_bytes(&self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    pub(crate) fn as_text(&self) -> Option<&'a str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) fn as_integer(&self) -> Option<i128> {
        if let Self::Integer(integer) = self { Some(*integer) } else { None }
    }

    pub(crate) fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    pub(crate) fn as_map(&self) -> Option<&Map<'a>> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }
}

impl<'a> Map<'a> {
    /// The value of an integer label.
    pub(crate) fn number(&self, label: i64) -> Option<&Item<'a>> {
        self.get(&Item::Integer(label.into()))
    }

    /// The value of a text label.
    pub(crate) fn name(&self, label: &str) -> Option<&Item<'a>> {
        self.get(&Item::Text(label))
    }

    pub(crate) fn get(&self, label: &Item<'_>) -> Option<&Item<'a>> {
        self.entries.iter().find(|(known, _)| known == label).map(|(_, value)| value)
    }
}
