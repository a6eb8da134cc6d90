//! Breaks long lines of a policy before it is parsed.
//!
//! Policies are often one line of megabytes. The interpreter writes the line and the column into each
//! message, also into those it throws away while it tries one reading after another: it would copy that line
//! over and over, and beyond column 65,535 its formatting panics. Only the parsed copy is changed, never what
//! is hashed.

use std::borrow::Cow;

use super::tokens::{Token, Tokens};

/// Lines up to this length, in bytes, are left as they are.
const LINE_BYTES: usize = 512;

/// Adds line breaks after commas between brackets, where they mean nothing.
pub(crate) fn wrap(text: &str) -> Cow<'_, str> {
    if text.lines().all(|line| line.len() <= LINE_BYTES) {
        return Cow::Borrowed(text);
    }
    let mut wrapped = String::with_capacity(text.len().saturating_add(text.len() / LINE_BYTES));
    let mut tokens = Tokens::new(text);
    let mut depth = 0usize;
    let (mut copied, mut line_start) = (0usize, 0usize);
    while let Some(token) = tokens.next() {
        match token {
            Token::Open(_) | Token::Call => depth = depth.saturating_add(1),
            Token::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        let end = tokens.position();
        let Some(piece) = text.get(copied..end) else { continue };
        if let Some(newline) = piece.rfind('\n') {
            line_start = line_start.max(copied.saturating_add(newline));
        }
        if depth > 0 && token == Token::Comma && end.saturating_sub(line_start) > LINE_BYTES {
            wrapped.push_str(piece);
            wrapped.push('\n');
            (copied, line_start) = (end, end);
        }
    }
    wrapped.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(wrapped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_brackets_only() {
        let long = "x".repeat(600);
        let text = format!("package policy # {long},\na := [\"{long},{long}\",`{long},`, 1]\n");
        let wrapped = wrap(&text);
        assert_eq!(wrapped, text.replace("\",`", "\",\n`").replace("`, 1", "`,\n 1"));
        assert_eq!(wrapped.replace('\n', ""), text.replace('\n', ""));
    }

    proptest::proptest! {
        /// Any text keeps its tokens.
        #[test]
        fn wrapping_adds_line_breaks_only(pieces in proptest::collection::vec("[a-z,\"`\\[\\]{}#\n\\\\ é]{0,90}", 0..20)) {
            let text = pieces.concat();
            let wrapped = wrap(&text);
            proptest::prop_assert!(Tokens::new(&wrapped).eq(Tokens::new(&text)));
        }
    }

    #[test]
    fn short_lines_stay() {
        assert!(matches!(wrap("package policy\na := [1,2]\n"), Cow::Borrowed(_)));
    }
}
