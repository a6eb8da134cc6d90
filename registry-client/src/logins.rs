//! Logins to registries as `docker login` and `podman login` keep them (containers-auth.json(5)).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::authority::Authority;
use crate::credentials::{Credentials, Secret};
use crate::reference::{DOCKER_HUB, DOCKER_HUB_API, DOCKER_HUB_INDEX};

/// A file with logins.
#[derive(Clone, Debug, Deserialize)]
pub struct Logins {
    #[serde(default)]
    auths: BTreeMap<String, Login>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Login {
    #[serde(default)]
    auth: Secret,
    #[serde(default)]
    identitytoken: Secret,
}

/// Why logins cannot be used. No message repeats a part of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginsError {
    /// The file is no JSON of the form that it has.
    #[error("the file with logins is malformed at line {line}, column {column}")]
    File {
        /// Where, counted from 1.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// A login is for a part of a registry, or for what has no name of one.
    #[error("a login is for {0:?}, which names no registry")]
    Registry(String),
    /// There are two logins to one registry.
    #[error("there are two logins to {0}")]
    Twice(Authority),
    /// Another program keeps the password.
    #[error("the login to {0} is empty")]
    Empty(Authority),
    /// An identity token is for a protocol that is not spoken.
    #[error("the login to {0} is an identity token, which cannot be used")]
    IdentityToken(Authority),
    /// A login is no user and password.
    #[error("the login to {0} is malformed")]
    Login(Authority),
}

impl Logins {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parse(text: &str) -> Result<Self, LoginsError> {
        // What JSON's error says may repeat a password.
        serde_json::from_str(text)
            .map_err(|error| LoginsError::File { line: error.line(), column: error.column() })
    }

    /// What one registry may know, if there is something. `docker login` leaves an empty login where another program
    /// keeps the password.
    ///
    /// # Errors
    /// When the login to it cannot be used.
    pub fn credentials(&self, registry: &Authority) -> Result<Option<Credentials>, LoginsError> {
        let mut logins = self.auths.iter().filter(|(name, _)| registry_of(name).as_ref() == Some(registry));
        match logins.next() {
            Some((_, login)) => login.credentials(registry),
            None => Ok(None),
        }
    }

    /// What every registry may know.
    ///
    /// # Errors
    /// When there is a login that cannot be used.
    pub fn all(&self) -> Result<BTreeMap<Authority, Credentials>, LoginsError> {
        let mut all = BTreeMap::new();
        for (name, login) in &self.auths {
            let registry = registry_of(name).ok_or_else(|| LoginsError::Registry(name.clone()))?;
            let credentials = login.credentials(&registry)?;
            let credentials = credentials.ok_or_else(|| LoginsError::Empty(registry.clone()))?;
            if all.insert(registry.clone(), credentials).is_some() {
                return Err(LoginsError::Twice(registry));
            }
        }
        Ok(all)
    }
}

impl Login {
    fn credentials(&self, registry: &Authority) -> Result<Option<Credentials>, LoginsError> {
        if !self.identitytoken.is_empty() {
            return Err(LoginsError::IdentityToken(registry.clone()));
        }
        if self.auth.is_empty() {
            return Ok(None);
        }
        let pair = STANDARD.decode(self.auth.text()).ok().and_then(|pair| String::from_utf8(pair).ok());
        let pair = pair.ok_or_else(|| LoginsError::Login(registry.clone()))?;
        let (username, password) =
            pair.split_once(':').ok_or_else(|| LoginsError::Login(registry.clone()))?;
        let password = Secret::new(password.to_owned());
        Ok(Some(Credentials::Basic { username: username.to_owned(), password }))
    }
}

/// The registry that a login's name is for: a host, or a URL of it. Names with a path are for a part of a registry.
fn registry_of(name: &str) -> Option<Authority> {
    let host = match name.strip_prefix("https://") {
        Some(url) => url.split('/').next()?,
        None => name,
    };
    let registry: Authority = host.parse().ok()?;
    // `docker login` names the registry of short names by the host of its first protocol.
    let is_hub = registry.port().is_none() && matches!(registry.host(), DOCKER_HUB_INDEX | DOCKER_HUB_API);
    if is_hub { DOCKER_HUB.parse().ok() } else { Some(registry) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(username: &str, password: &str) -> Credentials {
        let password = Secret::new(password.to_owned());
        Credentials::Basic { username: username.to_owned(), password }
    }

    fn authority(text: &str) -> Authority {
        text.parse().unwrap()
    }

    #[test]
    fn logins_are_found_by_registry() {
        let file = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "YTpi"},
            "registry.example:5000": {"auth": "Yzpk"},
            "part.example/team": {"auth": "Yzpk"},
            "kept.example": {}
        }, "credsStore": "desktop"}"#;
        let logins = Logins::parse(file).unwrap();
        let found = |registry: &str| logins.credentials(&authority(registry)).unwrap();
        assert_eq!(found("docker.io"), Some(basic("a", "b")));
        assert_eq!(found("registry.example:5000"), Some(basic("c", "d")));
        for other in
            ["registry.example", "kept.example", "part.example", "docker.io:5000", "docker.io.example"]
        {
            assert_eq!(found(other), None, "{other}");
        }
        let nobody = Logins::parse("{}").unwrap();
        assert_eq!(nobody.credentials(&authority("docker.io")).unwrap(), None);
        assert!(nobody.all().unwrap().is_empty());
    }

    #[test]
    fn all_logins_are_taken_or_none() {
        let all = |auths: &str| Logins::parse(&format!(r#"{{"auths": {{{auths}}}}}"#)).unwrap().all();
        let both = all(r#""a.example": {"auth": "YTpi"}, "https://b.example/v1/": {"auth": "Yzpk"}"#);
        let expected = [(authority("a.example"), basic("a", "b")), (authority("b.example"), basic("c", "d"))];
        assert_eq!(both.unwrap(), BTreeMap::from(expected));
        let part = "a.example/team".to_owned();
        for (auths, expected) in [
            (r#""a.example/team": {"auth": "YTpi"}"#, LoginsError::Registry(part)),
            (r#""a.example": {}"#, LoginsError::Empty(authority("a.example"))),
            (
                r#""a.example": {"auth": "YTpi"}, "https://a.example": {"auth": "YTpi"}"#,
                LoginsError::Twice(authority("a.example")),
            ),
        ] {
            assert_eq!(all(auths).unwrap_err(), expected);
        }
    }

    #[test]
    fn logins_that_cannot_be_used_are_told_without_their_secret() {
        for login in [
            r#"{"auth": "c2VzYW1l!"}"#,
            r#"{"auth": "c2VzYW1l"}"#,
            r#"{"identitytoken": "c2VzYW1l"}"#,
            r#"{"auth": ["c2VzYW1l"]}"#,
            r#""c2VzYW1l""#,
        ] {
            let file = format!(r#"{{"auths": {{"a.example": {login}}}}}"#);
            let found = Logins::parse(&file).and_then(|logins| logins.credentials(&authority("a.example")));
            let error = found.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("c2VzYW1l"), "{login}: {error}");
        }
        let good = Logins::parse(r#"{"auths": {"a.example": {"auth": "c2VzYW1lOm9wZW4="}}}"#).unwrap();
        assert!(!format!("{good:?}").contains("c2VzYW1lOm9wZW4"));
    }
}
