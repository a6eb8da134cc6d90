//! Functions that build texts, within a budget: a text can be named many times for the price of once.

use std::fmt::Write as _;

use regorus::Value;

use crate::evaluator::budget::{Budget, fits};
use crate::evaluator::limits::EVALUATION_BYTES_MAX;

/// The deepest value that is written into a text.
const DEPTH_MAX: usize = 64;

/// The widest field of a format, in characters.
const WIDTH_MAX: usize = 256;

/// `concat(delimiter, texts)`.
pub(super) fn concat(budget: &Budget, delimiter: &str, parts: &Value) -> Option<Value> {
    let parts: Vec<&Value> = match parts {
        Value::Array(list) => list.iter().collect(),
        Value::Set(set) => set.iter().collect(),
        _ => return None,
    };
    let parts: Vec<&str> = parts.into_iter().map(text).collect::<Option<_>>()?;
    let delimiters = delimiter.len().checked_mul(parts.len())?;
    budget.take(parts.iter().try_fold(delimiters, |bytes, part| bytes.checked_add(part.len()))?)?;
    Some(parts.join(delimiter).into())
}

/// `replace(text, old, new)`.
pub(super) fn replace(budget: &Budget, text: &str, old: &str, new: &str) -> Option<Value> {
    budget.take(text.len())?;
    budget.take(text.matches(old).count().checked_mul(new.len())?)?;
    Some(text.replace(old, new).into())
}

/// `sprintf(format, values)`: `%v`, `%s`, `%d`, `%q`, `%x`, `%X`, `%t` and `%%`, with a width. Others, a value of
/// another type and a wrong number of values are undefined here, where OPA writes words about the mistake into
/// the text.
pub(super) fn sprintf(budget: &Budget, format: &str, values: &Value) -> Option<Value> {
    let Value::Array(values) = values else { return None };
    let mut values = values.iter();
    let mut written = String::new();
    let mut rest = format;
    budget.take(format.len())?;
    while let Some((before, after)) = rest.split_once('%') {
        written.push_str(before);
        let (field, after) = Field::parse(after)?;
        rest = after;
        if field.verb == '%' {
            written.push('%');
            continue;
        }
        let value = field.format(budget, values.next()?)?;
        budget.take(value.len())?;
        written.push_str(&value);
    }
    written.push_str(rest);
    values.next().is_none().then(|| written.into())
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// A field of a format: `%`, flags, a width and a verb.
struct Field {
    left: bool,
    zeros: bool,
    width: usize,
    verb: char,
}

impl Field {
    /// Reads what follows a percent sign; also gives what follows the field.
    fn parse(text: &str) -> Option<(Self, &str)> {
        let flags = text.find(|sign| !matches!(sign, '-' | '0')).unwrap_or(text.len());
        let (flags, text) = text.split_at(flags);
        let digits = text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len());
        let (digits, text) = text.split_at(digits);
        let width =
            if digits.is_empty() { 0 } else { digits.parse().ok().filter(|width| *width <= WIDTH_MAX)? };
        let verb = text.chars().next()?;
        let field = Self { left: flags.contains('-'), zeros: flags.contains('0'), width, verb };
        Some((field, text.strip_prefix(verb)?))
    }

    fn format(&self, budget: &Budget, value: &Value) -> Option<String> {
        let plain = match (self.verb, value) {
            ('v' | 's', Value::String(text)) => text.to_string(),
            ('d', Value::Number(number)) => number.is_integer().then(|| number.format_decimal())?,
            ('x' | 'X', Value::Number(number)) => {
                let hexadecimal = number.is_integer().then(|| number.format_hex())?;
                if self.verb == 'X' { hexadecimal.to_uppercase() } else { hexadecimal }
            }
            ('t', Value::Bool(_)) | ('v', _) => written(budget, value)?,
            ('q', Value::String(_)) => written(budget, value)?,
            // Lists and objects are written the same way for both.
            ('s', Value::Array(_) | Value::Set(_) | Value::Object(_)) => written(budget, value)?,
            _ => return None,
        };
        Some(self.pad(plain))
    }

    fn pad(&self, text: String) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        match (self.left, self.zeros) {
            _ if missing == 0 => text,
            (true, _) => text + &" ".repeat(missing),
            (false, true) => match text.strip_prefix('-') {
                Some(digits) => format!("-{}{digits}", "0".repeat(missing)),
                None => "0".repeat(missing) + &text,
            },
            (false, false) => " ".repeat(missing) + &text,
        }
    }
}

/// A value as Rego text.
fn written(budget: &Budget, value: &Value) -> Option<String> {
    if !fits(value, EVALUATION_BYTES_MAX) {
        budget.take(usize::MAX)?;
    }
    let mut text = String::new();
    write_value(&mut text, value, 0)?;
    Some(text)
}

fn write_value(text: &mut String, value: &Value, depth: usize) -> Option<()> {
    if depth > DEPTH_MAX {
        return None;
    }
    let mut written =
        |open: &str, members: &mut dyn Iterator<Item = (Option<&Value>, &Value)>, close: &str| {
            text.push_str(open);
            for (index, (key, member)) in members.enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                if let Some(key) = key {
                    write_value(text, key, depth.saturating_add(1))?;
                    text.push_str(": ");
                }
                write_value(text, member, depth.saturating_add(1))?;
            }
            text.push_str(close);
            Some(())
        };
    match value {
        Value::Array(list) => written("[", &mut list.iter().map(|member| (None, member)), "]"),
        Value::Set(set) if set.is_empty() => written("set()", &mut std::iter::empty(), ""),
        Value::Set(set) => written("{", &mut set.iter().map(|member| (None, member)), "}"),
        Value::Object(fields) => written("{", &mut fields.iter().map(|(key, value)| (Some(key), value)), "}"),
        Value::Number(number) if number.is_integer() => {
            text.push_str(&number.format_decimal());
            Some(())
        }
        _ => write!(text, "{value}").ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        let budget = Budget::default();
        budget.renew();
        budget
    }

    fn json(text: &str) -> Value {
        Value::from_json_str(text).unwrap()
    }

    #[test]
    fn texts_are_joined() {
        assert_eq!(concat(&budget(), ", ", &json("[\"a\", \"b\"]")), Some("a, b".into()));
        assert_eq!(concat(&budget(), ", ", &json("[]")), Some("".into()));
        assert_eq!(concat(&budget(), ", ", &json("[\"a\", 1]")), None);
        assert_eq!(concat(&budget(), ", ", &json("\"a\"")), None);
    }

    #[test]
    fn texts_are_replaced() {
        assert_eq!(replace(&budget(), "a-b-c", "-", "+"), Some("a+b+c".into()));
        assert_eq!(replace(&budget(), "é", "", "."), Some(".é.".into()));
        assert_eq!(replace(&budget(), "ab", "x", "y"), Some("ab".into()));
    }

    #[test]
    fn formats_are_filled() {
        for (format, values, expected) in [
            ("%v and %s", r#"["a", "b"]"#, "a and b"),
            ("%d%%", "[7]", "7%"),
            ("%v %v %v", r#"[1.5, null, true]"#, "1.5 null true"),
            ("%5d|%-5d|%05d|%05d", "[7, 7, 7, -7]", "    7|7    |00007|-0007"),
            ("%q", r#"["a\"b"]"#, r#""a\"b""#),
            ("%x %X", "[255, 255]", "ff FF"),
            ("%v", "[18446744073709551615]", "18446744073709551615"),
            ("%v", r#"[["a", 1]]"#, r#"["a", 1]"#),
            ("%s %v", r#"[{"a": [], "b": {"c": null}}, []]"#, r#"{"a": [], "b": {"c": null}} []"#),
            ("plain", "[]", "plain"),
        ] {
            assert_eq!(sprintf(&budget(), format, &json(values)), Some(expected.into()), "{format}");
        }
        for (format, values) in [
            ("%d", r#"["a"]"#),
            ("%d", "[]"),
            ("%d", "[1, 2]"),
            ("%257d", "[1]"),
            ("%y", "[1]"),
            ("%", "[1]"),
            ("%d", "1"),
        ] {
            assert_eq!(sprintf(&budget(), format, &json(values)), None, "{format} {values}");
        }
    }

    #[test]
    fn texts_are_built_within_the_budget() {
        let half = "x".repeat(EVALUATION_BYTES_MAX / 2 - 1);
        let both = Value::from(vec![Value::from(half.as_str()), Value::from(half.as_str())]);
        let budget = budget();
        assert!(concat(&budget, "", &both).is_some());
        assert!(concat(&budget, "", &both).is_none());
        assert!(budget.is_spent());
        budget.renew();
        assert!(replace(&budget, &half, "x", "xyz").is_none());
        budget.renew();
        assert!(sprintf(&budget, "%v%v%v", &Value::from(vec![both.clone(), both.clone(), both])).is_none());
    }
}
