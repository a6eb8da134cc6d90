//! `exec`: a further process in a running container.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use oci_spec::runtime::Process as AskedProcess;
use policy_engine::ExecId;
use policy_engine::request::{ExecInContainer, ProcessSpec, TerminalSize};

use super::foreground::Foreground;
use super::write_pid;
use crate::guest::{self, Guest};
use crate::options::Exec;
use crate::state::{Directory, Entry, Status};
use crate::{convert, program, terminal};

pub(crate) fn run(directory: &Directory, args: &Exec) -> anyhow::Result<ExitCode> {
    let entry = directory.open(&args.id)?;
    let spec = process(&entry, args)?;
    terminal::check(spec.terminal.is_some(), args.detach, args.console_socket.as_deref())?;
    if args.cgroup.iter().any(|path| path != "/") {
        bail!("`--cgroup` is `/` alone");
    }
    await_unpaused(&entry, args.ignore_paused)?;
    let launcher = guest::launcher()?;
    let guest = Guest::new()?;
    let container = guest.take_over_living(&entry)?;
    let request =
        ExecInContainer { container_id: container.id().clone(), exec_id: new_exec_id()?, process: spec };
    let permit = guest.engine.decide(request)?;
    let streams = terminal::own_streams(args.preserve_fds)?;
    let foreground = (!args.detach).then(|| Foreground::take_signals(&guest)).transpose()?;
    let context = guest.runtime.enter();
    let process = container.exec_with(&launcher, permit, Some(&streams)).map_err(program::of_exec)?;
    drop(context);
    drop((launcher, streams));
    let copying = match &args.console_socket {
        Some(socket) => {
            terminal::give(&process, socket)?;
            None
        }
        None if process.terminal().is_some() => Some(terminal::Copying::begin(&process)?),
        None => None,
    };
    write_pid(args.pid_file.as_deref(), process.pid())?;
    Ok(foreground.map_or(ExitCode::SUCCESS, |foreground| foreground.wait(&guest, &process, copying)))
}

/// How often a paused container is looked after.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A process that is born into a paused container would do nothing until the container goes on.
fn await_unpaused(entry: &Entry, waits: bool) -> anyhow::Result<()> {
    while entry.record()?.status()? == Status::Paused {
        if !waits {
            bail!("cannot exec in a paused container (use --ignore-paused to override)");
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

/// A name that no other process of the container has: each command takes the container over with none.
fn new_exec_id() -> anyhow::Result<ExecId> {
    Ok(format!("exec-{:016x}", getrandom::u64().context("no random number")?).parse()?)
}

/// The process of the file, or the container's own with the changes that the options say.
fn process(entry: &Entry, args: &Exec) -> anyhow::Result<ProcessSpec> {
    if let Some(file) = &args.process {
        let text = fs::read(file).context("the file with the process cannot be read")?;
        let asked: AskedProcess =
            serde_json::from_slice(&text).context("the file with the process is no process")?;
        return convert::process(&asked);
    }
    if args.args.is_empty() {
        bail!("process args cannot be empty");
    }
    let asked = entry.spec()?;
    let mut process = convert::process(asked.process().as_ref().context("`process` is missing")?)?;
    process.args.clone_from(&args.args);
    process.terminal = args.tty.then(TerminalSize::default);
    for entry in &args.env {
        let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
        process.env.retain(|own| name(own) != name(entry));
        process.env.push(entry.clone());
    }
    process.user.additional_gids.extend_from_slice(&args.additional_gids);
    if let Some(cwd) = &args.cwd {
        process.cwd = cwd.parse().context("`--cwd`")?;
    }
    if let Some(user) = &args.user {
        let (uid, gid) = user.split_once(':').map_or((user.as_str(), None), |(uid, gid)| (uid, Some(gid)));
        process.user.uid = uid.parse().context("`--user`")?;
        process.user.gid = gid.map(str::parse).transpose().context("`--user`")?.unwrap_or(process.user.gid);
    }
    for name in &args.cap {
        let sets = &mut process.capabilities;
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            if !set.contains(name) {
                set.push(name.clone());
            }
        }
    }
    process.no_new_privileges |= args.no_new_privs;
    if args.apparmor.is_some() {
        process.settings.apparmor_profile.clone_from(&args.apparmor);
    }
    if args.process_label.is_some() {
        process.settings.selinux_label.clone_from(&args.process_label);
    }
    Ok(process)
}
