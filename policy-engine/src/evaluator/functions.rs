//! Builtin functions with OPA's meaning. The interpreter finds these before its own of the same name.

use std::cmp::Ordering;

use regorus::{Engine, Value};

use crate::opa::{Version, to_number};
use crate::pattern::Patterns;

/// Replaces the functions whose meaning differs. `engine` is new: no name is taken yet.
pub(super) fn replace(engine: &mut Engine) {
    replace_regex(engine);
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
    // The scan refuses policies that name these; spelled as strings they are undefined.
    for (name, arguments) in [
        ("regex.find_all_string_submatch_n", 3),
        ("regex.find_n", 3),
        ("regex.globs_match", 2),
        ("regex.replace", 3),
        ("regex.split", 2),
        ("regex.template_match", 4),
    ] {
        extend(engine, name, arguments, |_| Value::Undefined);
    }
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
