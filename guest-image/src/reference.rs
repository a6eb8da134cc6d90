//! What a tenant compares a report with, and what the image says about itself.

use serde::{Deserialize, Serialize};

use crate::{
    CommandLine, Flavour, Kernel, Recipe, digest::sha256_hex, igvm::IgvmReference,
    measurement::LaunchMeasurement, modules::Module,
};

/// A kernel module of the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleDigest {
    /// The name of its file without `.ko`.
    pub name: String,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
}

/// `/etc/image.json` in the guest. It is part of the initrd, so it is measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageManifest {
    /// Version of the image.
    pub version: String,
    /// Release of the kernel, as `uname -r` prints it.
    pub kernel_release: String,
    /// The modules in the order in which they are loaded.
    pub modules: Vec<ModuleDigest>,
}

impl ImageManifest {
    pub(crate) fn new(kernel: &Kernel, modules: &[Module]) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel_release: kernel.release.clone(),
            modules: modules
                .iter()
                .map(|module| ModuleDigest { name: module.name.clone(), sha256: sha256_hex(&module.bytes) })
                .collect(),
        }
    }
}

/// The Debian package that the kernel and its modules come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelPackage {
    /// Its name.
    pub name: String,
    /// SHA-256 of the `.deb` file, in hex.
    pub sha256: String,
    /// Whether it is the one that the recipe names.
    pub pinned: bool,
}

/// A measured file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartDigest {
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// Its size in bytes.
    pub size_bytes: usize,
}

impl PartDigest {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self { sha256: sha256_hex(bytes), size_bytes: bytes.len() }
    }
}

/// `reference-values.json`: everything about an image that can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceValues {
    /// `production` or `development`.
    pub flavour: String,
    /// The measurement of a launch behind firmware, and how to recompute it.
    #[serde(flatten)]
    pub measurement: LaunchMeasurement,
    /// The launch from the IGVM file.
    pub igvm: IgvmReference,
    /// The kernel image.
    pub kernel: PartDigest,
    /// The initrd.
    pub initrd: PartDigest,
    /// The kernel command line: the bytes without an end of line.
    pub command_line: PartDigest,
    /// Where the kernel comes from.
    pub kernel_package: KernelPackage,
    /// What the image says about itself.
    pub image: ImageManifest,
}

impl ReferenceValues {
    pub(crate) fn new(
        recipe: &Recipe,
        image: ImageManifest,
        kernel: &[u8],
        initrd: &[u8],
        command_line: &CommandLine,
        measurement: LaunchMeasurement,
        igvm: IgvmReference,
    ) -> Self {
        Self {
            flavour: Flavour::name(recipe.flavour).to_owned(),
            measurement,
            igvm,
            kernel: PartDigest::new(kernel),
            initrd: PartDigest::new(initrd),
            command_line: PartDigest::new(command_line.as_str().as_bytes()),
            kernel_package: KernelPackage {
                name: recipe.kernel.package.clone(),
                sha256: recipe.kernel.package_sha256.clone(),
                pinned: recipe.kernel.pinned,
            },
            image,
        }
    }
}
