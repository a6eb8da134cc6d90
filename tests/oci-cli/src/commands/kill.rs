//! `kill`: signals.

use std::process::ExitCode;

use anyhow::bail;
use executor::container::handover::TakenOver;
use policy_engine::request::SignalContainerProcess;

use crate::guest::Guest;
use crate::options::Kill;
use crate::signal;
use crate::state::{Directory, parse_id};

pub(crate) fn run(directory: &Directory, args: &Kill) -> anyhow::Result<ExitCode> {
    let entry = directory.open(&args.id)?;
    let signal = signal::parse(&args.signal)?;
    let guest = Guest::new()?;
    let taken_over = guest.take_over(&entry, None)?;
    let alive = matches!(&taken_over, TakenOver::Container(one) if one.init().try_status().is_none());
    // What its other processes do is of interest also when its init has ended.
    if !alive && !args.all {
        bail!("container not running");
    }
    let process = entry.spec()?.process().clone().unwrap_or_default();
    let permit = guest.engine.decide(SignalContainerProcess {
        container_id: parse_id(&args.id)?,
        exec_id: None,
        signal,
        all: args.all,
        args: process.args().clone().unwrap_or_default(),
    })?;
    match taken_over {
        TakenOver::Container(container) => container.signal(permit)?,
        TakenOver::Remains(remains) => remains.signal(permit)?,
    }
    Ok(ExitCode::SUCCESS)
}
