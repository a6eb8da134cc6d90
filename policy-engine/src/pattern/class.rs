//! Character classes: `[...]`, `\d`, `[[:alpha:]]`, `\pL`.

use std::fmt::Write as _;

use super::cursor::Cursor;
use super::translate::escape;

/// RE2's classes by letter, and their members between brackets.
const PERL: [(char, &str); 3] = [('d', "0-9"), ('s', r"\t\n\f\r "), ('w', "0-9A-Za-z_")];

const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// General categories of Unicode: the names that both engines know. Scripts are not supported, nor is `C`: it
/// has the unassigned characters in one engine and not in the other.
const CATEGORIES: [&str; 36] = [
    "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No",
    "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs", "Any",
];

/// `\d`, `\D` and so on, as a bracketed ASCII class.
pub(super) fn perl(letter: char) -> Option<String> {
    let (_, members) = PERL.iter().find(|(name, _)| *name == letter.to_ascii_lowercase())?;
    Some(format!("[{}{members}]", if letter.is_ascii_uppercase() { "^" } else { "" }))
}

/// `\pL`, `\p{Lu}`, `\p{^Lu}`, `\P{Lu}`; `letter` is `p` or `P`, the cursor stands after it.
pub(super) fn unicode(letter: char, cursor: &mut Cursor<'_>) -> Option<String> {
    let mut negated = letter == 'P';
    let first = cursor.next()?;
    let name = if first == '{' {
        let (mut name, rest) = cursor.rest().split_once('}')?;
        cursor.set(rest);
        if let Some(inner) = name.strip_prefix('^') {
            negated = !negated;
            name = inner;
        }
        name.to_owned()
    } else {
        first.to_string()
    };
    // Surrogates are in no text; Rust has no name for them that is worth having.
    let known = CATEGORIES.contains(&name.as_str()) && name != "Cs";
    known.then(|| format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' }))
}

/// A class in brackets; the cursor stands after the `[`.
pub(super) fn bracketed(cursor: &mut Cursor<'_>) -> Option<String> {
    let mut class = String::from("[");
    if cursor.eat("^") {
        class.push('^');
    }
    let mut first = true;
    loop {
        if !first && cursor.eat("]") {
            class.push(']');
            return Some(class);
        }
        first = false;
        if let Some(named) = posix(cursor)? {
            class.push_str(&named);
        } else if let Some(letter) = cursor.peek_escape().filter(|letter| "dDsSwW".contains(*letter)) {
            cursor.skip(2);
            class.push_str(&perl(letter)?);
        } else if let Some(letter) = cursor.peek_escape().filter(|letter| "pP".contains(*letter)) {
            cursor.skip(2);
            class.push_str(&unicode(letter, cursor)?);
        } else {
            range(cursor, &mut class)?;
        }
    }
}

/// `[:alpha:]` inside brackets; `Some(None)` when there is none here.
fn posix(cursor: &mut Cursor<'_>) -> Option<Option<String>> {
    let Some(inner) = cursor.rest().strip_prefix("[:") else { return Some(None) };
    // Without its end this is a literal bracket and a colon.
    let Some((name, rest)) = inner.split_once(":]") else { return Some(None) };
    POSIX.contains(&name.strip_prefix('^').unwrap_or(name)).then_some(())?;
    let class = format!("[:{name}:]");
    cursor.set(rest);
    Some(Some(class))
}

/// One character, or a range of them.
fn range(cursor: &mut Cursor<'_>, class: &mut String) -> Option<()> {
    let low = cursor.class_character()?;
    let dashed =
        cursor.rest().strip_prefix('-').is_some_and(|rest| !rest.is_empty() && !rest.starts_with(']'));
    let high = if dashed {
        cursor.skip(1);
        cursor.class_character()?
    } else {
        low
    };
    if high < low {
        return None;
    }
    if low == high {
        escape(class, low);
        return Some(());
    }
    write!(class, r"\x{{{:x}}}-\x{{{:x}}}", u32::from(low), u32::from(high)).ok()
}
