//! Lines of `mountinfo` (`proc_pid_mountinfo(5)`).

use std::path::PathBuf;

/// The mounts of whole file systems of one `kind`, in order: where, and the file system's own options.
pub(crate) fn whole<'a>(mountinfo: &'a str, kind: &'a str) -> impl Iterator<Item = (PathBuf, &'a str)> {
    mountinfo.lines().filter_map(move |line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let mut of_file_system = file_system.splitn(3, ' ');
        let (found, options) = (of_file_system.next()?, of_file_system.nth(1).unwrap_or_default());
        (found == kind && root == "/").then(|| (PathBuf::from(unescape(point)), options))
    })
}

/// Undoes the octal escapes of `mountinfo`.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (code, after.get(3..)) {
            (Some(code), Some(after)) if code.is_ascii() => {
                text.push(char::from(code));
                rest = after;
            }
            _ => {
                text.push('\\');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescape(r"/a\040b\134c"), r"/a b\c");
        assert_eq!(unescape(r"/plain\x"), r"/plain\x");
        assert_eq!(unescape(r"/end\"), r"/end\");
    }
}
