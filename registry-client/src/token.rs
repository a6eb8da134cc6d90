//! Authorization: what a registry challenges for, and tokens from where it says
//! (Docker's token authentication, which the OCI distribution specification refers to).

use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use serde::Deserialize;

use crate::challenge::{Challenge, ParseChallengeError, parse_challenges};
use crate::credentials::{Credentials, Secret};
use crate::exchange::{Body, BodyError, Exchange, ExchangeError};
use crate::url::{ParseUrlError, Scheme, Url};

/// The most bytes of the answer that has a token.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;
/// The most bytes of a token: it has to fit into the head of a request.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Why a registry's challenge is not answered.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// The registry refuses without saying what it wants.
    #[error("the registry refuses and asks for nothing")]
    NoChallenge,
    /// The challenge is malformed.
    #[error("the registry's challenge is malformed")]
    Challenge(#[source] ParseChallengeError),
    /// It asks for credentials that there are not, or by a scheme that is not spoken.
    #[error("the registry asks for other credentials than there are")]
    Credentials,
    /// Where tokens come from is no URL.
    #[error("the token service has no URL")]
    Realm(#[source] ParseUrlError),
    /// Tokens would travel without TLS.
    #[error("the token service is to be asked without TLS")]
    PlainRealm,
    /// The token service does not answer.
    #[error("cannot ask the token service")]
    Ask(#[source] ExchangeError),
    /// The token service refuses.
    #[error("the token service answers with status {0}")]
    Refused(StatusCode),
    /// Its answer does not arrive.
    #[error("cannot read the token")]
    Read(#[source] BodyError),
    /// Its answer is no JSON of the form that it has.
    #[error("the answer of the token service is malformed")]
    Answer(#[source] serde_json::Error),
    /// Its answer has no token, or one that no field can hold.
    #[error("there is no token that can be used")]
    Token,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Exchange {
    /// What satisfies the challenges of a registry, to read from a repository.
    pub(crate) async fn authorize(
        &self,
        registry: &Url,
        repository: &str,
        credentials: &Credentials,
        refusal: &HeaderMap,
    ) -> Result<HeaderValue, AuthenticateError> {
        let mut challenges = Vec::new();
        for field in refusal.get_all(header::WWW_AUTHENTICATE) {
            let field = field.to_str().map_err(|_| AuthenticateError::Challenge(ParseChallengeError))?;
            challenges.extend(parse_challenges(field).map_err(AuthenticateError::Challenge)?);
        }
        if challenges.is_empty() {
            return Err(AuthenticateError::NoChallenge);
        }
        let of_scheme = |scheme| challenges.iter().find(|challenge: &&Challenge| challenge.scheme == scheme);
        let own = || credentials.authorization().ok_or(AuthenticateError::Credentials);
        match (of_scheme("bearer"), of_scheme("basic"), credentials) {
            (Some(_), _, Credentials::Bearer(_)) => own(),
            (Some(bearer), ..) => self.token(registry, repository, credentials, bearer).await,
            (None, Some(_), Credentials::Basic { .. }) => own(),
            (None, ..) => Err(AuthenticateError::Credentials),
        }
    }

    async fn token(
        &self,
        registry: &Url,
        repository: &str,
        credentials: &Credentials,
        challenge: &Challenge,
    ) -> Result<HeaderValue, AuthenticateError> {
        let realm = challenge.parameter("realm").ok_or(AuthenticateError::NoChallenge)?;
        let url =
            token_url(realm, challenge.parameter("service"), repository).map_err(AuthenticateError::Realm)?;
        // A registry that proves who it is must not send credentials over a wire that anybody reads.
        if url.scheme == Scheme::Http && registry.scheme == Scheme::Https {
            return Err(AuthenticateError::PlainRealm);
        }
        let authorization = credentials.authorization();
        let asked = self.get(&url, &["application/json"], authorization.as_ref()).await;
        let answer = asked.map_err(AuthenticateError::Ask)?;
        if answer.status != StatusCode::OK {
            return Err(AuthenticateError::Refused(answer.status));
        }
        let body = Body::new(answer, &self.limits, 0).read_all(MAX_ANSWER_BYTES).await;
        let body = body.map_err(AuthenticateError::Read)?;
        let answer: TokenAnswer = serde_json::from_slice(&body).map_err(AuthenticateError::Answer)?;
        let token = answer.token.or(answer.access_token).filter(|token| token.len() <= MAX_TOKEN_BYTES);
        let token = token.filter(|token| !token.is_empty()).ok_or(AuthenticateError::Token)?;
        Credentials::Bearer(Secret::new(token)).authorization().ok_or(AuthenticateError::Token)
    }
}

/// Where a token is asked for: only the right to read, whatever the challenge speaks of.
fn token_url(realm: &str, service: Option<&str>, repository: &str) -> Result<Url, ParseUrlError> {
    let realm = Url::parse(realm)?;
    let mut path = realm.path.as_str().to_owned();
    path.push(if realm.path.query().is_some() { '&' } else { '?' });
    if let Some(service) = service {
        path.push_str("service=");
        path.push_str(&percent_encoded(service));
        path.push('&');
    }
    path.push_str("scope=");
    path.push_str(&percent_encoded(&format!("repository:{repository}:pull")));
    Url::new(realm.scheme, realm.authority, &path)
}

/// RFC 3986, 2.1, of everything that is not unreserved.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_asked_for_reading_alone() {
        let url = token_url("https://auth.example/token?account=x", Some("a&b=c"), "team/app").unwrap();
        assert_eq!(
            url.path.as_str(),
            "/token?account=x&service=a%26b%3Dc&scope=repository%3Ateam%2Fapp%3Apull"
        );
        let url = token_url("https://auth.example", None, "app").unwrap();
        assert_eq!(url.path.as_str(), "/?scope=repository%3Aapp%3Apull");
        assert_eq!(token_url("file:///etc/passwd", None, "app"), Err(ParseUrlError::Scheme));
    }
}
