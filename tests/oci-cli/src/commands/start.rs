//! `start`: a created container executes its program.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use executor::container::handover::TakenOver;
use executor::container::{Container, SpawnError, Step};

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
    let started = start(&entry, &container);
    drop(lock);
    // As with runc, whose container counts as started before its own hooks run.
    if started.as_ref().err().is_none_or(is_of_hook) {
        hooks::after_start(&entry)?;
    }
    started.map(|()| ExitCode::SUCCESS)
}

/// Whether a hook of the container's failed.
fn is_of_hook(error: &anyhow::Error) -> bool {
    let hook = |error: &SpawnError| matches!(error, SpawnError::Setup { step: Step::Hook, .. });
    error.chain().filter_map(|cause| cause.downcast_ref()).any(hook)
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
