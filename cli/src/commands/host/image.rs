//! What an OCI image says about its first process.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, bail};
use oci_spec::image::{Arch, Config, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, Os};

/// Reads the run configuration of the image in an OCI image layout.
///
/// Of several manifests the one for linux/amd64 is taken.
///
/// # Errors
/// When the layout cannot be read or holds no such image.
pub(super) fn run_config(layout: &Path) -> anyhow::Result<Config> {
    let index: ImageIndex = {
        let path = layout.join("index.json");
        let file = File::open(&path).with_context(|| format!("opening {} failed", path.display()))?;
        ImageIndex::from_reader(file).with_context(|| format!("{} is no image index", path.display()))?
    };
    let manifest = match index.manifests().as_slice() {
        [only] => only,
        several => {
            several.iter().find(|manifest| is_linux_amd64(manifest)).context("no image for linux/amd64")?
        }
    };
    let manifest =
        ImageManifest::from_reader(blob(layout, manifest)?).context("the manifest is malformed")?;
    let configuration = ImageConfiguration::from_reader(blob(layout, manifest.config())?)
        .context("the configuration is malformed")?;
    Ok(configuration.config().clone().unwrap_or_default())
}

fn is_linux_amd64(manifest: &Descriptor) -> bool {
    manifest
        .platform()
        .as_ref()
        .is_some_and(|platform| *platform.os() == Os::Linux && *platform.architecture() == Arch::Amd64)
}

fn blob(layout: &Path, descriptor: &Descriptor) -> anyhow::Result<File> {
    let digest = descriptor.digest();
    let path = layout.join("blobs").join(digest.algorithm().as_ref()).join(digest.digest());
    File::open(&path).with_context(|| format!("opening {} failed", path.display()))
}

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
