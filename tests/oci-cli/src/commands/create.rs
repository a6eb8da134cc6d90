//! `create`: a container that waits to be started.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use anyhow::{Context as _, bail};
use executor::container::{
    BeforePivot, Container, CreateError, CreateOptions, HookState, SeccompListener, SpawnError, Step,
};
use oci_spec::runtime::{Hook, Mount, Spec};
use policy_engine::ContainerId;
use serde_json::json;

use super::write_pid;
use crate::guest::{self, Guest};
use crate::options::Create;
use crate::state::{Directory, Entry, Record, Status};
use crate::time::now;
use crate::{convert, gate, hooks, program, shared_mounts, state, terminal};

pub(crate) fn run(directory: &Directory, args: &Create) -> anyhow::Result<ExitCode> {
    let Created { entry, container, .. } = create(directory, args, true)?;
    let pid = container.init().pid();
    // Without the gate it ends: nobody can start it any more.
    let left = container.release().context("the container was started").and_then(|gate| {
        gate::leave(&entry, gate)?;
        write_pid(args.pid_file.as_deref(), pid)
    });
    left.inspect_err(|_| drop(entry.remove()))?;
    Ok(ExitCode::SUCCESS)
}

/// A container that was created. Dropping it kills it.
pub(super) struct Created {
    pub(super) guest: Guest,
    pub(super) entry: Entry,
    pub(super) container: Container,
}

/// Creates a container. `detached` is whether this process ends before it does.
pub(super) fn create(directory: &Directory, args: &Create, detached: bool) -> anyhow::Result<Created> {
    let id = state::parse_id(&args.id)?;
    let bundle = args.bundle.canonicalize().context("the bundle")?;
    let text = fs::read(bundle.join("config.json")).context("config.json cannot be read")?;
    let mut spec: Spec = serde_json::from_slice(&text).context("config.json is no configuration")?;
    place_cgroup(&mut spec, &id)?;
    check_version(spec.version())?;
    let root = spec.root().as_ref().context("`root` is missing")?;
    let rootfs = bundle.join(root.path()).canonicalize().context("the root file system")?;
    // Links of the bundle's own, such as those of mounts, are meant from there.
    std::env::set_current_dir(&bundle).context("the bundle")?;
    let record = Record {
        id: id.to_string(),
        bundle,
        rootfs: rootfs.to_str().context("the path of the root file system is not UTF-8")?.to_owned(),
        created: now(),
        handover: None,
    };
    let wants_terminal = spec.process().as_ref().is_some_and(|process| process.terminal() == Some(true));
    terminal::check(wants_terminal, detached, args.console_socket.as_deref())?;
    let entry = directory.create(&id)?;
    let rootfs = record.rootfs.clone();
    let filled = shared_mounts::leave_root(&spec, &rootfs).and_then(|()| fill(&entry, &spec, record, args));
    match filled {
        Ok((guest, container)) => Ok(Created { guest, entry, container }),
        Err(error) => {
            shared_mounts::take_root(&spec, &rootfs)?;
            entry.remove()?;
            Err(error)
        }
    }
}

/// Gives a container a cgroup that no other one has, if the configuration names none: a directory of the executor's own
/// choice is for the containers of one process, and is cleaned up when that has ended.
fn place_cgroup(spec: &mut Spec, id: &ContainerId) -> anyhow::Result<()> {
    let Some(linux) = spec.linux_mut() else { return Ok(()) };
    if linux.cgroups_path().as_ref().is_none_or(|path| path.as_os_str().is_empty()) {
        let number = getrandom::u64().context("no random number")?;
        linux.set_cgroups_path(Some(format!("/oci-cli/{id}-{number:016x}").into()));
    }
    Ok(())
}

/// Later versions of the first edition add, and change nothing.
fn check_version(version: &str) -> anyhow::Result<()> {
    let release = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<Option<u32>> = release.split('.').map(|number| number.parse().ok()).collect();
    match numbers.as_slice() {
        [Some(1), Some(_), Some(_)] => Ok(()),
        _ => bail!("`ociVersion` {version:?} is not supported"),
    }
}

/// Makes the container and what later commands need to know of it.
fn fill(entry: &Entry, spec: &Spec, mut record: Record, args: &Create) -> anyhow::Result<(Guest, Container)> {
    let request = convert::create_container(&state::parse_id(&record.id)?, spec, &record.rootfs()?)?;
    entry.keep_spec(spec)?;
    entry.save(&record)?;
    let launcher = guest::launcher()?;
    let guest = Guest::new()?;
    let options = CreateOptions {
        bind_source_directories: vec!["/".parse()?],
        streams: Some(terminal::own_streams(args.preserve_fds)?),
        hook_state: HookState {
            bundle: record.bundle.to_str().context("the bundle's path is not UTF-8")?.to_owned(),
            annotations: spec.annotations().clone().unwrap_or_default().into_iter().collect(),
        },
        before_pivot: before_pivot(spec, &record),
        seccomp_listener: seccomp_listener(spec, &record),
        ..CreateOptions::default()
    };
    let rootfs = fs::File::open(&record.rootfs).context("the root file system")?;
    let context = guest.runtime.enter();
    let permit = guest.engine.decide(request)?;
    let created = executor::container::create(&launcher, permit, rootfs.as_fd(), &options);
    // Hooks may have made something for a container that did not come to be.
    let began = !matches!(&created, Err(error) if !matches!(error, CreateError::Spawn(_)));
    drop(context);
    let completed = created.map_err(|error| explain(error, spec)).and_then(|container| {
        // An error kills it.
        complete(entry, &mut record, &container, args.console_socket.as_deref())?;
        Ok(container)
    });
    if completed.is_err() && began {
        hooks::after_stop(&record, spec);
    }
    Ok((guest, completed?))
}

/// Hands the listener of the container's seccomp profile to who waits for it at the socket that the profile names.
fn seccomp_listener(spec: &Spec, record: &Record) -> Option<SeccompListener> {
    let profile = spec.linux().as_ref()?.seccomp().as_ref()?;
    let path = profile.listener_path().clone()?;
    let metadata = profile.listener_metadata().clone().unwrap_or_default();
    let (spec, record) = (spec.clone(), record.clone());
    Some(SeccompListener::new(move |pid, listener| {
        let process = json!({
            "ociVersion": state::SPECIFICATION_VERSION,
            "fds": ["seccompFd"],
            "pid": pid,
            "metadata": metadata,
            "state": record.state(&spec, Status::Creating, pid),
        });
        let socket = UnixStream::connect(&path)?;
        gate::send_with(socket.as_fd(), listener.as_fd(), process.to_string().as_bytes())
            .map_err(|error| io::Error::other(format!("{error:#}")))
    }))
}

/// What engines know by a sentence of its own: the kernel's own file systems are mounted on no link.
fn explain(error: CreateError, spec: &Spec) -> anyhow::Error {
    let own = |mount: &Mount| matches!(mount.typ().as_deref(), Some("proc" | "sysfs"));
    let is_taken = match &error {
        CreateError::Spawn(SpawnError::Setup { step: Step::Mount, subject, source }) => {
            let mut mounts = spec.mounts().iter().flatten();
            // A missing directory would have been made: only a link leads to nothing.
            let kinds = [io::ErrorKind::AlreadyExists, io::ErrorKind::NotADirectory, io::ErrorKind::NotFound];
            kinds.contains(&source.kind())
                && mounts.any(|mount| mount.destination() == Path::new(subject) && own(mount))
        }
        _ => false,
    };
    let error = anyhow::Error::new(error);
    if is_taken { error.context("it must be mounted on ordinary directory") } else { error }
}

/// What there is to do when the container is there.
fn complete(
    entry: &Entry,
    record: &mut Record,
    container: &Container,
    console_socket: Option<&Path>,
) -> anyhow::Result<()> {
    program::check(container.init().pid(), &container.request().process)?;
    if let Some(socket) = console_socket {
        terminal::give(container.init(), socket)?;
    }
    record.handover = Some(container.handover().context("the container has ended")?);
    entry.save(record)
}

/// The hooks that run outside of the container before its root is exchanged, if there are any.
fn before_pivot(spec: &Spec, record: &Record) -> Option<BeforePivot> {
    let asked = spec.hooks().as_ref()?;
    let hooks = [("prestart", asked.prestart().clone()), ("createRuntime", asked.create_runtime().clone())];
    if hooks.iter().all(|(_, hooks)| hooks.as_ref().is_none_or(Vec::is_empty)) {
        return None;
    }
    let (spec, record) = (spec.clone(), record.clone());
    Some(BeforePivot::new(move |pid| {
        let state = record.state(&spec, Status::Creating, pid);
        let run = |(kind, hooks): &(&str, Option<Vec<Hook>>)| {
            hooks::run(kind, hooks.as_ref(), &record.bundle, &state)
        };
        hooks.iter().try_for_each(run).map_err(|error| io::Error::other(format!("{error:#}")))
    }))
}
