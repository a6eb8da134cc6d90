//! What a registry asks for before it answers: the field `WWW-Authenticate` (RFC 9110, 11.6.1).

/// The most challenges in one field.
const MAX_CHALLENGES: usize = 8;
/// The most parameters of one challenge.
const MAX_PARAMETERS: usize = 16;

/// One way to authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The scheme, in lower case: `basic`, `bearer`.
    pub scheme: String,
    /// Names, in lower case, and values.
    pub parameters: Vec<(String, String)>,
}

/// A field that has not the form of challenges, or too many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the challenge is malformed")]
pub struct ParseChallengeError;

impl Challenge {
    /// The value of a parameter. Of a name that stands twice there is none: readers would not agree which counts.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut values =
            self.parameters.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (Some(value), None) => Some(value),
            _ => None,
        }
    }
}

/// The challenges of one field.
///
/// # Errors
/// When the field is malformed.
pub fn parse_challenges(field: &str) -> Result<Vec<Challenge>, ParseChallengeError> {
    let mut scanner = Scanner { rest: field };
    let mut challenges: Vec<Challenge> = Vec::new();
    loop {
        scanner.skip(|byte| matches!(byte, b' ' | b'\t' | b','));
        if scanner.rest.is_empty() {
            return Ok(challenges);
        }
        let name = scanner.token().ok_or(ParseChallengeError)?.to_ascii_lowercase();
        scanner.skip_blanks();
        if !scanner.accept('=') {
            if challenges.len() >= MAX_CHALLENGES {
                return Err(ParseChallengeError);
            }
            challenges.push(Challenge { scheme: name, parameters: Vec::new() });
            scanner.skip_token68();
            continue;
        }
        scanner.skip_blanks();
        let value = scanner.value()?;
        let parameters = challenges.last_mut().map(|challenge| &mut challenge.parameters);
        let parameters = parameters.filter(|parameters| parameters.len() < MAX_PARAMETERS);
        parameters.ok_or(ParseChallengeError)?.push((name, value));
        scanner.skip_blanks();
        if !scanner.rest.is_empty() && !scanner.rest.starts_with(',') {
            return Err(ParseChallengeError);
        }
    }
}

/// What of the field is still to be read.
struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    /// Takes the bytes, all of them ASCII, that fit.
    fn take(&mut self, fits: impl Fn(u8) -> bool) -> &'a str {
        let end =
            self.rest.bytes().position(|byte| !byte.is_ascii() || !fits(byte)).unwrap_or(self.rest.len());
        // Only ASCII stands before it, so that it is the boundary of a character.
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn skip(&mut self, fits: impl Fn(u8) -> bool) {
        let _ = self.take(fits);
    }

    fn skip_blanks(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t'));
    }

    fn accept(&mut self, expected: char) -> bool {
        let rest = self.rest.strip_prefix(expected);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn token(&mut self) -> Option<&'a str> {
        Some(self.take(is_token_byte)).filter(|token| !token.is_empty())
    }

    /// A token or a quoted string.
    fn value(&mut self) -> Result<String, ParseChallengeError> {
        if !self.accept('"') {
            return self.token().map(str::to_owned).ok_or(ParseChallengeError);
        }
        let mut value = String::new();
        let mut characters = self.rest.chars();
        loop {
            match characters.next().ok_or(ParseChallengeError)? {
                '"' => break,
                '\\' => value.push(characters.next().ok_or(ParseChallengeError)?),
                character => value.push(character),
            }
        }
        self.rest = characters.as_str();
        Ok(value)
    }

    /// Skips the one word that some schemes have instead of parameters.
    fn skip_token68(&mut self) {
        let before = self.rest;
        self.skip(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
        });
        self.skip(|byte| byte == b'=');
        self.skip_blanks();
        if !self.rest.is_empty() && !self.rest.starts_with(',') {
            self.rest = before;
        }
    }
}

/// RFC 9110, 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn challenge(scheme: &str, parameters: &[(&str, &str)]) -> Challenge {
        let parameters =
            parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Challenge { scheme: scheme.to_owned(), parameters }
    }

    #[test]
    fn what_registries_send_is_read() {
        let bearer = r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull""#;
        let expected = [
            ("realm", "https://auth.example/token"),
            ("service", "registry.example"),
            ("scope", "repository:a/b:pull"),
        ];
        assert_eq!(parse_challenges(bearer).unwrap(), [challenge("bearer", &expected)]);
        assert_eq!(
            parse_challenges(r#"BASIC Realm = "a \"b\", c" , charset=UTF-8"#).unwrap(),
            [challenge("basic", &[("realm", "a \"b\", c"), ("charset", "UTF-8")])]
        );
    }

    #[test]
    fn several_challenges_are_told_apart() {
        assert_eq!(
            parse_challenges(r#"Negotiate, NTLM abc==, Bearer realm="r", x=y, Basic realm=z"#).unwrap(),
            [
                challenge("negotiate", &[]),
                challenge("ntlm", &[]),
                challenge("bearer", &[("realm", "r"), ("x", "y")]),
                challenge("basic", &[("realm", "z")]),
            ]
        );
        assert_eq!(parse_challenges(" , ").unwrap(), []);
    }

    #[test]
    fn malformed_fields_are_refused() {
        let many = "Basic, ".repeat(MAX_CHALLENGES + 1);
        let long = format!("Basic {}", "a=b, ".repeat(MAX_PARAMETERS + 1));
        for field in
            ["realm=\"x\"", "Bearer realm=\"x", "Bearer a=b, realm=", "Bearer a=b c", "é", &many, &long]
        {
            assert_eq!(parse_challenges(field), Err(ParseChallengeError), "{field}");
        }
    }

    #[test]
    fn a_parameter_that_stands_twice_counts_for_nothing() {
        let challenges = parse_challenges(r#"Bearer realm="a", realm="b", service=c"#).unwrap();
        assert_eq!(challenges[0].parameter("realm"), None);
        assert_eq!(challenges[0].parameter("service"), Some("c"));
        assert_eq!(challenges[0].parameter("scope"), None);
    }

    proptest! {
        #[test]
        fn no_field_does_harm(field in "[a-zA-Z=,\" \\\\é]{0,60}|\\PC{0,60}") {
            if let Ok(challenges) = parse_challenges(&field) {
                prop_assert!(challenges.len() <= MAX_CHALLENGES);
            }
        }

        #[test]
        fn what_is_written_is_read(
            scheme in "[a-z]{1,8}",
            parameters in prop::collection::vec(("[a-z]{1,6}", "[ -~]{0,20}"), 1..6),
        ) {
            let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
            let written: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}=\"{}\"", quoted(value))).collect();
            let field = format!("{scheme} {}", written.join(", "));
            prop_assert_eq!(parse_challenges(&field).unwrap(), [Challenge { scheme, parameters }]);
        }
    }
}
