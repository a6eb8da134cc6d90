//! `cargo xtask demo`: the whole story in two minutes, on real parts.

mod cce;
mod container_image;
mod machine;
mod native;
mod stage;
mod story;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use guest_image::Flavour;

use crate::command::{Run, repository_root};
use crate::{artifacts, packages};

use cce::Cce;
use machine::Machine;
use native::Native;
use stage::Stage;
use story::Story;

/// Arguments of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Tell the story without a virtual machine
    #[arg(long)]
    native: bool,
}

/// Builds what the story needs and tells it.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    println!("== Getting ready (the first time takes minutes)");
    let target = repository_root().join("target");
    let dir = target.join("demo");
    fs::create_dir_all(&dir).context("cannot create the demo's directory")?;
    packages::ensure(packages::FOR_IMAGE)?;
    Run::cargo().args(["build", "--quiet", "--package", "cli"]).run()?;
    let stage: Box<dyn Stage> =
        if args.native { Box::new(native(&target, &dir)?) } else { Box::new(machine()?) };
    let began = Instant::now();
    let story = Story { cce: Cce { program: target.join("debug/cce") }, stage: &*stage, dir };
    story.tell()?;
    println!("\nThe end, after {:.0} s.", began.elapsed().as_secs_f32());
    Ok(())
}

fn machine() -> anyhow::Result<Machine> {
    artifacts::for_vm()?;
    Ok(Machine { host: vm::Host::find()? })
}

fn native(target: &Path, dir: &Path) -> anyhow::Result<Native> {
    packages::ensure(packages::FOR_NATIVE)?;
    artifacts::psp_emulator()?;
    let built = artifacts::agent(Flavour::Development { psp_port: vm::PSP_PORT })?;
    // The next build of another flavour replaces the file.
    let agent: PathBuf = dir.join("cce-agent");
    fs::copy(&built, &agent).context("cannot copy the agent")?;
    Ok(Native {
        agent,
        psp: target.join("debug/psp-emulator"),
        keys: target.join("psp-keys"),
        dir: dir.to_owned(),
    })
}
