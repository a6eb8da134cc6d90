//! Builtin functions with OPA's meaning, and with bounded results. The interpreter finds these before its own
//! of the same name.

mod numbers;
mod text;

use std::cmp::Ordering;

use regorus::{Engine, Value};

use super::budget::Budget;
use crate::opa::{Version, to_number};
use crate::pattern::Patterns;

/// Functions that policies cannot use, and the number of their arguments: their meaning is not OPA's, or not
/// the same at each call, or their results have no bound.
const UNAVAILABLE: [(&str, u8); 8] = [
    ("rand.intn", 2),
    ("regex.find_all_string_submatch_n", 3),
    ("regex.find_n", 3),
    ("regex.globs_match", 2),
    ("regex.replace", 3),
    ("regex.split", 2),
    ("regex.template_match", 4),
    ("strings.replace_n", 2),
];

/// Whether a policy cannot use the function `family.name`.
pub(super) fn is_unavailable(family: &str, name: &str) -> bool {
    UNAVAILABLE.iter().any(|(path, _)| path.split_once('.') == Some((family, name)))
}

/// Replaces the functions whose meaning differs. `engine` is new: no name is taken yet.
pub(super) fn replace(engine: &mut Engine, budget: &Budget) {
    for (name, arguments) in UNAVAILABLE {
        extend(engine, name, arguments, |_| Value::Undefined);
    }
    replace_regex(engine);
    replace_growing(engine, budget);
    extend(engine, "semver.compare", 2, |arguments| match arguments {
        [Value::String(left), Value::String(right)] => {
            compare_versions(left, right).unwrap_or(Value::Undefined)
        }
        _ => Value::Undefined,
    });
    extend(engine, "semver.is_valid", 1, |arguments| {
        Value::Bool(matches!(arguments, [Value::String(text)] if Version::parse(text).is_some()))
    });
    extend(engine, "to_number", 1, |arguments| match arguments {
        [value] => to_number(value).unwrap_or(Value::Undefined),
        _ => Value::Undefined,
    });
}

fn compare_versions(left: &str, right: &str) -> Option<Value> {
    Some(match Version::parse(left)?.precedence(&Version::parse(right)?) {
        Ordering::Less => Value::from(-1i64),
        Ordering::Equal => Value::from(0i64),
        Ordering::Greater => Value::from(1i64),
    })
}

/// Bounds the functions whose results can be far larger than what they are given.
fn replace_growing(engine: &mut Engine, budget: &Budget) {
    let defined = |value: Option<Value>| value.unwrap_or(Value::Undefined);
    let spent = budget.clone();
    extend(engine, "numbers.range", 2, move |arguments| match arguments {
        [first, last] => defined(numbers::range(&spent, first, last, None)),
        _ => Value::Undefined,
    });
    let spent = budget.clone();
    extend(engine, "numbers.range_step", 3, move |arguments| match arguments {
        [first, last, step] => defined(numbers::range(&spent, first, last, Some(step))),
        _ => Value::Undefined,
    });
    extend(engine, "bits.lsh", 2, move |arguments| match arguments {
        [number, shift] => defined(numbers::left_shift(number, shift)),
        _ => Value::Undefined,
    });
    let spent = budget.clone();
    extend(engine, "concat", 2, move |arguments| match arguments {
        [Value::String(delimiter), parts] => defined(text::concat(&spent, delimiter, parts)),
        _ => Value::Undefined,
    });
    let spent = budget.clone();
    extend(engine, "replace", 3, move |arguments| match arguments {
        [Value::String(text), Value::String(old), Value::String(new)] => {
            defined(text::replace(&spent, text, old, new))
        }
        _ => Value::Undefined,
    });
    let spent = budget.clone();
    extend(engine, "sprintf", 2, move |arguments| match arguments {
        [Value::String(format), values] => defined(text::sprintf(&spent, format, values)),
        _ => Value::Undefined,
    });
}

/// Gives `regex.*` RE2's meaning.
fn replace_regex(engine: &mut Engine) {
    let patterns = Patterns::default();
    let valid = patterns.clone();
    extend(engine, "regex.is_valid", 1, move |arguments| match arguments {
        [Value::String(pattern)] => Value::Bool(valid.is_valid(pattern)),
        [_] => Value::Bool(false),
        _ => Value::Undefined,
    });
    extend(engine, "regex.match", 2, move |arguments| match arguments {
        [Value::String(pattern), Value::String(text)] => {
            patterns.is_match(pattern, text).map_or(Value::Undefined, Value::Bool)
        }
        _ => Value::Undefined,
    });
}

fn extend(
    engine: &mut Engine,
    name: &str,
    arguments: u8,
    function: impl Fn(&[Value]) -> Value + Clone + Send + Sync + 'static,
) {
    let extension = Box::new(move |values: Vec<Value>| Ok(function(&values)));
    // Refused only for a name that is taken.
    let _ = engine.add_extension(name.to_owned(), arguments, extension);
}
