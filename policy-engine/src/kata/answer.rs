//! Reads the value of a policy's rule. Whatever is not of an expected form is no allow.

use regorus::Value;

/// What a rule said.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// Yes, and these operations on the state.
    Allowed(Vec<Value>),
    /// No.
    Denied,
    /// Nothing.
    Undefined,
    /// Neither a truth value nor `{"allowed", "ops"}`.
    Malformed,
}

impl Answer {
    pub(super) fn read(value: &Value) -> Self {
        match value {
            Value::Bool(true) => Self::Allowed(Vec::new()),
            Value::Bool(false) => Self::Denied,
            Value::Undefined => Self::Undefined,
            Value::Object(_) => match (&value["allowed"], &value["ops"]) {
                (Value::Bool(false), _) => Self::Denied,
                (Value::Bool(true), Value::Undefined | Value::Null) => Self::Allowed(Vec::new()),
                (Value::Bool(true), Value::Array(operations)) => {
                    Self::Allowed(operations.iter().cloned().collect())
                }
                _ => Self::Malformed,
            },
            _ => Self::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Answer {
        Answer::read(&Value::from_json_str(text).unwrap())
    }

    #[test]
    fn only_a_clean_yes_allows() {
        for text in
            ["true", r#"{"allowed":true}"#, r#"{"allowed":true,"ops":null}"#, r#"{"allowed":true,"ops":[]}"#]
        {
            assert_eq!(read(text), Answer::Allowed(Vec::new()), "{text}");
        }
        assert_eq!(read(r#"{"allowed":true,"ops":[1]}"#), Answer::Allowed(vec![1.into()]));
        for text in ["false", r#"{"allowed":false}"#, r#"{"allowed":false,"ops":7}"#] {
            assert_eq!(read(text), Answer::Denied, "{text}");
        }
        for text in [
            "null",
            "1",
            r#""true""#,
            "[true]",
            "[]",
            "{}",
            r#"{"allowed":"true"}"#,
            r#"{"allowed":1,"ops":[]}"#,
            r#"{"ops":[]}"#,
            r#"{"allowed":true,"ops":{}}"#,
            r#"{"allowed":true,"ops":"x"}"#,
        ] {
            assert_eq!(read(text), Answer::Malformed, "{text}");
        }
        assert_eq!(Answer::read(&Value::Undefined), Answer::Undefined);
        assert_eq!(Answer::read(&Value::new_set()), Answer::Malformed);
    }
}
