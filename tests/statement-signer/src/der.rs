//! DER, as far as certificates need it.

pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
pub(crate) const OCTETS: u8 = 0x04;
pub(crate) const BITS: u8 = 0x03;
pub(crate) const UTF8: u8 = 0x0c;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;

/// Tag, length, content.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    match length {
        0..=0x7f => out.push(u8::try_from(length).unwrap_or_default()),
        0x80..=0xff => out.extend([0x81, u8::try_from(length).unwrap_or_default()]),
        _ => {
            out.push(0x82);
            out.extend(u16::try_from(length).unwrap_or_default().to_be_bytes());
        }
    }
    out.extend_from_slice(content);
    out
}

pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(SEQUENCE, &parts.concat())
}

/// A positive number.
pub(crate) fn integer(bytes: &[u8]) -> Vec<u8> {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let bytes = bytes.get(first..).unwrap_or_default();
    let zero = bytes.first().is_none_or(|byte| *byte >= 0x80);
    tlv(0x02, &[if zero { vec![0] } else { Vec::new() }, bytes.to_vec()].concat())
}

/// An object identifier from its dotted text.
pub(crate) fn oid(text: &str) -> Vec<u8> {
    let arcs: Vec<u64> = text.split('.').filter_map(|arc| arc.parse().ok()).collect();
    let [first, second, rest @ ..] = arcs.as_slice() else { return tlv(0x06, &[]) };
    let mut content = Vec::new();
    for arc in std::iter::once(&first.saturating_mul(40).saturating_add(*second)).chain(rest) {
        let mut groups = vec![u8::try_from(arc & 0x7f).unwrap_or_default()];
        let mut left = arc >> 7;
        while left > 0 {
            groups.push(u8::try_from(left & 0x7f).unwrap_or_default() | 0x80);
            left >>= 7;
        }
        content.extend(groups.iter().rev());
    }
    tlv(0x06, &content)
}

pub(crate) fn bits(bytes: &[u8]) -> Vec<u8> {
    tlv(BITS, &[&[0], bytes].concat())
}
