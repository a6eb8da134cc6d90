//! Programs and images that are built from this workspace for a guest, or for the host beside it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use guest_image::{
    Flavour, Image, Kernel, Recipe,
    kernel::{self, KernelError},
};

use crate::{
    command::{Run, repository_root},
    linked_crates, packages, tool,
};

/// The target that is preferred for the guest: its C library is part of the Rust toolchain.
const MUSL: &str = "x86_64-unknown-linux-musl";
/// The target where the other one is not installed (docs/decisions/0002-static-linking.md).
const GNU: &str = "x86_64-unknown-linux-gnu";
/// Cargo's folder for the guest's binary: its flags differ from those of everything else.
const GUEST_TARGET_FOLDER: &str = "target/guest";
/// Virtual CPUs of a machine; they are measured.
const VCPUS: u32 = 2;
/// Memory of a machine that is launched from the IGVM file, in MiB, where nothing else is asked for; it is measured.
pub(crate) const MEMORY_MIB: u32 = 2048;

/// What the host starts for a virtual machine, and the development image: everything that `vm::Host` looks for.
pub(crate) fn for_vm() -> anyhow::Result<Image> {
    packages::ensure(packages::FOR_VM)?;
    tool::VHOST_DEVICE_VSOCK.ready()?;
    psp_emulator()?;
    image(Flavour::Development { psp_port: vm::PSP_PORT }, None, MEMORY_MIB)
}

/// Builds the image of a flavour, with its agent, below `target/guest-image`.
pub(crate) fn image(flavour: Flavour, firmware: Option<PathBuf>, memory_mib: u32) -> anyhow::Result<Image> {
    let kernel = kernel()?;
    let agent = agent(flavour)?;
    let crates = linked_crates::of_agent(guest_target()?, agent_features(flavour))?;
    let output = image_folder().join(flavour.name());
    let recipe = Recipe { flavour, agent, crates, kernel, vcpus: VCPUS, memory_mib, firmware, output };
    guest_image::build(&recipe).context("the image could not be built")
}

/// Where kernels and images are kept.
pub(crate) fn image_folder() -> PathBuf {
    repository_root().join("target/guest-image")
}

/// The kernel of the image, fetched if it is not there.
pub(crate) fn kernel() -> anyhow::Result<Kernel> {
    let kernel = fetch_kernel(&image_folder().join("kernel")).context("there is no kernel for the image")?;
    if !kernel.pinned {
        eprintln!("note: Debian no longer has the pinned kernel; the image has {}", kernel.package);
    }
    Ok(kernel)
}

/// A fresh machine has no package lists, or old ones.
fn fetch_kernel(folder: &Path) -> anyhow::Result<Kernel> {
    match kernel::fetch(folder) {
        Err(KernelError::Download { .. } | KernelError::Metapackage(_)) => {
            packages::refresh_lists()?;
            Ok(kernel::fetch(folder)?)
        }
        other => Ok(other?),
    }
}

/// Builds the emulated secure processor, and its keys, which takes seconds once.
pub(crate) fn psp_emulator() -> anyhow::Result<()> {
    Run::cargo().args(["build", "--quiet", "--package", "psp-emulator"]).run()?;
    let keys = repository_root().join("target/psp-keys");
    Run::cargo().args(["run", "--quiet", "--package", "psp-emulator", "--", "--keys"]).arg(keys).run()?;
    Ok(())
}

/// Builds the agent as one static program: the same bytes from the same source, wherever it lies.
pub(crate) fn agent(flavour: Flavour) -> anyhow::Result<PathBuf> {
    let target = guest_target()?;
    let flags = guest_flags(target, &repository_root(), &cargo_home()?, &toolchain()?);
    let folder = repository_root().join(GUEST_TARGET_FOLDER);
    Run::cargo()
        .args(["build", "--quiet", "--locked", "--profile", "guest", "--package", "agent"])
        .args(["--target", target, "--target-dir"])
        .arg(&folder)
        .args(agent_features(flavour))
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env("SOURCE_DATE_EPOCH", "0")
        .run()?;
    Ok(folder.join(target).join("guest/cce-agent"))
}

/// What cargo is told of features.
fn agent_features(flavour: Flavour) -> &'static [&'static str] {
    match flavour {
        Flavour::Production => &[],
        Flavour::Development { .. } => &["--features", "emulated-psp"],
    }
}

/// The target for which this machine has a standard library.
fn guest_target() -> anyhow::Result<&'static str> {
    let library = rustc(&["--print", "target-libdir", "--target", MUSL])?;
    Ok(if library.is_dir() { MUSL } else { GNU })
}

/// Flags in cargo's encoding. A static program, position-independent so that its addresses are random, without a
/// folder of the machine that built it.
fn guest_flags(target: &str, root: &Path, cargo_home: &Path, toolchain: &Path) -> OsString {
    let mut flags = OsString::from("-Ctarget-feature=+crt-static");
    if target == GNU {
        // The linker derives it from its own input files' names.
        flags.push("\u{1f}-Clink-arg=-Wl,--build-id=none");
    }
    for (folder, name) in [(root, "/source"), (cargo_home, "/cargo"), (toolchain, "/rust")] {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(folder);
        flags.push("=");
        flags.push(name);
    }
    flags
}

fn toolchain() -> anyhow::Result<PathBuf> {
    rustc(&["--print", "sysroot"])
}

fn rustc(arguments: &[&str]) -> anyhow::Result<PathBuf> {
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Ok(PathBuf::from(Run::new(program).args(arguments).stdout()?.trim_end()))
}

fn cargo_home() -> anyhow::Result<PathBuf> {
    let home = || std::env::home_dir().map(|home| home.join(".cargo"));
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home).context("there is no home folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_this_machine_are_renamed() {
        let [root, home, rust] = ["/a b", "/c", "/d"].map(Path::new);
        let flags = guest_flags(MUSL, root, home, rust).into_string().unwrap();
        let flags: Vec<_> = flags.split('\u{1f}').collect();
        let renamed =
            ["/a b=/source", "/c=/cargo", "/d=/rust"].map(|rule| format!("--remap-path-prefix={rule}"));
        assert_eq!(flags[0], "-Ctarget-feature=+crt-static");
        assert_eq!(flags[1..], renamed);
    }
}
