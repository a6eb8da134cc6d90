//! What a new process does between its birth and its program. This runs in the process itself.
//!
//! It has one thread, a plan, and the descriptors that the plan speaks of; every path it opens lies below the
//! container's root. The order of the steps is that of [`init`] and [`finish`], and matters: what needs privileges
//! comes before they go, and what is checked comes after the last thing that could change it.

mod conceal;
mod devices;
mod filesystem;
mod filter;
mod hooks;
mod identity;
mod label;
mod namespaces;
pub(super) mod outside;
mod place;
mod program;
mod root;
mod scheduling;
mod terminal;

use std::convert::Infallible;
use std::os::fd::{AsFd as _, OwnedFd};
use std::vec::IntoIter;

use rustix::io::Errno;
use rustix::thread::ThreadNameSpaceType;

use self::hooks::Hooks;
pub(super) use self::identity::resource;
use self::outside::MadeOutside;
use self::root::Root;
use super::namespaces::{Files, Users};
use super::plan::{Plan, ProcessPlan, RootPlan};
use super::report::{AtStep as _, Failure, GO_ON, Report, START, Step};
use crate::launcher::channel::Channel;
use crate::launcher::protocol::Kind;
use crate::sys::process::{SingleThreaded, exit};
use crate::sys::signals;

/// The exit code of a process that did not reach its program, as shells have it.
const EXIT_CODE: u8 = 127;

/// What a new process has from the agent, by way of the launcher.
#[derive(Debug)]
pub(crate) struct Inheritance {
    /// Sealed memory.
    pub(crate) plan: OwnedFd,
    pub(crate) channel: Channel,
    /// What the plan speaks of.
    pub(crate) rest: Vec<OwnedFd>,
}

/// Sets the process up and executes its program.
pub(crate) fn run(token: &SingleThreaded, kind: Kind, inheritance: Inheritance) -> ! {
    let Inheritance { plan, channel, rest } = inheritance;
    let descriptors = rest.into_iter();
    let plan = Plan::read(plan).at(Step::Plan);
    let highest = plan.as_ref().ok().and_then(|plan| plan.further().iter().max().copied());
    let channel = match highest {
        // Out of the way of what gets a number of its own.
        Some(highest) => channel.above(highest).unwrap_or_else(|_| exit(EXIT_CODE)),
        None => channel,
    };
    let Err(failure) = plan.and_then(|plan| match (kind, plan) {
        (Kind::Init(_), Plan::Init(root, process)) => init(token, &root, &process, descriptors, &channel),
        (Kind::Exec, Plan::Exec(namespaces, files, process)) => {
            exec(namespaces, files, &process, descriptors, &channel)
        }
        (Kind::Init(_), Plan::UserNamespace) => hold(&channel),
        (Kind::Init(_), Plan::Exec(..)) | (Kind::Exec, Plan::Init(..) | Plan::UserNamespace) => {
            Err(Errno::INVAL).at(Step::Plan)
        }
    });
    // When the agent is gone as well there is nobody to tell.
    let _ = Report::Failed(failure).send(&channel, None);
    exit(EXIT_CODE)
}

/// Is there until the agent has no use for it any more.
fn hold(channel: &Channel) -> Result<Infallible, Failure> {
    while channel.receive().at(Step::Plan)?.is_some() {}
    exit(0)
}

/// The init of a container.
fn init(
    token: &SingleThreaded,
    plan: &RootPlan,
    process: &ProcessPlan,
    mut descriptors: IntoIter<OwnedFd>,
    channel: &Channel,
) -> Result<Infallible, Failure> {
    scheduling::begin(&process.settings)?;
    signals::block_none().at(Step::Signals)?;
    if plan.namespaces.users == Users::New || plan.awaits_cgroups {
        await_word(GO_ON, channel, Step::Identity)?;
    }
    let mut outside = namespaces::enter(plan, &mut descriptors)?;
    let guests_mounts = match plan.namespaces.files {
        Files::Detached => Some(descriptors.next().ok_or(Errno::BADF).at(Step::Plan)?),
        Files::Attached | Files::Joined => None,
    };
    let own_files = plan.namespaces.files != Files::Joined;
    let attached =
        if own_files { Some(attached_root(plan, &mut descriptors, outside.as_mut())?) } else { None };
    let mut hooks = Hooks::new(token, &plan.hooks, &mut descriptors)?;
    stop_before_pivot(plan, channel)?;
    hooks.create_container()?;
    let root = match attached {
        Some(root) => entered(root, process)?,
        None => joined_root()?,
    };
    namespaces::configure(plan, outside.as_ref())?;
    drop(outside);
    let streams = terminal::streams(&root, process, &mut descriptors)?;
    if process.terminal.is_some() && own_files {
        terminal::bind_console(&root, &streams).on(Step::Terminal, "/dev/console")?;
    }
    for path in &plan.masked_paths {
        conceal::mask(&root, path).on(Step::Mask, path)?;
    }
    for path in &plan.readonly_paths {
        conceal::make_readonly(&root, path).on(Step::ReadonlyPath, path)?;
    }
    if own_files {
        root.set_propagation(plan.propagation).at(Step::Propagation)?;
    }
    if plan.readonly_rootfs {
        root.make_readonly().at(Step::ReadonlyRoot)?;
    }
    let root = match guests_mounts {
        Some(guests) => root.leave_for(guests.as_fd()).at(Step::Root)?,
        None => root,
    };
    let env = program::environment(&root, process);
    finish(&root, process, &streams)?;
    filter::install_with_listener(process, channel)?;
    await_start(streams, channel)?;
    hooks.start_container(process)?;
    program::execute(process, &env, descriptors, channel)
}

/// Attaches the container's root, with what is mounted in it.
fn attached_root(
    plan: &RootPlan,
    descriptors: &mut IntoIter<OwnedFd>,
    mut outside: Option<&mut MadeOutside>,
) -> Result<Root, Failure> {
    let tree = descriptors.next().ok_or(Errno::BADF).at(Step::Plan)?;
    if let Some(outside) = outside.as_deref_mut() {
        outside.complete(plan).at(Step::Outside)?;
    }
    let root = Root::attach(tree).at(Step::Root)?;
    for mount in &plan.mounts {
        filesystem::mount(&root, mount, &plan.devices.dev, descriptors, outside.as_deref_mut())
            .on(Step::Mount, &mount.destination)?;
    }
    devices::populate_root(&root, &plan.devices, outside).at(Step::Devices)?;
    Ok(root)
}

/// Makes an attached root the root of the process.
fn entered(root: Root, process: &ProcessPlan) -> Result<Root, Failure> {
    root.ensure_directory(&process.cwd).or_else(ignore_readonly).on(Step::WorkingDirectory, &process.cwd)?;
    root.enter_root().at(Step::Pivot)?;
    Ok(root)
}

/// Lets the agent do what is to be done when all is made and the root is not exchanged yet.
fn stop_before_pivot(plan: &RootPlan, channel: &Channel) -> Result<(), Failure> {
    if plan.stops_before_pivot {
        Report::Mounted.send(channel, None).at(Step::Pivot)?;
        await_word(GO_ON, channel, Step::Pivot)?;
    }
    Ok(())
}

/// The root of the mount namespace that the process has entered, or that its init is in.
fn joined_root() -> Result<Root, Failure> {
    Root::current().at(Step::Root)
}

/// A further process of a container.
fn exec(
    namespaces: u32,
    files: Files,
    process: &ProcessPlan,
    mut descriptors: IntoIter<OwnedFd>,
    channel: &Channel,
) -> Result<Infallible, Failure> {
    scheduling::begin(&process.settings)?;
    signals::block_none().at(Step::Signals)?;
    let container = descriptors.next().ok_or(Errno::BADF).at(Step::Plan)?;
    let namespaces = ThreadNameSpaceType::from_bits_retain(namespaces);
    rustix::thread::move_into_thread_name_spaces(container.as_fd(), namespaces).at(Step::Namespaces)?;
    drop(container);
    if namespaces.contains(ThreadNameSpaceType::USER) {
        namespaces::become_root().at(Step::Identity)?;
    }
    if files == Files::Detached {
        let root = descriptors.next().ok_or(Errno::BADF).at(Step::Plan)?;
        Root::enter_detached(root).at(Step::Root)?;
    }
    let root = joined_root()?;
    let streams = terminal::streams(&root, process, &mut descriptors)?;
    let env = program::environment(&root, process);
    finish(&root, process, &streams)?;
    await_start(streams, channel)?;
    program::execute(process, &env, descriptors, channel)
}

/// Tells the agent that all is set up, and waits for its word. No process executes its program that the agent does not
/// know: were the launcher killed between making one and naming it, the program would run and belong to nobody.
fn await_start(streams: terminal::Streams, channel: &Channel) -> Result<(), Failure> {
    Report::Ready.send(channel, streams.master()).at(Step::Plan)?;
    drop(streams);
    await_word(START, channel, Step::Plan)
}

fn await_word(expected: &[u8], channel: &Channel, step: Step) -> Result<(), Failure> {
    match channel.receive().at(step)? {
        Some((word, _)) if word == expected => Ok(()),
        // The agent gave the process up.
        _ => exit(EXIT_CODE),
    }
}

/// The last steps, the same for both: limits, directory, session, streams, and then all privileges go.
fn finish(root: &Root, process: &ProcessPlan, streams: &terminal::Streams) -> Result<(), Failure> {
    label::set(&process.settings)?;
    crate::sys::keyring::join_new_session().at(Step::Session)?;
    scheduling::set(&process.settings)?;
    identity::set_oom_score(process).at(Step::OomScore)?;
    identity::set_rlimits(process)?;
    root.enter(&process.cwd).on(Step::WorkingDirectory, &process.cwd)?;
    rustix::process::setsid().at(Step::Session)?;
    streams.connect(process).at(Step::Streams)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(u32::from(process.umask)));
    identity::take(process)?;
    root::check_working_directory().on(Step::WorkingDirectory, &process.cwd)?;
    crate::sys::descriptors::close_on_exec_from(3).at(Step::Descriptors)
}

/// A directory that cannot be made in a read-only root is reported when it is entered, if it is missing.
fn ignore_readonly(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem { Ok(()) } else { Err(error) }
}
