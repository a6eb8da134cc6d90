//! What registries may know about the user: given on the command line, or kept by `docker login` and `podman login`.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::Context as _;
use registry_client::{Credentials, Logins, Reference, Secret};

use super::registry::RegistryArgs;

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
    Ok(Logins::parse(&text)?.credentials(reference.registry())?)
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
