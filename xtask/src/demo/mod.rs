//! `cargo xtask demo`: the whole story in two minutes, on real parts.

mod story;

use std::fs;
use std::time::Instant;

use anyhow::Context as _;

use crate::command::repository_root;
use crate::stage::{self, Stage};

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
    let dir = repository_root().join("target/demo");
    fs::create_dir_all(&dir).context("cannot create the demo's directory")?;
    let cce = stage::cce()?;
    let stage: Box<dyn Stage> =
        if args.native { Box::new(stage::native(&dir)?) } else { Box::new(stage::machine()?) };
    let began = Instant::now();
    Story { cce, stage: &*stage, dir }.tell()?;
    println!("\nThe end, after {:.0} s.", began.elapsed().as_secs_f32());
    Ok(())
}
