//! `pause` and `resume`.

use std::process::ExitCode;

use executor::container::{Container, PauseError};
use policy_engine::request::{PauseContainer, ResumeContainer};

use crate::guest::Guest;
use crate::options::Id;
use crate::state::Directory;

pub(crate) fn run(directory: &Directory, args: &Id) -> anyhow::Result<ExitCode> {
    change(directory, args, |guest, container| {
        let request = PauseContainer { container_id: container.id().clone() };
        Ok(container.pause(guest.engine.decide(request)?))
    })
}

pub(crate) fn resume(directory: &Directory, args: &Id) -> anyhow::Result<ExitCode> {
    change(directory, args, |guest, container| {
        let request = ResumeContainer { container_id: container.id().clone() };
        Ok(container.resume(guest.engine.decide(request)?))
    })
}

fn change(
    directory: &Directory,
    args: &Id,
    act: impl FnOnce(&Guest, &Container) -> anyhow::Result<Result<(), PauseError>>,
) -> anyhow::Result<ExitCode> {
    let entry = directory.open(&args.id)?;
    let _lock = entry.lock()?;
    let guest = Guest::new()?;
    let container = guest.take_over_living(&entry)?;
    act(&guest, &container)??;
    let mut record = entry.record()?;
    if let Some(handover) = &mut record.handover {
        handover.note(&container);
    }
    entry.save(&record)?;
    Ok(ExitCode::SUCCESS)
}
