//! Cargo's tools that tasks need: taken from `PATH`, or built below `target/tools`.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::command::{Run, repository_root};

/// Licences, bans and sources of dependencies.
pub(crate) const CARGO_DENY: CargoTool = CargoTool { name: "cargo-deny", version: "0.20.2" };

/// Coverage-guided fuzzing.
pub(crate) const CARGO_FUZZ: CargoTool = CargoTool { name: "cargo-fuzz", version: "0.13.2" };

/// Runs tests, each in a process of its own.
pub(crate) const CARGO_NEXTEST: CargoTool = CargoTool { name: "cargo-nextest", version: "0.9.143" };

/// The host's end of a virtual machine's vsock.
pub(crate) const VHOST_DEVICE_VSOCK: CargoTool = CargoTool { name: "vhost-device-vsock", version: "0.3.0" };

/// A tool of crates.io.
pub(crate) struct CargoTool {
    name: &'static str,
    /// What is built when the tool is missing; one that is there is used whatever its version.
    version: &'static str,
}

impl CargoTool {
    /// The tool's path, after building it where it is missing, which takes minutes.
    pub(crate) fn ready(&self) -> anyhow::Result<PathBuf> {
        let root = repository_root().join("target/tools");
        let built = root.join("bin").join(self.name);
        if built.is_file() {
            return Ok(built);
        }
        if let Some(found) = on_path(self.name) {
            return Ok(found);
        }
        println!("{} is missing: building it, once", self.name);
        let install = Run::cargo().args(["install", "--locked", "--version", self.version, self.name]);
        install
            .arg("--root")
            .arg(&root)
            .run()
            .with_context(|| format!("{} is missing and cannot be built", self.name))?;
        Ok(built)
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}
