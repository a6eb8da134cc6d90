//! `run`: a container is created and started.

use std::process::ExitCode;

use executor::container::Container;

use super::create::{Created, create};
use super::foreground::Foreground;
use super::{delete, start, write_pid};
use crate::options::Run;
use crate::state::{Directory, Entry};
use crate::{hooks, terminal};

pub(crate) fn run(directory: &Directory, args: &Run) -> anyhow::Result<ExitCode> {
    let Created { guest, entry, container } = create(directory, &args.create, args.detach)?;
    let init = container.init().clone();
    let foreground = (!args.detach).then(|| Foreground::take_signals(&guest)).transpose()?;
    let started = begin(&entry, &container, args);
    // From here on it is as if another process had made it.
    drop(container.release());
    let copying = match started {
        Ok(copying) => copying,
        Err(error) => {
            delete::delete(&guest, &entry)?;
            return Err(error);
        }
    };
    hooks::after_start(&entry)?;
    let Some(foreground) = foreground else { return Ok(ExitCode::SUCCESS) };
    let code = foreground.wait(&guest, &init, copying);
    if !args.keep && entry.record().is_ok() {
        delete::delete(&guest, &entry)?;
    }
    Ok(code)
}

/// Starts the container, with the caller's terminal if it needs one and nobody else gets it.
fn begin(entry: &Entry, container: &Container, args: &Run) -> anyhow::Result<Option<terminal::Copying>> {
    let init = container.init();
    let serve = args.create.console_socket.is_none() && init.terminal().is_some();
    let copying = serve.then(|| terminal::Copying::begin(init)).transpose()?;
    write_pid(args.create.pid_file.as_deref(), init.pid())?;
    start::start(entry, container)?;
    Ok(copying)
}
