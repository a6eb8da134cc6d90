//! Functions that genpolicy's rules call and the interpreter is built without, and one that it must not have.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use regorus::Value;

type Function = fn(&str) -> Value;

/// `base64` and `base64url`, as Rego has them. Malformed text has no value.
const FUNCTIONS: [(&str, Function); 6] = [
    ("base64.decode", |text| decoded(STANDARD.decode(text).ok())),
    ("base64.encode", |text| STANDARD.encode(text).into()),
    ("base64.is_valid", |text| STANDARD.decode(text).is_ok().into()),
    ("base64url.decode", |text| {
        decoded(URL_SAFE.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok())
    }),
    ("base64url.encode", |text| URL_SAFE.encode(text).into()),
    ("base64url.encode_no_pad", |text| URL_SAFE_NO_PAD.encode(text).into()),
];

fn decoded(bytes: Option<Vec<u8>>) -> Value {
    bytes.map_or(Value::Undefined, |bytes| String::from_utf8_lossy(&bytes).as_ref().into())
}

/// The interpreter's own panics when the text is shorter than the template.
const REFUSED: (&str, u8) = ("regex.template_match", 4);

pub(super) fn add(engine: &mut regorus::Engine) {
    let (name, arguments) = REFUSED;
    let refused = |_| Err(std::io::Error::from(std::io::ErrorKind::Unsupported).into());
    let _ = engine.add_extension(name.to_owned(), arguments, Box::new(refused));
    for (name, function) in FUNCTIONS {
        let extension = move |arguments: Vec<Value>| match arguments.as_slice() {
            [Value::String(text)] => Ok(function(text)),
            _ => Ok(Value::Undefined),
        };
        // Refused only for a name that is taken; the engine is new.
        let _ = engine.add_extension(name.to_owned(), 1, Box::new(extension));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, text: &str) -> Value {
        let (_, function) = FUNCTIONS.iter().find(|(known, _)| *known == name).unwrap();
        function(text)
    }

    #[test]
    fn texts_are_encoded_and_decoded() {
        // RFC 4648, section 10, and a text whose two alphabets differ.
        assert_eq!(call("base64.encode", "fooba"), "Zm9vYmE=".into());
        assert_eq!(call("base64.encode", "~~?"), "fn4/".into());
        assert_eq!(call("base64url.encode", "~~?"), "fn4_".into());
        assert_eq!(call("base64url.encode", "fooba"), "Zm9vYmE=".into());
        assert_eq!(call("base64url.encode_no_pad", "fooba"), "Zm9vYmE".into());
        assert_eq!(call("base64.decode", "Zm9vYmE="), "fooba".into());
        assert_eq!(call("base64.decode", "Zm9vYmE"), Value::Undefined);
        assert_eq!(call("base64url.decode", "fn4_"), "~~?".into());
        assert_eq!(call("base64url.decode", "Zm9vYmE"), "fooba".into());
        assert_eq!(call("base64url.decode", "fn4/"), Value::Undefined);
        assert_eq!(call("base64.is_valid", "Zm9vYmE="), true.into());
        assert_eq!(call("base64.is_valid", "Zm9v YmE="), false.into());
    }
}
