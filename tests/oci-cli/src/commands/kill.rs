//! `kill`: signals.

use std::process::ExitCode;

use executor::container::handover::TakenOver;
use policy_engine::request::SignalContainerProcess;

use crate::guest::Guest;
use crate::options::Kill;
use crate::signal;
use crate::state::Directory;

pub(crate) fn run(directory: &Directory, args: &Kill) -> anyhow::Result<ExitCode> {
    let entry = directory.open(&args.id)?;
    let signal = signal::parse(&args.signal)?;
    let guest = Guest::new()?;
    let container = match guest.take_over(&entry, None)? {
        // What its other processes do is of interest also when its init has ended.
        TakenOver::Container(container) if args.all || container.init().try_status().is_none() => container,
        TakenOver::Remains(_) if args.all => return Ok(ExitCode::SUCCESS),
        TakenOver::Container(_) | TakenOver::Remains(_) => anyhow::bail!("container not running"),
    };
    let request = SignalContainerProcess {
        container_id: container.id().clone(),
        exec_id: None,
        signal,
        all: args.all,
        args: container.init().args().to_vec(),
    };
    container.signal(guest.engine.decide(request)?)?;
    Ok(ExitCode::SUCCESS)
}
