//! Pausing, resuming and limiting a container.
//!
//! Nothing of this is judged by policy: it takes nothing from a container but time and memory, which the host can take
//! in any case.

use std::io;
use std::sync::{MutexGuard, PoisonError};

use policy_engine::Permit;
use policy_engine::request::{PauseContainer, Request, ResumeContainer, UpdateContainer};

use super::{Container, Life};
use crate::cgroup::{Limit, NotSet, OomWatch};
use crate::rollback::give_back;

/// Why a container was not paused or resumed.
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// The permit is for another container.
    #[error("the permit names another container")]
    OtherContainer,
    /// The container was not started, or has ended.
    #[error("the container is not running")]
    NotRunning,
    /// The container is paused already.
    #[error("the container is paused")]
    Paused,
    /// The container is not paused.
    #[error("the container is not paused")]
    NotPaused,
    /// The kernel did not stop or resume its processes.
    #[error("the container's processes could not be stopped or resumed")]
    Freeze(#[source] io::Error),
}

/// Why limits were not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The permit is for another container.
    #[error("the permit names another container")]
    OtherContainer,
    /// The kernel refused one; those that were set before it are again as they were, unless the permit ended as
    /// *unknown*.
    #[error("the limit `{limit}` could not be set")]
    Limit {
        /// Which.
        limit: Limit,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Container {
    /// Stops its processes where they are, at most ten seconds later.
    ///
    /// # Errors
    ///
    /// [`PauseError`]. The permit ends as *untouched*: what could not be stopped goes on.
    pub fn pause(&self, permit: Permit<PauseContainer>) -> Result<(), PauseError> {
        let mut life = self.lock_life();
        let named = permit.request().container_id == *self.id();
        let paused = match &*life {
            _ if !named => Err(PauseError::OtherContainer),
            Life::Paused => Err(PauseError::Paused),
            Life::Running if self.init.try_status().is_none() => {
                self.cgroup.freeze().map_err(PauseError::Freeze)
            }
            Life::Created(_) | Life::Running => Err(PauseError::NotRunning),
        };
        settle(permit, &paused);
        if paused.is_ok() {
            *life = Life::Paused;
        }
        paused
    }

    /// Lets its processes go on.
    ///
    /// # Errors
    ///
    /// [`PauseError`]. The permit ends as *untouched*.
    pub fn resume(&self, permit: Permit<ResumeContainer>) -> Result<(), PauseError> {
        let mut life = self.lock_life();
        let named = permit.request().container_id == *self.id();
        let resumed = match &*life {
            _ if !named => Err(PauseError::OtherContainer),
            Life::Paused => self.cgroup.thaw().map_err(PauseError::Freeze),
            Life::Created(_) | Life::Running => Err(PauseError::NotPaused),
        };
        settle(permit, &resumed);
        if resumed.is_ok() {
            *life = Life::Running;
        }
        resumed
    }

    /// Sets the limits that the permit names, all or none. The result is those that this kernel does not enforce.
    ///
    /// # Errors
    ///
    /// [`UpdateError`]. The permit ends as *untouched*, or as *unknown* when some limits stay changed.
    pub fn update(&self, permit: Permit<UpdateContainer>) -> Result<Vec<Limit>, UpdateError> {
        if permit.request().container_id != *self.id() {
            permit.untouched();
            return Err(UpdateError::OtherContainer);
        }
        match self.cgroup.limit(&permit.request().resources) {
            Ok(unenforced) => {
                permit.done();
                Ok(unenforced)
            }
            Err(NotSet { limit, source, undone }) => {
                give_back(permit, undone);
                Err(UpdateError::Limit { limit, source })
            }
        }
    }

    /// Watches for processes of it that the kernel kills for want of memory. Needs the context of a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the kernel counts no memory, or cannot tell.
    pub fn watch_oom(&self) -> io::Result<OomWatch> {
        self.cgroup.watch_oom()
    }

    pub(super) fn lock_life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn settle<R: Request>(permit: Permit<R>, outcome: &Result<(), PauseError>) {
    match outcome {
        Ok(()) => drop(permit.done()),
        Err(_) => permit.untouched(),
    }
}
