//! Waiting for a process on behalf of the caller.

use std::process::ExitCode;

use executor::container::Process;
use policy_engine::request::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::guest::Guest;
use crate::terminal::{Copying, fit};

/// Signals that are passed on to the process.
const PASSED_ON: [i32; 8] = {
    use nix::sys::signal::Signal as Name;
    [
        Name::SIGHUP as i32,
        Name::SIGINT as i32,
        Name::SIGQUIT as i32,
        Name::SIGTERM as i32,
        Name::SIGUSR1 as i32,
        Name::SIGUSR2 as i32,
        Name::SIGCONT as i32,
        Name::SIGTSTP as i32,
    ]
};

/// Waits for the end of a process, passing signals on to it. The result is its exit code.
pub(super) fn wait(guest: &Guest, process: &Process, copying: Option<Copying>) -> anyhow::Result<ExitCode> {
    let code = guest.runtime.block_on(async {
        for number in PASSED_ON {
            let mut received = signal(SignalKind::from_raw(number))?;
            let process = process.clone();
            tokio::spawn(async move {
                while received.recv().await.is_some() {
                    pass_on(&process, number);
                }
            });
        }
        if copying.is_some() {
            let mut resized = signal(SignalKind::window_change())?;
            let process = process.clone();
            tokio::spawn(async move {
                while resized.recv().await.is_some() {
                    fit(&process);
                }
            });
        }
        anyhow::Ok(process.wait().await)
    })?;
    if let Some(copying) = copying {
        copying.end();
    }
    Ok(ExitCode::from(u8::try_from(code.get()).unwrap_or(u8::MAX)))
}

fn pass_on(process: &Process, number: i32) {
    if let Some(signal) = u32::try_from(number).ok().and_then(Signal::new) {
        // One that has ended needs none.
        let _ = process.signal(signal);
    }
}
