//! Work on disks of the host's, for which nobody waits without end.
//!
//! A disk may never answer, and a thread that waits for one in the kernel cannot be called back. So whatever may have
//! to wait for a disk has a thread of its own, and makes nothing that anybody else sees. Who asked for it waits a
//! while and goes on without. Should the disk answer after all, the thread undoes what it has made.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, SendError, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::rollback::Rollback;

/// How long one look for an answer takes. Looks are counted: the host owns the clock, and may set it forward.
const PAUSE: Duration = Duration::from_millis(100);
/// The most threads that wait for disks after everybody else stopped waiting.
const LEFT_MAX: usize = 8;

/// That of this process.
pub(crate) static DISK_WORK: DiskWork = DiskWork::new();

/// Why work on a disk has no result.
#[derive(Debug, thiserror::Error)]
pub enum SilentDiskError {
    /// The disk took too long.
    #[error("{disk} does not answer")]
    Silent {
        /// The disk.
        disk: String,
    },
    /// The disk took too long before, and has not answered since. Nothing more is asked of it.
    #[error("{disk} has not answered an earlier request")]
    StillSilent {
        /// The disk.
        disk: String,
    },
    /// Too many disks took too long.
    #[error("{LEFT_MAX} requests to disks have not been answered")]
    TooMany,
    /// No thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// The thread ended without a result.
    #[error("the work on {disk} was broken off")]
    BrokenOff {
        /// The disk.
        disk: String,
    },
}

impl From<SilentDiskError> for io::Error {
    fn from(error: SilentDiskError) -> Self {
        Self::new(io::ErrorKind::TimedOut, error)
    }
}

/// For how long somebody waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    looks: u32,
}

impl Patience {
    /// For a few blocks of a disk: half a minute. Disks that are there answer within milliseconds; storage that moves to
    /// another machine, within seconds.
    pub(crate) const FEW_BLOCKS: Self = Self { looks: 300 };
    /// For what is read or written all over a disk: five minutes.
    pub(crate) const WHOLE_DISK: Self = Self { looks: 3000 };
}

/// Work on disks, and the threads of it that nobody waits for any more, each by the disk that it waits for.
#[derive(Debug)]
pub(crate) struct DiskWork(Mutex<Vec<String>>);

impl DiskWork {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Makes something that stands on `disk`, by steps that are undone when they fail, or when they come too late. How to
    /// undo what was made is added to `rollback`. A disk that has not answered before is not asked.
    pub(crate) fn make<T, E>(
        &'static self,
        disk: &str,
        patience: Patience,
        rollback: &mut Rollback,
        work: impl FnOnce(&mut Rollback) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<SilentDiskError> + Send + 'static,
    {
        if self.disks().iter().any(|silent| silent == disk) {
            return Err(SilentDiskError::StillSilent { disk: disk.to_owned() }.into());
        }
        let name = disk.to_owned();
        let outcome = self.wait(disk, patience, |answer| {
            move || {
                let mut steps = Rollback::default();
                let outcome = match work(&mut steps) {
                    Ok(made) => Ok((made, steps)),
                    Err(error) => Err((error, steps.undo())),
                };
                let is_undone = match answer.send(outcome) {
                    Ok(()) => return,
                    Err(SendError(Ok((made, steps)))) => {
                        // What is open keeps what lies below it.
                        drop(made);
                        steps.undo()
                    }
                    Err(SendError(Err((_, is_undone)))) => is_undone,
                };
                // A disk on which something is left is never asked again.
                if is_undone {
                    self.forget(&name);
                }
            }
        });
        match outcome? {
            Ok((made, steps)) => {
                let disk = disk.to_owned();
                let undo = || if steps.undo() { Ok(()) } else { Err(io::ErrorKind::ResourceBusy.into()) };
                rollback.add(move || self.take_down(&disk, patience, undo));
                Ok(made)
            }
            Err((error, is_undone)) => {
                if !is_undone {
                    rollback.add(|| Err(io::ErrorKind::ResourceBusy.into()));
                }
                Err(error)
            }
        }
    }

    /// Takes down what stands on `disk`. If the disk is silent it is not known what is left, and the thread goes on.
    pub(crate) fn take_down<T, E>(
        &'static self,
        disk: &str,
        patience: Patience,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<SilentDiskError> + Send + 'static,
    {
        let name = disk.to_owned();
        self.wait(disk, patience, |answer| {
            move || {
                if answer.send(work()).is_err() {
                    self.forget(&name);
                }
            }
        })?
    }

    /// Runs on a thread what `job` makes of the place for the answer, and waits for the answer.
    ///
    /// The place has no room: an answer is taken or comes back to the thread, and none is lost in between.
    fn wait<A: Send + 'static, Job: FnOnce() + Send + 'static>(
        &'static self,
        disk: &str,
        patience: Patience,
        job: impl FnOnce(SyncSender<A>) -> Job,
    ) -> Result<A, SilentDiskError> {
        if self.disks().len() >= LEFT_MAX {
            return Err(SilentDiskError::TooMany);
        }
        let (answer, answered) = sync_channel(0);
        let thread = std::thread::Builder::new().name("disk".to_owned());
        thread.spawn(job(answer)).map_err(SilentDiskError::Thread)?;
        for _ in 0..patience.looks {
            match answered.recv_timeout(PAUSE) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(SilentDiskError::BrokenOff { disk: disk.to_owned() });
                }
            }
        }
        // Before the thread can learn that nobody waits.
        self.disks().push(disk.to_owned());
        drop(answered);
        Err(SilentDiskError::Silent { disk: disk.to_owned() })
    }

    /// One thread less waits for the disk.
    fn forget(&self, disk: &str) {
        let mut disks = self.disks();
        if let Some(position) = disks.iter().position(|silent| silent == disk) {
            disks.swap_remove(position);
        }
    }

    fn disks(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
