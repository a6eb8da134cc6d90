//! Waiting for a process on behalf of the caller.

use std::process::ExitCode;

use executor::container::Process;
use policy_engine::request::Signal;
use tokio::signal::unix::{self, SignalKind};

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

/// Signals of the caller that wait to be passed on.
pub(super) struct Foreground {
    received: Vec<(i32, unix::Signal)>,
    resized: unix::Signal,
}

impl Foreground {
    /// Takes signals from here on. This comes before there is a process, so that none is lost or ends this one.
    pub(super) fn take_signals(guest: &Guest) -> anyhow::Result<Self> {
        let _context = guest.runtime.enter();
        let receive = |number: i32| anyhow::Ok((number, unix::signal(SignalKind::from_raw(number))?));
        let received = PASSED_ON.into_iter().map(receive).collect::<anyhow::Result<_>>()?;
        Ok(Self { received, resized: unix::signal(SignalKind::window_change())? })
    }

    /// Waits for the end of a process. The result is its exit code.
    pub(super) fn wait(self, guest: &Guest, process: &Process, copying: Option<Copying>) -> ExitCode {
        let code = guest.runtime.block_on(async {
            for (number, mut received) in self.received {
                let process = process.clone();
                tokio::spawn(async move {
                    while received.recv().await.is_some() {
                        pass_on(&process, number);
                    }
                });
            }
            let (mut resized, resizing) = (self.resized, process.clone());
            if copying.is_some() {
                tokio::spawn(async move {
                    while resized.recv().await.is_some() {
                        fit(&resizing);
                    }
                });
            }
            process.wait().await
        });
        if let Some(copying) = copying {
            copying.end();
        }
        ExitCode::from(u8::try_from(code.get()).unwrap_or(u8::MAX))
    }
}

fn pass_on(process: &Process, number: i32) {
    if let Some(signal) = u32::try_from(number).ok().and_then(Signal::new) {
        // One that has ended needs none.
        let _ = process.signal(signal);
    }
}
