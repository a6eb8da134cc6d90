//! Running the hooks of a container, in the process that becomes its init.
//!
//! A hook is a child of that process, in its namespaces. It has the container's state on standard input, the null device
//! as output, and no other descriptor.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::vec::IntoIter;

use nix::sys::signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::{filter, program};
use crate::container::hooks::{HookPlan, HooksPlan, State, Status};
use crate::container::plan::ProcessPlan;
use crate::container::report::{AtStep as _, Failure, Step};
use crate::sys::descriptors::close_on_exec_from;
use crate::sys::process::{Cloned, SingleThreaded, clone_child, exit};

/// The exit code of a hook whose program was not executed, as shells have it.
const EXIT_CODE: u8 = 127;

/// The hooks of the container, and what they need.
#[derive(Debug)]
pub(super) struct Hooks<'a> {
    token: &'a SingleThreaded,
    plan: &'a HooksPlan,
    /// There when there are hooks.
    null: Option<OwnedFd>,
    /// The guest's directory tree, for hooks that are programs of the guest's.
    guest: Option<OwnedFd>,
}

impl<'a> Hooks<'a> {
    /// Takes the descriptors that come with the plan.
    pub(super) fn new(
        token: &'a SingleThreaded,
        plan: &'a HooksPlan,
        descriptors: &mut IntoIter<OwnedFd>,
    ) -> Result<Self, Failure> {
        let mut next = |wanted: bool| match (wanted, wanted.then(|| descriptors.next()).flatten()) {
            (true, None) => Err(Errno::BADF).at(Step::Plan),
            (_, descriptor) => Ok(descriptor),
        };
        let at_creation = !plan.create_container.is_empty();
        let null = next(at_creation || !plan.start_container.is_empty())?;
        Ok(Self { token, plan, null, guest: next(at_creation)? })
    }

    /// Runs the hooks of the guest's that come before the root is exchanged.
    ///
    /// The guest's directory tree is no part of the container's mounts; a hook has it as its root. What a hook leaves
    /// running is killed: the container could reach the guest's files through it (`/proc/<pid>/root`).
    pub(super) fn create_container(&mut self) -> Result<(), Failure> {
        let Some(guest) = self.guest.take() else { return Ok(()) };
        let bundle = if self.plan.state.bundle.is_empty() { "/" } else { &self.plan.state.bundle };
        let enter = || {
            rustix::process::fchdir(&guest)?;
            rustix::process::chroot(".")?;
            rustix::process::chdir(bundle)
        };
        for hook in &self.plan.create_container {
            self.run(hook, Status::Creating, || enter().at(Step::Hook)).on(Step::Hook, &hook.path)?;
        }
        end_descendants().at(Step::Hook)
    }

    /// Runs the hooks of the container's, with the rights of its program and behind its filter.
    pub(super) fn start_container(&self, process: &ProcessPlan) -> Result<(), Failure> {
        for hook in &self.plan.start_container {
            self.run(hook, Status::Created, || filter::install(process)).on(Step::Hook, &hook.path)?;
        }
        Ok(())
    }

    /// Runs a hook to its end. `prepare` is the last thing that its process does itself.
    fn run(
        &self,
        hook: &HookPlan,
        status: Status,
        prepare: impl FnOnce() -> Result<(), Failure>,
    ) -> io::Result<()> {
        let null = self.null.as_ref().ok_or(Errno::BADF)?;
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let input = memory(&self.plan.state.at(status, pid))?;
        match clone_child(self.token)? {
            Cloned::Child => {
                // Nobody is told why: the exit code says that there was no program.
                let _ = execute(hook, &input, null.as_fd(), prepare);
                exit(EXIT_CODE)
            }
            Cloned::Parent { pidfd, .. } => wait(pidfd.as_fd(), hook.timeout_s),
        }
    }
}

/// What a hook reads.
fn memory(state: &State) -> io::Result<File> {
    let mut memory = File::from(memfd_create("state", MemfdFlags::CLOEXEC)?);
    memory.write_all(&serde_json::to_vec(state)?)?;
    memory.rewind()?;
    Ok(memory)
}

/// Becomes the hook.
fn execute(
    hook: &HookPlan,
    input: &File,
    null: BorrowedFd<'_>,
    prepare: impl FnOnce() -> Result<(), Failure>,
) -> io::Result<()> {
    let texts = |texts: &[String]| {
        texts.iter().map(|text| CString::new(text.as_str())).collect::<Result<Vec<_>, _>>()
    };
    let (path, args, env) = (CString::new(hook.path.as_str())?, texts(&hook.args)?, texts(&hook.env)?);
    dup2_stdin(input)?;
    dup2_stdout(null)?;
    dup2_stderr(null)?;
    close_on_exec_from(3)?;
    prepare().map_err(|failure| io::Error::from_raw_os_error(failure.errno))?;
    program::find(&path)?;
    let Err(errno) = nix::unistd::execve(&path, &args, &env);
    Err(errno.into())
}

/// Waits for the end of a hook, and makes it end when its time is over.
fn wait(pidfd: BorrowedFd<'_>, timeout_s: u32) -> io::Result<()> {
    let timeout = Timespec { tv_sec: timeout_s.into(), tv_nsec: 0 };
    let ready = poll(&mut [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)], Some(&timeout));
    if !matches!(ready, Ok(1)) {
        pidfd_send_signal(pidfd, Signal::KILL)?;
    }
    let status = waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED)?;
    match ready {
        Ok(1) if status.and_then(|status| status.exit_status()) == Some(0) => Ok(()),
        Ok(1) => Err(Errno::CANCELED.into()),
        Ok(_) => Err(Errno::TIMEDOUT.into()),
        Err(errno) => Err(errno.into()),
    }
}

/// Kills all other processes of the pid namespace, which is the container's own, and collects them.
fn end_descendants() -> io::Result<()> {
    if !rustix::process::getpid().is_init() {
        return Err(Errno::INVAL.into());
    }
    match signal::kill(nix::unistd::Pid::from_raw(-1), signal::Signal::SIGKILL) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
        Err(errno) => return Err(errno.into()),
    }
    loop {
        match waitid(WaitId::All, WaitIdOptions::EXITED) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::CHILD) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
}
