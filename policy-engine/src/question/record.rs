//! Reads JSON strictly, and names the fields of a question once.

use std::borrow::Cow;

use serde_json::Value as Json;

/// A value that is read from JSON of exactly its shape. Rego has no types: what is shaped otherwise may still
/// mean something there, so that it is not guessed at here.
pub(crate) trait Read<'a>: Sized {
    /// The value; `None` for JSON of another shape.
    fn read(json: &'a Json) -> Option<Self>;
}

impl<'a> Read<'a> for &'a str {
    fn read(json: &'a Json) -> Option<Self> {
        json.as_str()
    }
}

impl<'a> Read<'a> for Cow<'a, str> {
    fn read(json: &'a Json) -> Option<Self> {
        json.as_str().map(Cow::Borrowed)
    }
}

impl Read<'_> for bool {
    fn read(json: &Json) -> Option<Self> {
        json.as_bool()
    }
}

/// Integers only: `9.0` is none.
impl Read<'_> for i64 {
    fn read(json: &Json) -> Option<Self> {
        json.as_i64()
    }
}

/// Any value.
impl Read<'_> for Json {
    fn read(json: &Json) -> Option<Self> {
        Some(json.clone())
    }
}

impl<'a, T: Read<'a>> Read<'a> for Vec<T> {
    fn read(json: &'a Json) -> Option<Self> {
        json.as_array()?.iter().map(T::read).collect()
    }
}

/// Defines a record with the JSON name of each field. All fields must be there, others are ignored.
///
/// Not serde's `Deserialize`: it would also take a list for a record.
macro_rules! record {
    ($(#[$doc:meta])* $vis:vis $name:ident $(<$life:lifetime>)? {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $key:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        $vis struct $name $(<$life>)? {
            $($(#[$field_doc])* #[serde(rename = $key)] pub(crate) $field: $type,)*
        }

        impl<'a> $crate::question::record::Read<'a> for $name $(<$life>)? {
            fn read(json: &'a serde_json::Value) -> Option<Self> {
                let _fields = json.as_object()?;
                Some(Self { $($field: $crate::question::record::Read::read(_fields.get($key)?)?,)* })
            }
        }
    };
}
pub(super) use record;
