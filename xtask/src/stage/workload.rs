//! A tenant's container: its layer, its policy, and the host's command that runs it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{Answer, Cce, Guest};

/// The pod's id.
const SANDBOX: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

/// A layer as a disk image.
pub(crate) struct Layer {
    pub(crate) disk: PathBuf,
    pub(crate) root_hash: String,
    hash_offset: String,
}

/// A container as the host asks for it.
pub(crate) struct Container<'a> {
    /// The OCI image layout.
    pub(crate) image: &'a Path,
    pub(crate) layer: &'a Layer,
    /// Which of the guest's disks holds the layer.
    pub(crate) disk: usize,
    pub(crate) id: &'a str,
    pub(crate) command: &'a [&'a str],
    /// Further options of `cce host run`.
    pub(crate) options: &'a [&'a str],
}

/// Turns the one layer of `image` into a disk below `out`.
pub(crate) fn build_layer(cce: &Cce, image: &Path, out: &Path) -> anyhow::Result<Layer> {
    let args = [Path::new("layer"), Path::new("build"), image, Path::new("--output-dir"), out];
    let built = cce.expect_yes(args)?;
    let first = built.get(0).context("no layer was built")?;
    Ok(Layer {
        disk: PathBuf::from(string(first, "file")?),
        root_hash: string(first, "root_hash")?.to_owned(),
        hash_offset: first.get("hash_offset_bytes").context("there is no hash offset")?.to_string(),
    })
}

/// Writes to `policy` the policy that allows `command` in `image`, and nothing beside it: no environment is
/// dropped silently.
pub(crate) fn write_policy(cce: &Cce, image: &Path, command: &[&str], policy: &Path) -> anyhow::Result<()> {
    let command = serde_json::to_string(command)?;
    cce.expect_yes([
        Path::new("policy"),
        Path::new("create"),
        Path::new("--image"),
        image,
        Path::new("--command"),
        Path::new(&command),
        Path::new("--output"),
        policy,
    ])?;
    let text = fs::read_to_string(policy).context("cannot read the policy")?;
    let dropping = "allow_environment_variable_dropping := true";
    ensure!(text.contains(dropping), "the policy has another form");
    fs::write(policy, text.replace(dropping, "allow_environment_variable_dropping := false"))
        .context("cannot write the policy")
}

impl Container<'_> {
    /// Runs it to its end.
    pub(crate) fn run(&self, cce: &Cce, guest: &Guest) -> anyhow::Result<Answer> {
        let device = guest.devices.get(self.disk).context("the guest has no such disk")?;
        let number = self.disk.to_string();
        let image = self.image.to_str().context("the path is not text")?;
        let mut args = vec!["run", "--image", image, "--id", self.id, "--sandbox-id", SANDBOX];
        args.extend(["--layer-device", device, "--layer-root-hash", &self.layer.root_hash]);
        args.extend(["--layer-hash-offset", &self.layer.hash_offset, "--layer-first-number", &number]);
        args.extend(["--scratch", "tmpfs"]);
        args.extend(self.options);
        for argument in self.command {
            args.extend(["--arg", argument]);
        }
        guest.host(cce, &args)
    }
}

impl Guest {
    /// Plays the host: `cce host ...` towards this guest.
    pub(crate) fn host(&self, cce: &Cce, args: &[&str]) -> anyhow::Result<Answer> {
        cce.ask(["host", "--address", &self.address].into_iter().chain(args.iter().copied()))
    }
}

/// The text under `key`.
pub(crate) fn string<'v>(value: &'v Value, key: &str) -> anyhow::Result<&'v str> {
    value.get(key).and_then(Value::as_str).with_context(|| format!("there is no {key} in {value}"))
}
