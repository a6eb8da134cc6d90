//! Further processes in a container.

use std::os::fd::{AsFd as _, OwnedFd};

use policy_engine::Permit;
use policy_engine::request::ExecInContainer;
use policy_engine::request::linux::Namespace;
use rustix::fs::{Mode, OFlags};

use super::namespaces::{self, Files};
use super::outside::FromOutside;
use super::plan::Plan;
use super::spawn::{Company, Failed, Remnant, execute, spawn};
use super::{Container, Life, PlanError, Process, SpawnError, compile};
use crate::launcher::Launcher;
use crate::rollback::give_back;
use crate::stdio::{GivenStreams, StreamAccess};

/// The most processes that are executed in a container and not [forgotten](Container::forget).
const EXECS_MAX: usize = 1024;

/// Why no process was executed.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The permit is for another container.
    #[error("the permit names another container")]
    OtherContainer,
    /// The container was not started, or has ended.
    #[error("the container is not running")]
    NotRunning,
    /// The container is paused: a new process would be born stopped.
    #[error("the container is paused")]
    Paused,
    /// The id is in use.
    #[error("the container has a process of this id")]
    Exists,
    /// There are 1,024 already.
    #[error("the container has {EXECS_MAX} executed processes")]
    TooMany,
    /// The request is not one that can be carried out.
    #[error("the process cannot be made as asked")]
    Plan(#[source] PlanError),
    /// It did not come to be, or not to its program.
    #[error("the process did not come to be")]
    Spawn(#[source] SpawnError),
}

impl Container {
    /// Executes the process that the permit names in the container.
    ///
    /// # Errors
    ///
    /// [`ExecError`]. The permit ends as *untouched*, or as *unknown* when a failed process did not end.
    pub fn exec(&self, launcher: &Launcher, permit: Permit<ExecInContainer>) -> Result<Process, ExecError> {
        self.exec_with(launcher, permit, None)
    }

    /// As [`exec`](Self::exec), with these standard streams instead of pipes of the agent's. It has a terminal in any
    /// case if it asks for one.
    ///
    /// # Errors
    ///
    /// As [`exec`](Self::exec).
    pub fn exec_with(
        &self,
        launcher: &Launcher,
        permit: Permit<ExecInContainer>,
        streams: Option<&GivenStreams>,
    ) -> Result<Process, ExecError> {
        if let Err(error) = self.reserve(permit.request()) {
            permit.untouched();
            return Err(error);
        }
        let made = self.make_exec(launcher, permit.request(), streams);
        let mut execs = self.lock_execs();
        let exec_id = &permit.request().exec_id;
        match made {
            Ok(process) => {
                execs.insert(exec_id.clone(), Some(process.clone()));
                permit.done();
                Ok(process)
            }
            Err(Unmade { error, undone }) => {
                execs.remove(exec_id);
                give_back(permit, undone);
                Err(error)
            }
        }
    }

    /// Takes the id of the new process, if it may be made: of two requests with one id, one fails.
    fn reserve(&self, request: &ExecInContainer) -> Result<(), ExecError> {
        if request.container_id != *self.id() {
            return Err(ExecError::OtherContainer);
        }
        if self.init.try_status().is_some() {
            return Err(ExecError::NotRunning);
        }
        match *self.lock_life() {
            Life::Running => {}
            Life::Paused => return Err(ExecError::Paused),
            Life::Created(_) => return Err(ExecError::NotRunning),
        }
        let mut execs = self.lock_execs();
        if execs.contains_key(&request.exec_id) {
            return Err(ExecError::Exists);
        }
        if execs.len() >= EXECS_MAX {
            return Err(ExecError::TooMany);
        }
        execs.insert(request.exec_id.clone(), None);
        Ok(())
    }

    fn make_exec(
        &self,
        launcher: &Launcher,
        request: &ExecInContainer,
        streams: Option<&GivenStreams>,
    ) -> Result<Process, Unmade> {
        let allowed = self.request().allow_stdio_access;
        let access = StreamAccess::new(allowed, streams);
        let mut plan = compile::process(&request.process, &[], self.request(), false)
            .map_err(|error| Unmade { error: ExecError::Plan(error), undone: true })?;
        let namespaces = &self.request().linux.namespaces;
        let outside = FromOutside::take(&mut plan, namespaces, false);
        plan.further = access.numbers();
        let root = self.detached_root().map_err(|error| Unmade { error, undone: true })?;
        let files = if root.is_some() { Files::Detached } else { Files::Attached };
        let plan = Plan::Exec(namespaces::of_exec(namespaces).bits(), files, plan);
        let mut descriptors = vec![self.init.exit().as_fd()];
        descriptors.extend(root.as_ref().map(OwnedFd::as_fd));
        let company = Company { outside: outside.as_ref(), ..Company::default() };
        let (error, remnant) = match spawn(launcher, &plan, &self.cgroup, &descriptors, access, company) {
            Ok((process, channel)) => match execute(process.exit(), &channel) {
                Ok(()) => return Ok(process),
                Err(error) => (error, Remnant::Child(process.into_exit())),
            },
            Err(Failed { error, remnant }) => (error, remnant),
        };
        Err(Unmade { error: ExecError::Spawn(error), undone: remnant.end().is_ok() })
    }
}

impl Container {
    /// The root of a container that is in the guest's mount namespace, where no path leads to it.
    fn detached_root(&self) -> Result<Option<OwnedFd>, ExecError> {
        if self.request().linux.namespaces.mount != Namespace::Guest {
            return Ok(None);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(format!("/proc/{}/root", self.init.pid()), flags, Mode::empty());
        // Only what was opened while the init lives was its root.
        match root {
            Ok(root) if self.init.try_status().is_none() => Ok(Some(root)),
            _ => Err(ExecError::NotRunning),
        }
    }
}

/// A process that did not come to be.
struct Unmade {
    error: ExecError,
    undone: bool,
}
