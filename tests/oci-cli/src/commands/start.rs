//! `start`: a created container executes its program.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use executor::container::Container;
use executor::container::handover::TakenOver;

use crate::guest::Guest;
use crate::options::Id;
use crate::state::{Directory, Entry, Status};
use crate::{gate, hooks, program};

pub(crate) fn run(directory: &Directory, args: &Id) -> anyhow::Result<ExitCode> {
    let entry = directory.open(&args.id)?;
    let lock = entry.lock()?;
    match entry.record()?.status()? {
        Status::Created => {}
        Status::Stopped => bail!("cannot start a container that has stopped"),
        Status::Running | Status::Paused => bail!("cannot start an already running container"),
        Status::Creating => bail!("cannot start a container that is being created"),
    }
    let gate = gate::take(&entry)?.context("somebody else starts the container")?;
    let TakenOver::Container(container) = Guest::new()?.take_over(&entry, Some(gate))? else {
        bail!("cannot start a container that has stopped");
    };
    start(&entry, &container)?;
    drop(lock);
    hooks::after_start(&entry)?;
    Ok(ExitCode::SUCCESS)
}

/// Lets the init execute its program.
pub(super) fn start(entry: &Entry, container: &Container) -> anyhow::Result<()> {
    container.start().map_err(program::of_start)?;
    let mut record = entry.record()?;
    if let Some(handover) = &mut record.handover {
        handover.note(container);
    }
    entry.save(&record)
}
