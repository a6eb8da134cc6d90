//! `delete`: nothing is left of a container.

use std::process::ExitCode;

use anyhow::bail;
use executor::container::handover::TakenOver;
use policy_engine::request::ShutdownContainer;

use crate::guest::Guest;
use crate::options::Delete;
use crate::state::{Directory, Entry, Status, parse_id};
use crate::{hooks, shared_mounts};

pub(crate) fn run(directory: &Directory, args: &Delete) -> anyhow::Result<ExitCode> {
    let entry = match directory.open(&args.id) {
        Ok(entry) => entry,
        Err(_) if args.force && parse_id(&args.id).is_ok() => return Ok(ExitCode::SUCCESS),
        Err(error) => return Err(error),
    };
    if args.force && entry.record().is_err() {
        // What made it has ended over that.
        entry.remove()?;
        return Ok(ExitCode::SUCCESS);
    }
    let _lock = entry.lock()?;
    match entry.record()?.status()? {
        Status::Created | Status::Stopped => {}
        Status::Creating | Status::Running | Status::Paused if args.force => {}
        status => bail!("cannot delete container {} that is not stopped: {}", args.id, status.name()),
    }
    delete(&Guest::new()?, &entry)?;
    Ok(ExitCode::SUCCESS)
}

/// Kills what runs and removes everything.
pub(super) fn delete(guest: &Guest, entry: &Entry) -> anyhow::Result<()> {
    let record = entry.record()?;
    if record.handover.is_some() {
        let taken_over = guest.take_over(entry, None)?;
        let permit = guest.engine.decide(ShutdownContainer { container_id: parse_id(&record.id)? })?;
        match taken_over {
            TakenOver::Container(container) => container.remove(permit)?,
            TakenOver::Remains(remains) => remains.remove(permit)?,
        }
    }
    let spec = entry.spec()?;
    shared_mounts::take_root(&spec, &record.rootfs)?;
    entry.remove()?;
    hooks::after_stop(&record, &spec);
    Ok(())
}
