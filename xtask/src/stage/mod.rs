//! A guest for the demo and for benchmarks: in a virtual machine, or as a process of this machine.

mod cce;
pub(crate) mod container_image;
mod machine;
mod native;
mod workload;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use guest_image::Flavour;

use crate::command::{Run, repository_root};
use crate::{artifacts, packages};

pub(crate) use cce::{Answer, Cce};
use machine::Machine;
pub(crate) use machine::start as start_machine;
use native::Native;
pub(crate) use workload::{Container, Layer, build_layer, string, write_policy};

/// What a guest is launched with. All of it is the host's choice; HOST_DATA is what the tenant will compare.
pub(crate) struct Launch<'a> {
    /// Names the guest's log files.
    pub(crate) name: &'a str,
    /// The policy that is delivered.
    pub(crate) policy: &'a Path,
    /// The policy whose digest becomes HOST_DATA: the same one, unless the host cheats.
    pub(crate) host_data_of: &'a Path,
    /// Disks to attach.
    pub(crate) disks: &'a [PathBuf],
}

/// A running guest, as the host and the tenant see it. It ends when it is dropped.
pub(crate) struct Guest {
    /// Where its agent listens, for `cce host --address`.
    pub(crate) address: String,
    /// The attached disks, as the guest names them.
    pub(crate) devices: Vec<String>,
    /// The certificates of the secure processor that it runs on: VCEK, ASK, ARK.
    pub(crate) certificates: PathBuf,
    /// The root that signs them.
    pub(crate) root: PathBuf,
    /// What the tenant expects as MEASUREMENT, in hexadecimal digits.
    pub(crate) measurement: String,
    /// What MEASUREMENT covers here.
    pub(crate) measured: &'static str,
    /// How it was started.
    pub(crate) started: String,
    /// The document whose SHA-256 is HOST_DATA.
    pub(crate) host_data_document: PathBuf,
    /// Keeps the guest alive.
    pub(crate) _alive: Box<dyn std::any::Any>,
}

/// A place that can launch guests.
pub(crate) trait Stage {
    /// Launches a guest and waits until its agent answers.
    ///
    /// # Errors
    ///
    /// When it does not come up: an agent whose policy is not the one in HOST_DATA never does.
    fn launch(&self, launch: &Launch<'_>) -> anyhow::Result<Guest>;
}

/// Builds `cce`.
pub(crate) fn cce() -> anyhow::Result<Cce> {
    Run::cargo().args(["build", "--quiet", "--package", "cli"]).run()?;
    Ok(Cce { program: repository_root().join("target/debug/cce") })
}

/// Builds what virtual machines are made of.
pub(crate) fn machine() -> anyhow::Result<impl Stage + use<>> {
    artifacts::for_vm()?;
    Ok(Machine { host: vm::Host::find()? })
}

/// Builds what a guest on this machine is made of. Its files go below `dir`.
pub(crate) fn native(dir: &Path) -> anyhow::Result<impl Stage + use<>> {
    packages::ensure(packages::FOR_NATIVE)?;
    artifacts::psp_emulator()?;
    let built = artifacts::agent(Flavour::Development { psp_port: vm::PSP_PORT })?;
    // The next build of another flavour replaces the file.
    let agent = dir.join("cce-agent");
    fs::copy(&built, &agent).context("cannot copy the agent")?;
    let target = repository_root().join("target");
    Ok(Native {
        agent,
        psp: target.join("debug/psp-emulator"),
        keys: target.join("psp-keys"),
        dir: dir.to_owned(),
    })
}
