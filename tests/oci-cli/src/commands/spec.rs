//! `spec`: a configuration to begin with.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use oci_spec::runtime::Spec;

use crate::options;
use crate::state::SPECIFICATION_VERSION;

pub(crate) fn run(args: &options::Spec) -> anyhow::Result<ExitCode> {
    if args.rootless {
        bail!("`--rootless` is not supported");
    }
    let file = args.bundle.join("config.json");
    if file.exists() {
        bail!("file {} exists. Remove it first", file.display());
    }
    let mut spec = Spec::default();
    spec.set_version(SPECIFICATION_VERSION.to_owned());
    spec.set_hostname(Some("cce-oci".to_owned()));
    fs::write(&file, serde_json::to_vec_pretty(&spec)?).context("the configuration cannot be written")?;
    Ok(ExitCode::SUCCESS)
}
