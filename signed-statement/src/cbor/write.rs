//! Heads and strings in their shortest form (RFC 8949, 4.2.1).

fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    let (info, length) = match argument {
        0..=23 => {
            out.push(major | bytes[7]);
            return;
        }
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    out.push(major | info);
    out.extend(bytes.iter().skip(bytes.len().saturating_sub(length)));
}

#[cfg(feature = "sign")]
pub(crate) fn integer(out: &mut Vec<u8>, value: i64) {
    // A negative number n is written as -1 - n, which is the number with all bits turned.
    let (major, argument) = if value < 0 { (1, !value) } else { (0, value) };
    head(out, major, argument.unsigned_abs());
}

pub(crate) fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    head(out, 2, value.len().try_into().unwrap_or(u64::MAX));
    out.extend_from_slice(value);
}

pub(crate) fn text(out: &mut Vec<u8>, value: &str) {
    head(out, 3, value.len().try_into().unwrap_or(u64::MAX));
    out.extend_from_slice(value.as_bytes());
}

/// The head of an array of `count` items.
pub(crate) fn array(out: &mut Vec<u8>, count: u64) {
    head(out, 4, count);
}

/// The head of a map of `count` entries.
pub(crate) fn map(out: &mut Vec<u8>, count: u64) {
    head(out, 5, count);
}

pub(crate) fn tag(out: &mut Vec<u8>, tag: u64) {
    head(out, 6, tag);
}

pub(crate) fn null(out: &mut Vec<u8>) {
    out.push(0xf6);
}
