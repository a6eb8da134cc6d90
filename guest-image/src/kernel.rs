//! The kernel: Debian's package, fetched by `apt-get` (which checks Debian's signatures) and unpacked, never installed.

#![expect(
    clippy::disallowed_methods,
    reason = "the image is built by Debian's package programs, not in the guest"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde::Deserialize;

use crate::digest::sha256_hex;

/// The package that the image is built from, as recorded in the recipe.
const PIN: &str = include_str!("../kernel.toml");

/// Why there is no kernel to build an image from.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The recipe's `kernel.toml` is damaged.
    #[error("the recipe's kernel.toml does not parse")]
    Pin(#[source] toml::de::Error),
    /// `apt-get` or `dpkg-deb` is not there.
    #[error("could not start `{program}`")]
    Start {
        /// The program.
        program: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// `apt-get` does not know the package (its lists may be missing), or could not fetch it.
    #[error("could not download `{package}` (is `apt-get update` needed?): {stderr}")]
    Download {
        /// The package.
        package: String,
        /// What `apt-get` said.
        stderr: String,
    },
    /// The metapackage depends on no kernel package.
    #[error("`{0}` names no kernel package")]
    Metapackage(String),
    /// The package has the pinned version, but other bytes.
    #[error("`{package}` has SHA-256 {found}, pinned is {pinned}")]
    Digest {
        /// The package.
        package: String,
        /// The digest of what was downloaded.
        found: String,
        /// The digest in the recipe.
        pinned: String,
    },
    /// `dpkg-deb` could not unpack the package.
    #[error("could not unpack `{}`: {stderr}", .package.display())]
    Unpack {
        /// The package's file.
        package: PathBuf,
        /// What `dpkg-deb` said.
        stderr: String,
    },
    /// The package has no `boot/vmlinuz-*`.
    #[error("`{}` has no kernel in it", .0.display())]
    NoKernel(PathBuf),
    /// A file or folder below the output folder.
    #[error("could not use `{}`", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pin {
    metapackage: String,
    package: String,
    version: String,
    sha256: String,
}

/// A kernel package, unpacked.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// The kernel's release, as `uname -r` prints it.
    pub release: String,
    /// The name of the Debian package.
    pub package: String,
    /// SHA-256 of the Debian package, in hex.
    pub package_sha256: String,
    /// Whether this is the package that the recipe names.
    pub pinned: bool,
    /// The kernel image.
    pub vmlinuz: PathBuf,
    /// `lib/modules/<release>` of the package.
    pub modules: PathBuf,
}

/// The kernel of the recipe, below `folder`: what is there already is used, else it is fetched and unpacked.
///
/// # Errors
/// The package can be neither found nor fetched, is not the pinned one though it says so, or does not unpack.
pub fn fetch(folder: &Path) -> Result<Kernel, KernelError> {
    let pin: Pin = toml::from_str(PIN).map_err(KernelError::Pin)?;
    if let Some(kernel) = cached(folder, &pin)? {
        return Ok(kernel);
    }
    let downloads = folder.join("download");
    remove_if_there(&downloads)?;
    fs::create_dir_all(&downloads).map_err(file_error(&downloads))?;
    let pinned = format!("{}={}", pin.package, pin.version);
    let package = match download(&downloads, &pinned) {
        Ok(()) => pin.package.clone(),
        Err(KernelError::Download { .. }) => {
            let newest = newest_package(&pin.metapackage)?;
            download(&downloads, &newest)?;
            newest
        }
        Err(other) => return Err(other),
    };
    let file = only_file(&downloads)?;
    let bytes = fs::read(&file).map_err(file_error(&file))?;
    let found = sha256_hex(&bytes);
    if found != pin.sha256 && file_is_version(&file, &pin) {
        return Err(KernelError::Digest { package, found, pinned: pin.sha256 });
    }
    unpack(folder, &package, &found, &file)?;
    remove_if_there(&downloads)?;
    describe(folder, &package, &found, &pin)
}

/// Whether the downloaded file says that it is the pinned package in the pinned version.
fn file_is_version(file: &Path, pin: &Pin) -> bool {
    let expected = format!("{}_{}_", pin.package, pin.version.replace(':', "%3a"));
    file.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&expected))
}

/// An unpacked package: the pinned one if there, else any other.
fn cached(folder: &Path, pin: &Pin) -> Result<Option<Kernel>, KernelError> {
    let mut found: Option<Kernel> = None;
    let Ok(entries) = fs::read_dir(folder) else { return Ok(None) };
    for entry in entries {
        let name = entry.map_err(file_error(folder))?.file_name();
        let Some((package, digest)) = name.to_str().and_then(|name| name.split_once('@')) else { continue };
        let kernel = describe(folder, package, digest, pin)?;
        if kernel.pinned {
            return Ok(Some(kernel));
        }
        found = Some(kernel);
    }
    Ok(found)
}

fn download(folder: &Path, package: &str) -> Result<(), KernelError> {
    // Root's `apt-get` would hand the download to a user who may not write here.
    let arguments = ["-q", "-o", "APT::Sandbox::User=root", "download", package];
    let output = output("apt-get", Command::new("apt-get").args(arguments).current_dir(folder))?;
    if output.status.success() {
        return Ok(());
    }
    Err(KernelError::Download { package: package.to_owned(), stderr: text(&output.stderr) })
}

fn newest_package(metapackage: &str) -> Result<String, KernelError> {
    let output =
        output("apt-cache", Command::new("apt-cache").args(["depends", "--important", metapackage]))?;
    text(&output.stdout)
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
        .map(str::to_owned)
        .ok_or_else(|| KernelError::Metapackage(metapackage.to_owned()))
}

/// Unpacks beside, then renames: a build that was interrupted leaves nothing that looks whole.
fn unpack(folder: &Path, package: &str, digest: &str, file: &Path) -> Result<(), KernelError> {
    let partial = folder.join("partial");
    remove_if_there(&partial)?;
    let output = output("dpkg-deb", Command::new("dpkg-deb").arg("-x").arg(file).arg(&partial))?;
    if !output.status.success() {
        return Err(KernelError::Unpack { package: file.to_owned(), stderr: text(&output.stderr) });
    }
    let target = unpacked(folder, package, digest);
    fs::rename(&partial, &target).map_err(file_error(&target))
}

fn unpacked(folder: &Path, package: &str, digest: &str) -> PathBuf {
    folder.join(format!("{package}@{digest}"))
}

fn describe(folder: &Path, package: &str, digest: &str, pin: &Pin) -> Result<Kernel, KernelError> {
    let root = unpacked(folder, package, digest);
    let boot = root.join("boot");
    for entry in fs::read_dir(&boot).map_err(file_error(&boot))? {
        let entry = entry.map_err(file_error(&boot))?;
        if let Some(release) = entry.file_name().to_str().and_then(|name| name.strip_prefix("vmlinuz-")) {
            return Ok(Kernel {
                release: release.to_owned(),
                package: package.to_owned(),
                package_sha256: digest.to_owned(),
                pinned: digest == pin.sha256,
                vmlinuz: entry.path(),
                modules: root.join("lib/modules").join(release),
            });
        }
    }
    Err(KernelError::NoKernel(root))
}

fn only_file(folder: &Path) -> Result<PathBuf, KernelError> {
    let mut entries = fs::read_dir(folder).map_err(file_error(folder))?;
    let entry = entries.next().ok_or_else(|| KernelError::NoKernel(folder.to_owned()))?;
    entry.map(|entry| entry.path()).map_err(file_error(folder))
}

fn remove_if_there(folder: &Path) -> Result<(), KernelError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(file_error(folder)(source)),
        _ => Ok(()),
    }
}

fn output(program: &'static str, command: &mut Command) -> Result<Output, KernelError> {
    command.env("LC_ALL", "C").output().map_err(|source| KernelError::Start { program, source })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> KernelError {
    let path = path.to_owned();
    move |source| KernelError::File { path, source }
}
