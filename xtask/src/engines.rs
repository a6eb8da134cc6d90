//! `cargo xtask engines`: container engines that use `cce-oci` as their runtime.
//!
//! The tests are those of `tests/oci-cli/tests/engines`: each has an engine of its own with its state in a temporary
//! directory. Nothing is installed, and what is missing is named.

use anyhow::bail;

use crate::{command::Run, packages};

/// Arguments of `cargo xtask engines`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only tests whose name contains this, such as podman or containerd
    filter: Option<String>,
}

/// Runs the engines' tests.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if Run::new("id").arg("-u").stdout()?.trim() != "0" {
        bail!("containers need root");
    }
    let missing = packages::missing(packages::FOR_ENGINES);
    for name in &missing {
        println!("missing Debian package: {name}; its tests are left out");
    }
    if missing.len() == packages::FOR_ENGINES.len() {
        bail!("there is no engine");
    }
    Run::cargo()
        .args(["test", "--package", "oci-cli", "--test", "engines", "--", "--nocapture"])
        .args(args.filter.iter())
        .run()?;
    Ok(())
}
