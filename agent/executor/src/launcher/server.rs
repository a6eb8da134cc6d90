//! The launcher process: a loop that starts one process for each order. One order is for a copy of itself, which serves
//! a channel of its own.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::libc;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::DumpableBehavior;
use rustix::thread::ThreadNameSpaceType as NamespaceKinds;

use super::channel::Channel;
use super::home::Home;
use super::protocol::{Birth, Kind, LaunchStep, Order, Reply};
use super::refuge;
use crate::container::setup::{self, Inheritance};
use crate::sys::descriptors::close_all_but;
use crate::sys::process::{Cloned, SingleThreaded, clone_sibling};
use crate::sys::signals;

/// Serves orders until the agent closes its end. The result is the exit code of the process.
pub(super) fn run(token: &SingleThreaded, mut orders: Channel) -> u8 {
    let home = settle_in(token, &orders);
    // The agent waits for this.
    let ready = match &home {
        Ok(_) => Reply::Started(rustix::process::getpid()),
        Err(error) => Reply::Failed(LaunchStep::Namespace, error.raw_os_error().unwrap_or(libc::EIO)),
    };
    let (Ok(()), Ok(mut home)) = (orders.send(&ready.encode(), &[]), home) else {
        return 1;
    };
    while let Ok(Some((bytes, mut descriptors))) = orders.receive() {
        // Each order brings the channel for its reply, so that nobody waits for the reply to another's.
        if descriptors.is_empty() {
            return 1;
        }
        let replies = Channel::from_descriptor(descriptors.remove(0));
        let (reply, pidfd) = match serve(token, &mut home, &bytes, descriptors) {
            Ok(Started::Process(kind, inheritance)) => {
                // What is the launcher's stays the launcher's.
                drop((orders, replies, home));
                setup::run(token, kind, inheritance)
            }
            Ok(Started::Launcher(own_orders)) => {
                orders = own_orders;
                continue;
            }
            Ok(Started::Parent(reply, pidfd)) => (reply, Some(pidfd)),
            Err((step, error)) => {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                (Reply::Failed(step, errno), None)
            }
        };
        let pidfd: Vec<BorrowedFd<'_>> = pidfd.iter().map(|pidfd| pidfd.as_fd()).collect();
        // Without a way back the launcher ends: the next container would start inside this one.
        let back = home.come_back();
        if replies.send(&reply.encode(), &pidfd).is_err() || back.is_err() {
            return 1;
        }
    }
    0
}

/// Gives up all that the launcher has of the agent but its namespaces.
fn settle_in(token: &SingleThreaded, orders: &Channel) -> io::Result<Home> {
    // Nothing of this process, nor of its children before they execute a program, can be read or traced, also not
    // through `/proc/<pid>/exe`, which is the agent's binary (CVE-2019-5736).
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_name(c"launcher")?;
    // Modes of what is made for a container are as they are written.
    rustix::process::umask(Mode::empty());
    close_all_but(token, orders.as_fd().as_raw_fd().unsigned_abs())?;
    // The agent ends it by closing the socket; a signal to the agent's process group is not for it. The processes that
    // it makes start with the kernel's dispositions.
    signals::block_all()?;
    signals::reset_dispositions()?;
    let home = Home::remember()?;
    refuge::enter()?;
    Ok(home)
}

/// Which side of a clone this is, with what it needs.
enum Started {
    Process(Kind, Inheritance),
    /// Its end of its channel to the agent.
    Launcher(Channel),
    Parent(Reply, OwnedFd),
}

fn invalid() -> (LaunchStep, io::Error) {
    (LaunchStep::Order, Errno::INVAL.into())
}

fn serve(
    token: &SingleThreaded,
    home: &mut Home,
    bytes: &[u8],
    descriptors: Vec<OwnedFd>,
) -> Result<Started, (LaunchStep, io::Error)> {
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next().ok_or_else(invalid);
    match Order::decode(bytes).ok_or_else(invalid)? {
        Order::Launcher => {
            let orders = Channel::from_descriptor(next()?);
            clone(token, NamespaceKinds::empty(), None, || Started::Launcher(orders))
        }
        Order::Process(kind) => {
            let (plan, channel, cgroup) = (next()?, Channel::from_descriptor(next()?), next()?);
            let new = match kind {
                Kind::Init(birth) => {
                    for kind in Birth::JOINED.into_iter().filter(|kind| birth.joined.contains(*kind)) {
                        home.leave_for(kind, next()?.as_fd()).map_err(at_namespace)?;
                    }
                    birth.new
                }
                Kind::Exec => {
                    let init = descriptors.as_slice().first().ok_or_else(invalid)?;
                    home.leave_for(NamespaceKinds::PROCESS_ID, init.as_fd()).map_err(at_namespace)?;
                    NamespaceKinds::empty()
                }
            };
            let inheritance = Inheritance { plan, channel, rest: descriptors.collect() };
            clone(token, new, Some(cgroup.as_fd()), || Started::Process(kind, inheritance))
        }
    }
}

fn at_namespace(error: io::Error) -> (LaunchStep, io::Error) {
    (LaunchStep::Namespace, error)
}

/// Clones; the child is what `child` says.
fn clone(
    token: &SingleThreaded,
    namespaces: NamespaceKinds,
    cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> Started,
) -> Result<Started, (LaunchStep, io::Error)> {
    match clone_sibling(token, namespaces, cgroup).map_err(|error| (LaunchStep::Clone, error))? {
        Cloned::Parent { pid, pidfd } => Ok(Started::Parent(Reply::Started(pid), pidfd)),
        Cloned::Child => Ok(child()),
    }
}
