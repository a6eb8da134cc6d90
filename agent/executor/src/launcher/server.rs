//! The launcher process: a loop that starts one process for each order. One order is for a copy of itself, which serves
//! a channel of its own.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::libc;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::DumpableBehavior;
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType};

use super::channel::Channel;
use super::protocol::{Kind, LaunchStep, Order, Reply};
use super::refuge;
use crate::container::setup::{self, Inheritance};
use crate::sys::descriptors::close_all_but;
use crate::sys::process::{Cloned, SingleThreaded, clone_sibling};

/// The namespaces of a new container. Its cgroup namespace follows when it is in its cgroup; the network is the
/// guest's.
const NEW_NAMESPACES: i32 = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;

/// Serves orders until the agent closes its end. The result is the exit code of the process.
pub(super) fn run(token: &SingleThreaded, mut orders: Channel) -> u8 {
    let own_pid_namespace = settle_in(token, &orders);
    // The agent waits for this.
    let ready = match &own_pid_namespace {
        Ok(_) => Reply::Started(rustix::process::getpid()),
        Err(error) => Reply::Failed(LaunchStep::Namespace, error.raw_os_error().unwrap_or(libc::EIO)),
    };
    let (Ok(()), Ok(own_pid_namespace)) = (orders.send(&ready.encode(), &[]), own_pid_namespace) else {
        return 1;
    };
    while let Ok(Some((bytes, descriptors))) = orders.receive() {
        let (reply, pidfd) = match serve(token, &bytes, descriptors) {
            Ok(Started::Process(kind, inheritance)) => {
                // What is the launcher's stays the launcher's.
                drop((orders, own_pid_namespace));
                setup::run(kind, inheritance)
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
        // After entering a container's pid namespace there must be a way back: else the next container would
        // start inside it. Without one the launcher ends.
        let home = rustix::thread::move_into_link_name_space(
            own_pid_namespace.as_fd(),
            Some(LinkNameSpaceType::ProcessID),
        );
        if orders.send(&reply.encode(), &pidfd).is_err() || home.is_err() {
            return 1;
        }
    }
    0
}

/// Gives up all that the launcher has of the agent. The descriptor is that of its own pid namespace.
fn settle_in(token: &SingleThreaded, orders: &Channel) -> io::Result<OwnedFd> {
    // Nothing of this process, nor of its children before they execute a program, can be read or traced, also not
    // through `/proc/<pid>/exe`, which is the agent's binary (CVE-2019-5736).
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_name(c"launcher")?;
    // Modes of what is made for a container are as they are written.
    rustix::process::umask(Mode::empty());
    close_all_but(token, orders.as_fd().as_raw_fd().unsigned_abs())?;
    // The agent ends it by closing the socket; a signal to the agent's process group is not for it.
    nix::sys::signal::SigSet::all().thread_set_mask()?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let own_pid_namespace = rustix::fs::open("/proc/self/ns/pid", flags, Mode::empty())?;
    refuge::enter()?;
    Ok(own_pid_namespace)
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
    bytes: &[u8],
    descriptors: Vec<OwnedFd>,
) -> Result<Started, (LaunchStep, io::Error)> {
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next().ok_or_else(invalid);
    match Order::decode(bytes).ok_or_else(invalid)? {
        Order::Launcher => {
            let orders = Channel::from_descriptor(next()?);
            clone(token, 0, None, || Started::Launcher(orders))
        }
        Order::Process(kind) => {
            let (plan, channel, cgroup) = (next()?, Channel::from_descriptor(next()?), next()?);
            let rest: Vec<OwnedFd> = descriptors.collect();
            let namespaces = match kind {
                Kind::Init => NEW_NAMESPACES,
                Kind::Exec => {
                    let init = rest.first().ok_or_else(invalid)?;
                    enter_pid_namespace(init.as_fd())?;
                    0
                }
            };
            let inheritance = Inheritance { plan, channel, rest };
            clone(token, namespaces, Some(cgroup.as_fd()), || Started::Process(kind, inheritance))
        }
    }
}

/// From here on children are born in the pid namespace of `init`.
fn enter_pid_namespace(init: BorrowedFd<'_>) -> Result<(), (LaunchStep, io::Error)> {
    rustix::thread::move_into_thread_name_spaces(init, ThreadNameSpaceType::PROCESS_ID)
        .map_err(|errno| (LaunchStep::Namespace, errno.into()))
}

/// Clones; the child is what `child` says.
fn clone(
    token: &SingleThreaded,
    namespaces: i32,
    cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> Started,
) -> Result<Started, (LaunchStep, io::Error)> {
    match clone_sibling(token, namespaces, cgroup).map_err(|error| (LaunchStep::Clone, error))? {
        Cloned::Parent { pid, pidfd } => Ok(Started::Parent(Reply::Started(pid), pidfd)),
        Cloned::Child => Ok(child()),
    }
}
