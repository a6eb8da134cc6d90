//! Who is who in a bind mount of a container: a user namespace that nobody lives in.
//!
//! The kernel takes the mapping of a mount from a user namespace. A process is born in a new one, its ids are mapped, and
//! it ends when the agent has opened it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use policy_engine::request::linux::IdMappings;
use rustix::thread::ThreadNameSpaceType as NamespaceKinds;

use super::outside;
use super::plan::Plan;
use super::process::Exit;
use super::spawn::{KILL_TIMEOUT, Remnant};
use crate::launcher::channel::Channel;
use crate::launcher::protocol::{Birth, Kind, Order};
use crate::launcher::{LaunchError, Launcher};

/// Why there is no user namespace for a mount.
#[derive(Debug, thiserror::Error)]
pub enum IdMapError {
    /// Its process could not be prepared.
    #[error("a process could not be prepared")]
    Prepare(#[source] io::Error),
    /// Its process was not started.
    #[error("a process was not started")]
    Launch(#[source] LaunchError),
    /// The kernel does not take the mapping.
    #[error("the ids could not be mapped")]
    Map(#[source] io::Error),
    /// Its process did not end.
    #[error("a process did not end")]
    End(#[source] io::Error),
}

/// Makes a user namespace with these mappings. Its process, in `cgroup`, is gone when this returns.
pub(super) fn user_namespace(
    launcher: &Launcher,
    cgroup: BorrowedFd<'_>,
    mappings: &IdMappings,
) -> Result<OwnedFd, IdMapError> {
    let memory = Plan::UserNamespace.seal().map_err(IdMapError::Prepare)?;
    let (ours, theirs) = Channel::pair().map_err(IdMapError::Prepare)?;
    let birth = Birth { new: NamespaceKinds::USER, joined: NamespaceKinds::empty() };
    let order = Order::Process(Kind::Init(birth));
    let registration = launcher.hold_registry();
    let launched = launcher.launch(&registration, order, &[memory.as_fd(), theirs.as_fd(), cgroup]);
    drop(theirs);
    let (pid, pidfd) = match launched {
        Ok(launched) => launched,
        Err(error) => {
            Remnant::Nameless(ours).end().map_err(IdMapError::End)?;
            return Err(IdMapError::Launch(error));
        }
    };
    let exit = Arc::new(Exit::new(pidfd));
    registration.add(pid, Arc::downgrade(&exit));
    let namespace = exit.unless_collected(|| {
        outside::map(pid, mappings)?;
        File::open(format!("/proc/{}/ns/user", pid.as_raw_nonzero()))
    });
    exit.end(KILL_TIMEOUT).map_err(IdMapError::End)?;
    namespace.map(OwnedFd::from).map_err(IdMapError::Map)
}
