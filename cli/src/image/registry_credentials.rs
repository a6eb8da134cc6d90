//! What registries may know about the user: given on the command line, or kept by `docker login` and `podman login`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use registry_client::{Credentials, Reference, Secret};
use serde::Deserialize;

use super::registry::RegistryArgs;

/// The registry of short names, and what `docker login` calls it.
const DOCKER_HUB: (&str, &str) = ("docker.io", "https://index.docker.io/v1/");

/// The file that logins are kept in.
#[derive(Debug, Deserialize)]
struct AuthFile {
    #[serde(default)]
    auths: BTreeMap<String, Login>,
}

#[derive(Debug, Default, Deserialize)]
struct Login {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    identitytoken: String,
}

/// What the registry of this image may know, if there is something.
///
/// # Errors
/// When a file cannot be read, or has a login that cannot be used.
pub(super) fn find(reference: &Reference, args: &RegistryArgs) -> anyhow::Result<Option<Credentials>> {
    if let (Some(username), Some(file)) = (&args.username, &args.password_file) {
        let password = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let password = password.strip_suffix('\n').unwrap_or(&password).to_owned();
        return Ok(Some(Credentials::Basic { username: username.clone(), password: Secret::new(password) }));
    }
    let text = match (&args.authfile, default_file()) {
        (Some(file), _) => read(file)?,
        (None, Some(file)) if file.exists() => read(&file)?,
        (None, _) => return Ok(None),
    };
    of_text(&text, reference)
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Where `docker login` keeps logins.
fn default_file() -> Option<PathBuf> {
    let folder = match env::var_os("DOCKER_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env::var_os("HOME")?).join(".docker"),
    };
    Some(folder.join("config.json"))
}

fn of_text(text: &str, reference: &Reference) -> anyhow::Result<Option<Credentials>> {
    let file: AuthFile = serde_json::from_str(text).context("the file with logins is malformed")?;
    let registry = reference.registry().to_string();
    let (hub, hub_key) = DOCKER_HUB;
    let spellings = [registry.clone(), format!("https://{registry}"), format!("https://{registry}/v1/")];
    let hub_spelling = (registry == hub).then(|| hub_key.to_owned());
    let mut logins = spellings.iter().chain(&hub_spelling).filter_map(|spelling| file.auths.get(spelling));
    let Some(login) = logins.next() else { return Ok(None) };
    if !login.identitytoken.is_empty() {
        bail!("the login to {registry} is an identity token, which cannot be used");
    }
    // `docker login` leaves an empty entry where a program of its own keeps the password.
    if login.auth.is_empty() {
        return Ok(None);
    }
    let malformed = || format!("the login to {registry} is malformed");
    let pair = STANDARD.decode(&login.auth).with_context(malformed)?;
    let pair = String::from_utf8(pair).with_context(malformed)?;
    let (username, password) = pair.split_once(':').with_context(malformed)?;
    let password = Secret::new(password.to_owned());
    Ok(Some(Credentials::Basic { username: username.to_owned(), password }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_in(text: &str, reference: &str) -> anyhow::Result<Option<Credentials>> {
        of_text(text, &reference.parse().unwrap())
    }

    fn basic(username: &str, password: &str) -> Option<Credentials> {
        let password = Secret::new(password.to_owned());
        Some(Credentials::Basic { username: username.to_owned(), password })
    }

    #[test]
    fn logins_are_found_by_registry() {
        let file = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "YTpi"},
            "registry.example:5000": {"auth": "Yzpk"},
            "kept.example": {}
        }, "credsStore": "desktop"}"#;
        assert_eq!(find_in(file, "busybox").unwrap(), basic("a", "b"));
        assert_eq!(find_in(file, "registry.example:5000/app").unwrap(), basic("c", "d"));
        for other in ["registry.example/app", "kept.example/app", "index.docker.io.example/app"] {
            assert_eq!(find_in(file, other).unwrap(), None, "{other}");
        }
        assert_eq!(find_in("{}", "busybox").unwrap(), None);
    }

    #[test]
    fn logins_that_cannot_be_used_are_told() {
        for login in [r#"{"auth": "!"}"#, r#"{"auth": "YQ=="}"#, r#"{"identitytoken": "x"}"#, "1"] {
            let file = format!(r#"{{"auths": {{"a.example": {login}}}}}"#);
            assert!(find_in(&file, "a.example/app").is_err(), "{login}");
        }
    }
}
