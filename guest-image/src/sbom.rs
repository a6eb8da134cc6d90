//! The bill of materials of an image: everything that is in it, by name, version and digest, as CycloneDX 1.6 JSON.
//!
//! Without a serial number and a time, which the format leaves optional: the same parts give the same bytes.

use serde::Serialize;

use crate::Recipe;
use crate::digest::sha256_hex;
use crate::reference::{ImageManifest, PartDigest};

/// A crate that the agent links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedCrate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its package in the registry, in hex; nothing for a crate of this repository.
    pub sha256: Option<String>,
    /// Its licence as an SPDX expression, if it states one.
    pub license: Option<String>,
}

/// A CycloneDX document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sbom {
    bom_format: &'static str,
    spec_version: &'static str,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
}

#[derive(Debug, Serialize)]
struct Metadata {
    component: Component,
}

#[derive(Debug, Serialize)]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<License>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<Self>,
}

#[derive(Debug, Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Debug, Serialize)]
struct License {
    expression: String,
}

impl Component {
    fn new(kind: &'static str, name: &str, version: &str) -> Self {
        let (hashes, licenses, components) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            kind,
            name: name.to_owned(),
            version: version.to_owned(),
            hashes,
            licenses,
            purl: None,
            components,
        }
    }

    fn with_sha256(self, sha256: &str) -> Self {
        Self { hashes: vec![Hash { alg: "SHA-256", content: sha256.to_owned() }], ..self }
    }

    fn with_license(self, expression: &str) -> Self {
        Self { licenses: vec![License { expression: expression.to_owned() }], ..self }
    }

    fn of_crate(linked: &LinkedCrate) -> Self {
        let mut component = Self::new("library", &linked.name, &linked.version);
        if let Some(sha256) = &linked.sha256 {
            component = component.with_sha256(sha256);
            component.purl = Some(format!("pkg:cargo/{}@{}", linked.name, linked.version));
        }
        match &linked.license {
            Some(expression) => component.with_license(expression),
            None => component,
        }
    }
}

impl Sbom {
    /// The bill of an image of these parts.
    pub(crate) fn new(recipe: &Recipe, image: &ImageManifest, agent: &[u8], vmlinuz: &PartDigest) -> Self {
        let release = &image.kernel_release;
        let mut kernel = Component::new("operating-system", &recipe.kernel.package, release)
            .with_sha256(&recipe.kernel.package_sha256)
            .with_license("GPL-2.0-only WITH Linux-syscall-note");
        kernel.purl = Some(format!("pkg:deb/debian/{}?arch=amd64", recipe.kernel.package));
        kernel.components.push(Component::new("file", "vmlinuz", release).with_sha256(&vmlinuz.sha256));
        kernel.components.extend(image.modules.iter().map(|module| {
            Component::new("file", &format!("{}.ko", module.name), release).with_sha256(&module.sha256)
        }));
        let mut program =
            Component::new("application", "cce-agent", &image.version).with_sha256(&sha256_hex(agent));
        program.components = recipe.crates.iter().map(Component::of_crate).collect();
        Self {
            bom_format: "CycloneDX",
            spec_version: "1.6",
            version: 1,
            metadata: Metadata { component: Component::new("firmware", "guest-image", &image.version) },
            components: vec![kernel, program],
        }
    }
}
