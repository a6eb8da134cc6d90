//! Commands, run by a thread that may have mounts of its own: its children have the same.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::cgroups;

/// How long commands that are run at once may take before they count as hanging.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Programs with their arguments, to be run at once.
type Calls = Vec<Vec<String>>;
/// Milliseconds until all have ended, or what one that failed said.
type Outcome = Result<f64, String>;

/// The thread.
pub(crate) struct Commands(Sender<(Calls, Sender<Outcome>)>);

impl Commands {
    /// Starts the thread; cgroups of version 2 may be out of its sight.
    pub(crate) fn new(hide_unified: bool) -> Self {
        let (sender, receiver) = channel::<(Calls, Sender<Outcome>)>();
        std::thread::spawn(move || {
            if hide_unified {
                cgroups::leave_legacy_alone();
            }
            for (calls, reply) in receiver {
                let _ = reply.send(time(&calls));
            }
        });
        Self(sender)
    }

    /// Runs commands at once.
    pub(crate) fn run(&self, calls: Calls) -> Outcome {
        let (sender, receiver) = channel();
        self.0.send((calls, sender)).unwrap();
        receiver.recv().unwrap()
    }
}

fn time(calls: &Calls) -> Outcome {
    let began = Instant::now();
    let children: Vec<_> = calls.iter().map(|call| spawn(call)).collect();
    let left = || TIMEOUT.saturating_sub(began.elapsed());
    let ended: Vec<_> =
        children.into_iter().map(|child| child.and_then(|child| finish(child, left()))).collect();
    let took_ms = began.elapsed().as_secs_f64() * 1e3;
    ended.into_iter().collect::<Result<(), _>>().map(|()| took_ms)
}

fn spawn(call: &[String]) -> Result<Child, String> {
    #[expect(clippy::disallowed_methods, reason = "this runs on a developer's machine, not in the guest")]
    let mut command = Command::new(&call[0]);
    command.args(&call[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().map_err(|error| error.to_string())
}

fn finish(mut child: Child, timeout: Duration) -> Result<(), String> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).unwrap();
    let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let timeout: Timespec = timeout.try_into().unwrap();
    if poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)) != Ok(1) {
        child.kill().unwrap();
        child.wait().unwrap();
        return Err("it hangs".to_owned());
    }
    if child.wait().unwrap().success() {
        return Ok(());
    }
    let mut said = String::new();
    child.stderr.unwrap().read_to_string(&mut said).unwrap();
    Err(said.trim_end().to_owned())
}
