//! What `cargo metadata` says about our own crates.

use anyhow::Context as _;
use serde::Deserialize;

use crate::command::{Run, repository_root};

/// Our own crates.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Workspace {
    #[serde(rename = "packages")]
    pub(super) crates: Vec<Crate>,
}

/// One of our own crates.
#[derive(Debug, Deserialize)]
pub(super) struct Crate {
    pub(super) name: String,
    /// Absolute as cargo prints it; `load` makes it relative to the repository's root.
    pub(super) manifest_path: String,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) targets: Vec<Target>,
}

/// One line of a dependency table.
#[derive(Debug, Deserialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) kind: Option<Kind>,
    /// Present for crates of this repository.
    pub(super) path: Option<String>,
    pub(super) uses_default_features: bool,
    pub(super) features: Vec<String>,
}

/// When a dependency is used; cargo says nothing for the ordinary kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Linked into the build script, runs on the build machine.
    Build,
    /// Linked into tests.
    Dev,
}

/// One thing cargo compiles in a crate.
#[derive(Debug, Deserialize)]
pub(super) struct Target {
    pub(super) kind: Vec<String>,
    /// Absolute as cargo prints it; `load` makes it relative to the repository's root.
    pub(super) src_path: String,
}

impl Workspace {
    pub(super) fn load() -> anyhow::Result<Self> {
        let json = Run::cargo().args(["metadata", "--no-deps", "--format-version", "1"]).stdout()?;
        let root = format!("{}/", repository_root().to_str().context("the root is not UTF-8")?);
        Self::parse(&json, &root)
    }

    fn parse(json: &str, root: &str) -> anyhow::Result<Self> {
        let mut workspace: Self = serde_json::from_str(json).context("cargo's metadata is unknown")?;
        let relative = |path: &mut String| {
            if let Some(rest) = path.strip_prefix(root) {
                *path = rest.to_owned();
            }
        };
        for member in &mut workspace.crates {
            relative(&mut member.manifest_path);
            member.targets.iter_mut().for_each(|target| relative(&mut target.src_path));
        }
        Ok(workspace)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Crate> {
        self.crates.iter().find(|member| member.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{"packages": [
        {"name": "agent", "manifest_path": "/x/agent/Cargo.toml", "dependencies": [
            {"name": "proto", "kind": null, "path": "/x/proto", "uses_default_features": true, "features": []},
            {"name": "psp", "kind": "dev", "path": "/x/psp", "uses_default_features": true, "features": []}],
         "targets": [{"kind": ["bin"], "src_path": "/x/agent/src/main.rs"}]},
        {"name": "proto", "manifest_path": "/x/proto/Cargo.toml", "dependencies": [], "targets": []},
        {"name": "psp", "manifest_path": "/x/psp/Cargo.toml", "dependencies": [], "targets": []}]}"#;

    #[test]
    fn paths_are_relative_to_the_root() {
        let workspace = Workspace::parse(METADATA, "/x/").unwrap();
        let agent = workspace.find("agent").unwrap();
        assert_eq!(agent.manifest_path, "agent/Cargo.toml");
        assert_eq!(agent.targets[0].src_path, "agent/src/main.rs");
    }
}
