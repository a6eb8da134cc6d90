//! What an OCI image says about its first process.

use anyhow::bail;
use oci_spec::image::Config;

/// Arguments of the first process: entry point, then command.
pub(super) fn arguments(config: &Config) -> Vec<String> {
    [config.entrypoint(), config.cmd()].into_iter().flatten().flatten().cloned().collect()
}

/// Numeric user and group of `UID[:GID]`; without a group it is group 0, as container runtimes have it.
///
/// # Errors
/// When it is a name: only the guest could look it up.
pub(super) fn parse_user(user: &str) -> anyhow::Result<(u32, u32)> {
    let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
    match (uid.parse(), gid.parse()) {
        (Ok(uid), Ok(gid)) => Ok((uid, gid)),
        _ => bail!("user {user:?} is not UID[:GID]"),
    }
}
