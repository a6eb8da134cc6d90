//! Archives whose headers are well-formed enough to be read: random bytes never have the right checksum.

use libfuzzer_sys::arbitrary::{Result, Unstructured};

const BLOCK: usize = 512;

/// Kinds of entries, those more often that make up layers: files, directories, links, devices, extensions, unknown ones.
const KINDS: &[u8] = b"00005555112234\x006xxxgLKSVDM7?";
/// Few enough names that entries meet.
const COMPONENTS: &[&[u8]] = &[
    b"a",
    b"a",
    b"b",
    b"b",
    b"c",
    b".wh.a",
    b".wh.b",
    b".wh..wh..opq",
    b".wh.",
    b".",
    b"..",
    b"",
    b"\xff",
    &[b'l'; 120],
    &[b'm'; 255],
];
/// Keys of extended headers.
const KEYS: &[&[u8]] = &[
    b"path",
    b"linkpath",
    b"size",
    b"mtime",
    b"uid",
    b"gid",
    b"SCHILY.xattr.user.key",
    b"SCHILY.xattr.security.capability",
    b"SCHILY.xattr.trusted.overlay.opaque",
    b"SCHILY.xattr.system.posix_acl_access",
    b"LIBARCHIVE.xattr.user.key",
    b"GNU.sparse.major",
    b"GNU.sparse.name",
    b"comment",
];

/// An archive that follows from these bytes. Behind a zero they are the archive themselves.
pub(crate) fn archive(bytes: &[u8]) -> Vec<u8> {
    if let Some((0, raw)) = bytes.split_first() {
        return raw.to_vec();
    }
    let mut choices = Unstructured::new(bytes);
    let mut archive = Vec::new();
    while !choices.is_empty() {
        // What is left is too short for a choice.
        let Ok(entry) = entry(&mut choices) else { break };
        archive.extend(entry);
    }
    archive.extend([0; 2 * BLOCK]);
    archive
}

fn entry(choices: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let kind = *choices.choose(KINDS)?;
    let content = match kind {
        b'x' | b'g' => records(choices)?,
        b'L' | b'K' => [path(choices)?, vec![0]].concat(),
        b'0' | b'\0' | b'S' | b'7' | b'?' => data(choices)?,
        _ => Vec::new(),
    };
    let mut header = [0; BLOCK];
    let mut field = |start: usize, length: usize, value: &[u8]| {
        let value = &value[..value.len().min(length)];
        header[start..][..value.len()].copy_from_slice(value);
    };
    field(0, 100, &path(choices)?);
    for (start, length) in [(100, 8), (108, 8), (116, 8), (136, 12), (329, 8), (337, 8)] {
        field(start, length, &number(choices, length)?);
    }
    let size = if choices.ratio(1, 16)? {
        number(choices, 12)?
    } else {
        format!("{:011o}", content.len()).into_bytes()
    };
    field(124, 12, &size);
    field(156, 1, &[kind]);
    field(157, 100, &path(choices)?);
    field(257, 8, choices.choose(&[b"ustar\x0000", b"ustar  \0", b"\0\0\0\0\0\0\0\0"])?.as_slice());
    if choices.ratio(1, 8)? {
        field(345, 155, &path(choices)?);
    }
    // The checksum counts itself as spaces.
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());

    let mut entry = [header.to_vec(), content].concat();
    entry.resize(entry.len().next_multiple_of(BLOCK), 0);
    Ok(entry)
}

/// `a/.wh.b`, with or without what archives have around it.
fn path(choices: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let start: &[u8] = choices.choose(&[&b""[..], b"", b"./", b"/"])?;
    let count = choices.int_in_range(1..=4)?;
    let components = (0..count).map(|_| choices.choose(COMPONENTS).copied()).collect::<Result<Vec<_>>>()?;
    let end: &[u8] = choices.choose(&[&b""[..], b"", b"/"])?;
    Ok([start, &components.join(&b'/'), end].concat())
}

/// A number in octal, of 64 bits, or anything.
fn number(choices: &mut Unstructured<'_>, length: usize) -> Result<Vec<u8>> {
    let value: u64 =
        if choices.ratio(3, 4)? { choices.arbitrary::<u16>()?.into() } else { choices.arbitrary()? };
    Ok(match choices.int_in_range(0..=7)? {
        0 => [&[0x80][..], &vec![0; length.saturating_sub(9)], &value.to_be_bytes()].concat(),
        1 => [&[0xff][..], &vec![0xff; length.saturating_sub(9)], &value.to_be_bytes()].concat(),
        2 => choices.bytes(length.min(choices.len()))?.to_vec(),
        _ => format!("{value:0width$o}", width = length - 1).into_bytes(),
    })
}

/// Records of an extended header, of which a few have a wrong length.
fn records(choices: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut records = Vec::new();
    for _ in 0..choices.int_in_range(1..=3)? {
        let key = choices.choose(KEYS)?;
        let value = match choices.int_in_range(0..=2)? {
            0 => path(choices)?,
            1 => choices.arbitrary::<i64>()?.to_string().into_bytes(),
            _ => data(choices)?,
        };
        let rest = [b" ", *key, b"=", &value, b"\n"].concat();
        let digits = (1..).find(|&digits: &usize| (rest.len() + digits).to_string().len() == digits);
        let length = rest.len() + digits.unwrap_or_default() + usize::from(choices.ratio(1, 16)?);
        records.extend(length.to_string().into_bytes());
        records.extend(rest);
    }
    Ok(records)
}

/// Content: short, or of some blocks.
fn data(choices: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let pattern = choices.int_in_range(0..=32)?;
    let pattern = choices.bytes(pattern.min(choices.len()))?;
    let times = *choices.choose(&[1, 1, 1, 200, 400])?;
    Ok(pattern.repeat(times))
}
