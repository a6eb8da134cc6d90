/// A CBOR item to be written; definite lengths, shortest heads, in the order given.
#[derive(Clone, Debug)]
pub enum Cbor {
    /// An integer.
    Int(i64),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A text string.
    Text(String),
    /// An array.
    Array(Vec<Cbor>),
    /// A map, duplicates and all.
    Map(Vec<(Cbor, Cbor)>),
    /// A tagged item.
    Tagged(u64, Box<Cbor>),
    /// A boolean.
    Bool(bool),
    /// Null.
    Null,
}

impl From<i64> for Cbor {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for Cbor {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<u8>> for Cbor {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl Cbor {
    /// The encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(number) if *number < 0 => head(out, 1, number.unsigned_abs().saturating_sub(1)),
            Self::Int(number) => head(out, 0, number.unsigned_abs()),
            Self::Bytes(bytes) => {
                head(out, 2, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
            Self::Text(text) => {
                head(out, 3, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Array(items) => {
                head(out, 4, items.len() as u64);
                items.iter().for_each(|item| item.write(out));
            }
            Self::Map(entries) => {
                head(out, 5, entries.len() as u64);
                for (label, value) in entries {
                    label.write(out);
                    value.write(out);
                }
            }
            Self::Tagged(tag, item) => {
                head(out, 6, *tag);
                item.write(out);
            }
            Self::Bool(value) => out.push(if *value { 0xf5 } else { 0xf4 }),
            Self::Null => out.push(0xf6),
        }
    }
}

fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    match argument {
        0..=23 => out.push(major | u8::try_from(argument).unwrap_or_default()),
        24..=0xff => out.extend([major | 24, u8::try_from(argument).unwrap_or_default()]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend(u16::try_from(argument).unwrap_or_default().to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend(u32::try_from(argument).unwrap_or_default().to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend(argument.to_be_bytes());
        }
    }
}
