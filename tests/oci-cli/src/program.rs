//! Programs that cannot be executed, in the words by which engines recognise them.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use anyhow::bail;
use executor::container::{ExecError, SpawnError, StartContainerError, Step};
use policy_engine::request::ProcessSpec;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

/// Where programs are looked up when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Says before the start of a container that its program is missing, which the executor says at the start: engines ask
/// at its creation. `pid` is the container's init, whose root is the container's.
pub(crate) fn check(pid: i32, process: &ProcessSpec) -> anyhow::Result<()> {
    let Some(name) = process.args.first() else { return Ok(()) };
    // What cannot be looked into is left to the start.
    let Ok(root) = File::open(format!("/proc/{pid}/root")) else { return Ok(()) };
    let mut worst = Errno::NOENT;
    for candidate in candidates(name, process) {
        match find(&root, &candidate) {
            Ok(()) => return Ok(()),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(Errno::ACCESS) => worst = Errno::ACCESS,
            Err(_) => return Ok(()),
        }
    }
    bail!(words(name, &worst.into()))
}

fn candidates(name: &str, process: &ProcessSpec) -> Vec<String> {
    if name.starts_with('/') {
        return vec![name.to_owned()];
    }
    if name.contains('/') {
        return vec![format!("{}/{name}", process.cwd)];
    }
    let path = process.env.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    path.split(':')
        .filter(|directory| directory.starts_with('/'))
        .map(|directory| format!("{directory}/{name}"))
        .collect()
}

fn find(root: &File, path: &str) -> Result<(), Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let program: OwnedFd = openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?;
    let mode = fstat(&program)?.st_mode;
    let executable = FileType::from_raw_mode(mode) == FileType::RegularFile && mode & 0o111 != 0;
    if executable { Ok(()) } else { Err(Errno::ACCESS) }
}

fn words(name: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound if name.contains('/') => {
            format!("exec: {name:?}: stat {name}: no such file or directory")
        }
        io::ErrorKind::NotFound => format!("exec: {name:?}: executable file not found in $PATH"),
        io::ErrorKind::PermissionDenied => format!("exec: {name:?}: permission denied"),
        _ => format!("exec: {name:?}: {error}"),
    }
}

/// The error of an exec.
pub(crate) fn of_exec(error: ExecError) -> anyhow::Error {
    match error {
        ExecError::Spawn(SpawnError::Setup { step: Step::Execute, subject, source }) => {
            anyhow::Error::msg(words(&subject, &source))
        }
        other => other.into(),
    }
}

/// The error of a start.
pub(crate) fn of_start(error: StartContainerError) -> anyhow::Error {
    match error {
        StartContainerError::Execute(SpawnError::Setup { step: Step::Execute, subject, source }) => {
            anyhow::Error::msg(words(&subject, &source))
        }
        other => other.into(),
    }
}
