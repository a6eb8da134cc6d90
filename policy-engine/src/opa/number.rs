//! `to_number` as OPA has it.

use regorus::Value;

/// The longest text that is read as a number, in bytes.
const NUMBER_BYTES_MAX: usize = 400;

/// The number that `value` stands for; `None` where OPA's `to_number` is undefined.
///
/// Texts are decimal numbers with or without a sign, a fraction and an exponent. OPA also reads hexadecimal
/// fractions (`0x1p-2`), whose value it then cannot compare: those are refused.
pub(crate) fn to_number(value: &Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(false) => Some(Value::from(0u64)),
        Value::Bool(true) => Some(Value::from(1u64)),
        Value::Number(_) => Some(value.clone()),
        Value::String(text) => decimal(text),
        _ => None,
    }
}

fn decimal(text: &str) -> Option<Value> {
    if text.len() > NUMBER_BYTES_MAX {
        return None;
    }
    let (negative, unsigned) = match text.strip_prefix(['+', '-']) {
        Some(unsigned) => (text.starts_with('-'), unsigned),
        None => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    if let Some(exponent) = exponent {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        (!unsigned.is_empty() && digits(unsigned)).then_some(())?;
    }
    // Beyond the range of a float, OPA has no number either.
    text.parse::<f64>().ok().filter(|number| number.is_finite())?;
    let whole = whole.trim_start_matches('0');
    let mut json = String::with_capacity(text.len().saturating_add(2));
    json.push_str(if negative { "-" } else { "" });
    json.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        json.push('.');
        json.push_str(fraction);
    }
    if let Some(exponent) = exponent {
        json.push('e');
        json.push_str(exponent);
    }
    Value::from_json_str(&json).ok().filter(|value| matches!(value, Value::Number(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<Value> {
        to_number(&Value::from(text))
    }

    #[test]
    fn texts_are_decimal_numbers() {
        for (text, same) in [
            ("1", "1"),
            ("01", "1"),
            ("+1", "1"),
            ("-01", "-1"),
            ("1.", "1"),
            (".5", "0.5"),
            ("00.50", "0.5"),
            ("1e3", "1000"),
            ("1E+03", "1000"),
            ("18446744073709551616", "18446744073709551616"),
        ] {
            assert_eq!(number(text), Some(Value::from_json_str(same).unwrap()), "{text}");
        }
        for text in [
            "", " 1", "1 ", "a", "0x10", "1_000", "+", "-", ".", "e1", "1e", "1e+", "++1", "Inf", "nan",
            "infinity", "1e400", "-1e400", "\u{661}", "1.2.3",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(number(&"1".repeat(NUMBER_BYTES_MAX + 1)), None);
    }

    #[test]
    fn other_values_have_opas_numbers() {
        assert_eq!(to_number(&Value::Null), Some(Value::from(0u64)));
        assert_eq!(to_number(&Value::Bool(true)), Some(Value::from(1u64)));
        assert_eq!(to_number(&Value::from(7u64)), Some(Value::from(7u64)));
        assert_eq!(to_number(&Value::new_array()), None);
    }
}
