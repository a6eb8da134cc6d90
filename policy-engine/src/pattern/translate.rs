//! From RE2's syntax to Rust's.

use super::class;
use super::cursor::Cursor;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// RE2's most repetitions, of one operator and of nested ones together.
const REPEAT_MAX: u32 = 1000;

/// The deepest nesting of groups.
const GROUPS_MAX: usize = 250;

/// The pattern as Rust's engine must be told it; `None` when RE2 refuses it or it is not supported.
pub(super) fn to_rust(pattern: &str) -> Option<String> {
    let mut translation = Translation::default();
    let mut cursor = Cursor::new(pattern);
    while let Some(character) = cursor.next() {
        translation.piece(character, &mut cursor)?;
    }
    (translation.groups.is_empty()).then_some(translation.text)
}

#[derive(Debug, Default)]
struct Translation {
    text: String,
    /// Whether the last piece was a repetition operator.
    repeated: bool,
    /// How often the last piece may be repeated at the most, with the repetitions inside it.
    factor: u32,
    /// For each open group the largest factor inside it so far.
    groups: Vec<u32>,
    /// The names of groups so far.
    names: BTreeSet<String>,
}

impl Translation {
    fn piece(&mut self, character: char, cursor: &mut Cursor<'_>) -> Option<()> {
        match character {
            '*' | '+' | '?' => return self.repeat(&character.to_string(), 1, cursor),
            '{' => {
                if let Some((text, most)) = counted(cursor)? {
                    return self.repeat(&text, most, cursor);
                }
                self.literal('{');
            }
            '(' => return self.open(cursor),
            ')' => {
                let inside = self.groups.pop()?;
                let factor = inside.max(self.factor);
                self.push(")");
                self.factor = factor;
            }
            '[' => {
                let class = class::bracketed(cursor)?;
                self.push(&class);
            }
            '\\' => return self.escaped(cursor),
            '.' | '^' | '$' => self.push(&character.to_string()),
            '|' => {
                let inside = self.factor;
                self.push("|");
                self.keep(inside);
            }
            _ => self.literal(character),
        }
        Some(())
    }

    fn keep(&mut self, inside: u32) {
        if let Some(group) = self.groups.last_mut() {
            *group = (*group).max(inside);
        }
    }

    /// Adds a piece that is no repetition.
    fn push(&mut self, text: &str) {
        let before = self.factor;
        self.keep(before);
        self.text.push_str(text);
        self.repeated = false;
        self.factor = 1;
    }

    fn literal(&mut self, character: char) {
        let mut text = String::new();
        escape(&mut text, character);
        self.push(&text);
    }

    /// A repetition of the last piece. RE2 refuses one directly after another, and more than 1,000 in all.
    fn repeat(&mut self, operator: &str, most: u32, cursor: &mut Cursor<'_>) -> Option<()> {
        if self.repeated {
            return None;
        }
        self.factor = self.factor.max(1).checked_mul(most.max(1)).filter(|factor| *factor <= REPEAT_MAX)?;
        self.text.push_str(operator);
        if cursor.eat("?") {
            self.text.push('?');
        }
        self.repeated = true;
        Some(())
    }

    fn open(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        if self.groups.len() >= GROUPS_MAX {
            return None;
        }
        if !cursor.eat("?") {
            self.push("(");
            self.groups.push(1);
            return Some(());
        }
        for named in ["P<", "<"] {
            if cursor.eat(named) {
                let (name, rest) = cursor.rest().split_once('>')?;
                let plain =
                    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                // Nobody asks for a group by its name, but each may be given once.
                if !plain || !self.names.insert(name.to_owned()) {
                    return None;
                }
                cursor.set(rest);
                self.push("(");
                self.groups.push(1);
                return Some(());
            }
        }
        let end = cursor.rest().find([':', ')'])?;
        let (flags, rest) = cursor.rest().split_at(end);
        // Rust also has `x`, `u` and `R`; `x` would ignore blanks in the pattern.
        let known = flags.bytes().all(|flag| b"imsU-".contains(&flag));
        let negations = flags.bytes().filter(|flag| *flag == b'-').count();
        if !known || negations > 1 || flags.ends_with('-') {
            return None;
        }
        let scoped = rest.starts_with(':');
        if flags.is_empty() && !scoped {
            // `(?)` says nothing.
            cursor.skip(1);
            return Some(());
        }
        let text = format!("(?{flags}{}", if scoped { ':' } else { ')' });
        cursor.skip(flags.len().saturating_add(1));
        self.push(&text);
        if scoped {
            self.groups.push(1);
        }
        Some(())
    }

    fn escaped(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let letter = cursor.peek()?;
        match letter {
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => {
                cursor.skip(1);
                let class = class::perl(letter)?;
                self.push(&class);
            }
            'p' | 'P' => {
                cursor.skip(1);
                let class = class::unicode(letter, cursor)?;
                self.push(&class);
            }
            'A' | 'z' => {
                cursor.skip(1);
                self.push(if letter == 'A' { r"\A" } else { r"\z" });
            }
            'b' | 'B' => {
                cursor.skip(1);
                self.push(if letter == 'b' { r"(?-u:\b)" } else { r"(?-u:\B)" });
            }
            'Q' => {
                cursor.skip(1);
                let (quoted, rest) = cursor.rest().split_once(r"\E").unwrap_or((cursor.rest(), ""));
                let quoted = quoted.to_owned();
                cursor.set(rest);
                quoted.chars().for_each(|character| self.literal(character));
            }
            _ => {
                let character = cursor.escape()?;
                self.literal(character);
            }
        }
        Some(())
    }
}

/// `{n}`, `{n,}` or `{n,m}` after its `{`; `Some(None)` where the brace is a literal.
fn counted(cursor: &mut Cursor<'_>) -> Option<Option<(String, u32)>> {
    let Some((inner, rest)) = cursor.rest().split_once('}') else { return Some(None) };
    let (low, high) = inner.split_once(',').map_or((inner, None), |(low, high)| (low, Some(high)));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !number(low) || high.is_some_and(|high| !high.is_empty() && !number(high)) {
        return Some(None);
    }
    // RE2 reads `{01}` as a literal.
    let leading_zero = |text: &str| text.len() > 1 && text.starts_with('0');
    if leading_zero(low) || high.is_some_and(leading_zero) {
        return Some(None);
    }
    let bound = |text: &str| text.parse::<u32>().ok().filter(|count| *count <= REPEAT_MAX);
    let low = bound(low)?;
    let (text, most) = match high {
        None => (format!("{{{low}}}"), low),
        Some("") => (format!("{{{low},}}"), low),
        Some(high) => {
            let high = bound(high).filter(|high| low <= *high)?;
            (format!("{{{low},{high}}}"), high)
        }
    };
    cursor.set(rest);
    Some(Some((text, most)))
}

/// Appends `character` so that it stands for itself, outside and inside brackets.
pub(super) fn escape(text: &mut String, character: char) {
    if character.is_ascii_alphanumeric() || (!character.is_ascii() && !character.is_control()) {
        text.push(character);
    } else {
        // A text buffer takes any text.
        let _ = write!(text, r"\x{{{:x}}}", u32::from(character));
    }
}
