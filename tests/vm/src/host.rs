//! What a host must have to run a machine, and where it is.

use std::path::{Path, PathBuf};

/// A program or file that a machine needs.
struct Need {
    /// Its name, also its file's name.
    name: &'static str,
    /// What makes it available.
    remedy: &'static str,
}

const QEMU: Need = Need { name: "qemu-system-x86_64", remedy: "install the Debian package qemu-system-x86" };
const VSOCK: Need = Need { name: "vhost-device-vsock", remedy: "run `cargo xtask image`" };
const PSP: Need = Need { name: "psp-emulator", remedy: "run `cargo build -p psp-emulator`" };
const IMAGE: Need =
    Need { name: "reference-values.json", remedy: "run `cargo xtask image --flavour development`" };
const PRODUCTION_IMAGE: Need = Need { name: "reference-values.json", remedy: "run `cargo xtask image`" };

/// What is missing on this host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A program or file is not there.
    #[error("`{name}` is missing: {remedy}")]
    Missing {
        /// Its name.
        name: &'static str,
        /// What makes it available.
        remedy: &'static str,
    },
}

/// The programs and the image that machines are made of.
#[derive(Debug, Clone)]
pub struct Host {
    /// QEMU.
    pub qemu: PathBuf,
    /// The vsock back-end.
    pub vhost_device_vsock: PathBuf,
    /// The emulated secure processor.
    pub psp_emulator: PathBuf,
    /// The development image: the one that reports by the emulated secure processor.
    pub image: PathBuf,
    /// Build output of the workspace, which the logs are part of.
    pub target: PathBuf,
}

impl Host {
    /// Finds everything.
    ///
    /// # Errors
    /// Something is missing.
    pub fn find() -> Result<Self, HostError> {
        let target = target_folder();
        let profiles = [target.join("debug"), target.join("release")];
        Ok(Self {
            qemu: QEMU.find(&[])?,
            vhost_device_vsock: VSOCK.find(&[target.join("tools/bin")])?,
            psp_emulator: PSP.find(&profiles)?,
            image: IMAGE.find(&[target.join("guest-image/development")]).map(|file| folder_of(&file))?,
            target,
        })
    }

    /// The host for a test: nothing where the test must be skipped, which it then says. In CI (`CI=true`) a test that
    /// cannot run has failed.
    ///
    /// # Errors
    /// Something is missing, and this is CI.
    pub fn for_test() -> Result<Option<Self>, HostError> {
        skip_if_missing(Self::find())
    }

    /// The production image, for a test: as [`for_test`](Self::for_test).
    ///
    /// # Errors
    /// It is missing, and this is CI.
    pub fn production_image(&self) -> Result<Option<PathBuf>, HostError> {
        let image = PRODUCTION_IMAGE.find(&[self.target.join("guest-image/production")]);
        skip_if_missing(image.map(|file| folder_of(&file)))
    }

    /// The project's command line tool, where `cargo build` puts it.
    #[must_use]
    pub fn cce(&self) -> PathBuf {
        self.target.join("debug/cce")
    }

    /// The keys of the emulated secure processor; made at its first start.
    pub(crate) fn psp_keys(&self) -> PathBuf {
        self.target.join("psp-keys")
    }

    /// The folder of the logs of this machine.
    #[must_use]
    pub fn logs(&self, name: &str) -> PathBuf {
        self.target.join("vm-logs").join(name)
    }
}

impl Need {
    /// In one of the folders, else on `PATH`.
    fn find(&self, folders: &[PathBuf]) -> Result<PathBuf, HostError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = folders.iter().cloned().chain(std::env::split_paths(&path));
        all.map(|folder| folder.join(self.name))
            .find(|file| file.is_file())
            .ok_or(HostError::Missing { name: self.name, remedy: self.remedy })
    }
}

/// Nothing in the place of what is missing, which is said, but in CI.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn skip_if_missing<T>(found: Result<T, HostError>) -> Result<Option<T>, HostError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(missing) if std::env::var_os("CI").is_some_and(|value| value == "true") => Err(missing),
        Err(missing) => {
            println!("skipped: {missing}");
            Ok(None)
        }
    }
}

fn folder_of(file: &Path) -> PathBuf {
    file.parent().unwrap_or(file).to_owned()
}

/// Cargo's output folder of this workspace.
fn target_folder() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let joined = workspace.join(target);
    joined.canonicalize().unwrap_or(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_comes_with_a_remedy() {
        let need = Need { name: "no-such-program-anywhere", remedy: "write it" };
        let error = need.find(&[]).unwrap_err();
        assert_eq!(error.to_string(), "`no-such-program-anywhere` is missing: write it");
    }

    #[test]
    fn a_folder_of_ours_comes_before_the_path() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("sh"), "").unwrap();
        let need = Need { name: "sh", remedy: "" };
        assert_eq!(need.find(&[folder.path().to_owned()]).unwrap(), folder.path().join("sh"));
        assert_ne!(need.find(&[]).unwrap(), folder.path().join("sh"));
    }
}
