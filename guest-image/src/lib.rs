//! Recipe of the measured guest image: Debian's kernel, an initrd whose only program is the agent, and the kernel
//! command line. The same parts give the same bytes. See `docs/decisions/0004-guest-image.md`.

#![forbid(unsafe_code)]

mod agent;
pub mod command_line;
pub mod cpio;
mod digest;
pub mod igvm;
pub mod kernel;
pub mod measurement;
pub mod modules;
pub mod reference;
mod sbom;
pub mod verification;

use std::{
    fs,
    path::{Path, PathBuf},
};

pub use self::igvm::DirectLaunch;
pub use agent::AgentError;
pub use command_line::{CommandLine, Flavour};
pub use kernel::Kernel;
pub use measurement::{Launch, LaunchMeasurement};
use modules::Module;
pub use reference::ReferenceValues;
pub use sbom::LinkedCrate;

use crate::{
    cpio::Archive,
    reference::{ImageManifest, PartDigest},
    sbom::Sbom,
};

/// Largest initrd of an image, in bytes: what is measured stays small.
pub const INITRD_LIMIT_BYTES: usize = 15 << 20;

/// Folders that the agent mounts on, or needs before it has mounted anything.
const MOUNT_POINTS: &[&str] = &["dev", "proc", "run", "sys", "tmp"];

/// Why an image could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A part of the image does not read.
    #[error("could not read `{}`", .path.display())]
    Read {
        /// The part.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The kernel modules.
    #[error("could not collect the kernel modules")]
    Modules(#[from] modules::ModuleError),
    /// The agent is not one for this image.
    #[error("`{}` is no agent for this image", .path.display())]
    Agent {
        /// The program.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: AgentError,
    },
    /// The initrd.
    #[error("could not write the initrd")]
    Initrd(#[from] cpio::CpioError),
    /// The initrd has grown over its limit.
    #[error("the initrd has {size} bytes, more than {INITRD_LIMIT_BYTES}")]
    InitrdSize {
        /// Its size in bytes.
        size: usize,
    },
    /// A JSON document does not serialise.
    #[error("could not write `{name}`")]
    Json {
        /// The document.
        name: &'static str,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// An output file.
    #[error("could not write `{}`", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The launch measurement.
    #[error("could not compute the launch measurement")]
    Measurement(#[from] measurement::MeasurementError),
    /// The IGVM file.
    #[error("could not build the IGVM file")]
    Igvm(#[from] igvm::IgvmError),
}

/// What an image is built from.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// What the image is for.
    pub flavour: Flavour,
    /// The agent: one static program.
    pub agent: PathBuf,
    /// The crates that it links, for the bill of materials.
    pub crates: Vec<LinkedCrate>,
    /// The kernel.
    pub kernel: Kernel,
    /// Number of virtual CPUs at launch; it is measured.
    pub vcpus: u32,
    /// Memory of the guest in MiB; an IGVM launch measures it.
    pub memory_mib: u32,
    /// The firmware to measure, where the launch has one that holds the table of digests.
    pub firmware: Option<PathBuf>,
    /// The folder that the image's files are written to.
    pub output: PathBuf,
}

/// A built image: three files for the hypervisor, the same as one IGVM file, and what they measure to.
#[derive(Debug, Clone)]
pub struct Image {
    /// The kernel image.
    pub vmlinuz: PathBuf,
    /// The initrd, uncompressed.
    pub initrd: PathBuf,
    /// The kernel command line.
    pub command_line: CommandLine,
    /// The IGVM file.
    pub igvm: PathBuf,
    /// What a tenant compares reports with.
    pub reference: ReferenceValues,
}

/// Builds the image: `vmlinuz`, `initrd.img`, `cmdline`, `guest.igvm`, `reference-values.json` and `sbom.cdx.json` in the
/// output folder.
///
/// # Errors
/// A part is missing or damaged, the agent is not static, the initrd is too large, or the output cannot be written.
pub fn build(recipe: &Recipe) -> Result<Image, BuildError> {
    let agent = read(&recipe.agent)?;
    let agent_error = |source| BuildError::Agent { path: recipe.agent.clone(), source };
    agent::check(&agent, recipe.flavour).map_err(agent_error)?;
    let vmlinuz = read(&recipe.kernel.vmlinuz)?;
    let modules = modules::collect(&recipe.kernel.modules, modules::RECIPE)?;
    let manifest = ImageManifest::new(&recipe.kernel, &modules);
    let sbom = Sbom::new(recipe, &manifest, &agent, &PartDigest::new(&vmlinuz));
    let initrd = initrd(agent, modules, &manifest)?;
    if initrd.len() > INITRD_LIMIT_BYTES {
        return Err(BuildError::InitrdSize { size: initrd.len() });
    }
    let command_line = CommandLine::new(recipe.flavour);

    fs::create_dir_all(&recipe.output)
        .map_err(|source| BuildError::Write { path: recipe.output.clone(), source })?;
    let vmlinuz_path = write(&recipe.output, "vmlinuz", &vmlinuz)?;
    let initrd_path = write(&recipe.output, "initrd.img", &initrd)?;
    write(&recipe.output, "cmdline", command_line.as_str().as_bytes())?;
    let launch = Launch {
        kernel: &vmlinuz_path,
        initrd: &initrd_path,
        command_line: command_line.as_str(),
        vcpus: recipe.vcpus,
        firmware: recipe.firmware.as_deref(),
    };
    let measurement = launch.measure()?;
    let direct = DirectLaunch {
        kernel: &vmlinuz,
        initrd: &initrd,
        command_line: command_line.as_str(),
        vcpus: recipe.vcpus,
        memory_mib: recipe.memory_mib,
    };
    let file = direct.build()?;
    let igvm = write(&recipe.output, "guest.igvm", &file.bytes)?;
    let reference =
        ReferenceValues::new(recipe, manifest, &vmlinuz, &initrd, &command_line, measurement, file.reference);
    write(&recipe.output, "reference-values.json", &json("reference-values.json", &reference)?)?;
    write(&recipe.output, "sbom.cdx.json", &json("sbom.cdx.json", &sbom)?)?;
    Ok(Image { vmlinuz: vmlinuz_path, initrd: initrd_path, command_line, igvm, reference })
}

/// The initrd: the agent, the modules with their order, the manifest, and empty folders. Nothing else.
fn initrd(agent: Vec<u8>, modules: Vec<Module>, manifest: &ImageManifest) -> Result<Vec<u8>, BuildError> {
    let mut archive = Archive::default();
    archive.file("init", 0o755, agent)?;
    for folder in MOUNT_POINTS {
        archive.directory(folder)?;
    }
    archive.file("lib/modules/load-order", 0o444, modules::load_order(&modules).into_bytes())?;
    for module in modules {
        archive.file(&format!("lib/modules/{}.ko", module.name), 0o444, module.bytes)?;
    }
    archive.file("etc/image.json", 0o444, json("image.json", manifest)?)?;
    Ok(archive.into_bytes()?)
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(|source| BuildError::Read { path: path.to_owned(), source })
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, BuildError> {
    let path = folder.join(name);
    match fs::write(&path, bytes) {
        Ok(()) => Ok(path),
        Err(source) => Err(BuildError::Write { path, source }),
    }
}

/// JSON for people and programs: keys in the order of the type, a new line at the end.
fn json(name: &'static str, document: &impl serde::Serialize) -> Result<Vec<u8>, BuildError> {
    let mut bytes =
        serde_json::to_vec_pretty(document).map_err(|source| BuildError::Json { name, source })?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests;
