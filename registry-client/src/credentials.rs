//! What a registry wants to know about who asks.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use serde::Deserialize;

/// A text that no log shows.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text secret.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// A user with a password: for the registry itself, or for a token of it.
    Basic {
        /// The user's name, without a colon.
        username: String,
        /// The password.
        password: Secret,
    },
    /// Whoever has this token.
    Bearer(Secret),
}

impl Credentials {
    /// The value of `Authorization`, if there is something to say that a field can say.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::Anonymous => return None,
            Self::Basic { username, password } => {
                format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.text())))
            }
            Self::Bearer(token) => format!("Bearer {}", token.text()),
        };
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_become_fields_that_are_not_shown() {
        let password = Secret::new("open sesame".to_owned());
        let basic = Credentials::Basic { username: "Aladdin".to_owned(), password };
        // RFC 7617, 2.
        assert_eq!(basic.authorization().unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(!format!("{basic:?} {:?}", basic.authorization()).contains("sesame"));
        let bearer = |token: &str| Credentials::Bearer(Secret::new(token.to_owned())).authorization();
        assert_eq!(bearer("abc").unwrap(), "Bearer abc");
        assert_eq!(bearer("a\r\nHost: b"), None);
        assert_eq!(Credentials::Anonymous.authorization(), None);
    }
}
