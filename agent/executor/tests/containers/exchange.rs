//! What a volume shows is exchanged while a container is made on it: at every system call of the new process that
//! resolves a path, one container each. So no order of events is left to chance.
//!
//! The files of a container's root are its own until it starts; volumes are shared with containers that run.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use executor::container::{CreateError, SpawnError};
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use policy_engine::request::CreateContainer;
use rustix::fs::{CWD, FileType, Mode, RenameFlags, makedev, mknodat, renameat_with};

use crate::guest::{Guest, bind, launchers};

pub(crate) const TESTS: &[crate::Test] = &[
    ("cve_2021_30465_a_mount_target_exchanged_at_any_time_stays_in_the_root", directory_on_the_way),
    ("cve_2021_30465_a_directory_made_and_exchanged_is_not_mounted_on", made_directory),
    ("cve_2024_45310_a_file_made_and_exchanged_is_not_mounted_on", made_file),
    ("cve_2025_31133_and_2025_62161_a_null_device_exchanged_at_any_time_masks_or_fails", null_device),
];

/// More calls that resolve paths than a new process makes.
const CALLS_MAX: usize = 400;
/// The system calls that resolve paths, or use what was resolved.
const CALLS: [i64; 12] = [
    libc::SYS_openat2,
    libc::SYS_openat,
    libc::SYS_open,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_fchdir,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
];

/// Carries out `attack` when the next process of a launcher enters the `number`th call that resolves a path. The
/// result is whether it made that many before it was set up.
fn attack_at(number: usize, attack: impl FnOnce() + Send + 'static) -> JoinHandle<bool> {
    let (ready, is_ready) = mpsc::channel();
    let tracer = thread::spawn(move || {
        for launcher in launchers() {
            ptrace::seize(Pid::from_raw(launcher), Options::PTRACE_O_TRACECLONE).unwrap();
        }
        ready.send(()).unwrap();
        // Everything is let go when this thread ends.
        let mine = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let (mut child, mut launcher_goes_on) = (None, false);
        while child.is_none() || !launcher_goes_on {
            match waitpid(None, Some(mine)).unwrap() {
                WaitStatus::PtraceEvent(launcher, _, libc::PTRACE_EVENT_CLONE) => {
                    ptrace::detach(launcher, None).unwrap();
                    launcher_goes_on = true;
                }
                WaitStatus::PtraceEvent(new, _, libc::PTRACE_EVENT_STOP) => child = Some(new),
                other => panic!("{other:?}"),
            }
        }
        let child = child.unwrap();
        let (mut calls, mut entering) = (0, true);
        loop {
            ptrace::syscall(child, None).unwrap();
            match waitpid(child, Some(mine)).unwrap() {
                WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
                other => panic!("{other:?}"),
            }
            let call = i64::try_from(ptrace::getregs(child).unwrap().orig_rax).unwrap();
            // It is set up when it waits for the word to start, and has failed when it ends.
            if [libc::SYS_recvmsg, libc::SYS_exit_group].contains(&call) {
                return false;
            }
            calls += usize::from(entering && CALLS.contains(&call));
            entering = !entering;
            if calls == number {
                attack();
                return true;
            }
        }
    });
    is_ready.recv().unwrap();
    tracer
}

/// Exchanges two names of one directory, if both are there.
fn exchange(directory: &Path, one: &str, other: &str) {
    let _ = renameat_with(CWD, directory.join(one), CWD, directory.join(other), RenameFlags::EXCHANGE);
}

/// Makes a container for each moment. `prepare` makes the volumes anew, `attack` changes them; what a container that
/// could be made prints is for `check`.
fn at_every_moment(
    prepare: impl Fn(&Guest) -> CreateContainer,
    attack: fn(&Path),
    check: impl Fn(&Guest, &str),
) {
    let guest = Guest::new();
    let volumes = guest.directory.path().join("volumes");
    let pristine = names(&guest.root());
    let (mut made, mut refused) = (0, 0);
    for number in 1..CALLS_MAX {
        let _ = fs::remove_dir_all(&volumes);
        for name in names(&guest.root()) {
            if !pristine.contains(&name) {
                let _ = fs::remove_dir_all(guest.root().join(&name));
                let _ = fs::remove_file(guest.root().join(&name));
            }
        }
        let request = prepare(&guest);
        let path = volumes.clone();
        let tracer = attack_at(number, move || attack(&path));
        let created = guest.try_create(request);
        // No process, nothing to trace: the other thread would wait for ever.
        assert!(matches!(created, Ok(_) | Err(CreateError::Spawn(SpawnError::Setup { .. }))), "{created:?}");
        let reached = tracer.join().unwrap();
        assert_eq!(names(guest.directory.path()), ["root", "volumes"]);
        match created {
            Ok(container) => {
                container.start().unwrap();
                let (code, output, error) = guest.finish(container.init());
                guest.remove(container);
                assert_eq!(code, 0, "at call {number}: {output}{error}");
                check(&guest, &output);
                made += 1;
            }
            Err(_) => refused += 1,
        }
        assert!(!guest.engine.is_poisoned());
        if !reached {
            println!("attacked at {number} calls: made {made}, refused {refused}");
            assert!(made > 10, "{made}");
            return;
        }
    }
    panic!("a new process makes more than {CALLS_MAX} calls that resolve paths");
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Where the container has `volumes/source` mounted, by its `mountinfo`.
fn places(output: &str) -> Vec<&str> {
    let fields = output.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .filter(|fields| fields.get(3).is_some_and(|root| root.contains("volumes/source")))
        .map(|fields| fields[4])
        .collect()
}

/// A volume with a directory, and a symbolic link to the root to exchange it with.
fn volumes(guest: &Guest) -> (PathBuf, PathBuf) {
    let (shared, source) = (guest.volume("shared"), guest.volume("source"));
    fs::create_dir(format!("{shared}/a")).unwrap();
    symlink("/", format!("{shared}/link")).unwrap();
    fs::write(format!("{source}/file"), "source").unwrap();
    (shared.into(), source.into())
}

fn on_shared(guest: &Guest, source: &str, destination: &str) -> CreateContainer {
    let (shared, volume) = volumes(guest);
    let source = if source.is_empty() { volume } else { volume.join(source) };
    let mut request = guest.request(&["cat", "/proc/self/mountinfo"]);
    request.mounts = vec![
        bind(shared.to_str().unwrap(), "/v", &["rbind"]),
        bind(source.to_str().unwrap(), destination, &["rbind"]),
    ];
    request
}

fn directory_on_the_way() {
    at_every_moment(
        |guest| {
            // What is found through the link is there to be mounted on.
            fs::create_dir(guest.root().join("b")).unwrap();
            on_shared(guest, "", "/v/a/b")
        },
        |volumes| exchange(&volumes.join("shared"), "a", "link"),
        // In the directory, whatever its name is by now; never where the link leads.
        |_, output| match places(output)[..] {
            ["/v/a/b" | "/v/link/b"] => {}
            _ => panic!("{output}"),
        },
    );
}

/// Takes the place of what was just made in `a`.
fn replace_made(volumes: &Path) {
    let shared = volumes.join("shared");
    let made = shared.join("a/b");
    if made.exists() {
        renameat_with(CWD, &made, CWD, shared.join("link"), RenameFlags::EXCHANGE).unwrap();
    }
}

fn made_directory() {
    at_every_moment(
        |guest| on_shared(guest, "", "/v/a/b"),
        replace_made,
        |_, output| match places(output)[..] {
            ["/v/a/b" | "/v/link"] => {}
            _ => panic!("{output}"),
        },
    );
}

fn made_file() {
    at_every_moment(
        |guest| {
            let request = on_shared(guest, "file", "/v/a/b");
            // Where the file is made, this leads to one of the container's.
            let link = guest.directory.path().join("volumes/shared/link");
            fs::remove_file(&link).unwrap();
            symlink("../../etc/passwd", link).unwrap();
            request
        },
        replace_made,
        |guest, output| {
            match places(output)[..] {
                ["/v/a/b" | "/v/link"] => {}
                _ => panic!("{output}"),
            }
            assert!(!guest.root().join("b").exists());
        },
    );
}

fn null_device() {
    at_every_moment(
        |guest| {
            let shared = guest.volume("shared");
            let null = format!("{shared}/null");
            mknodat(CWD, null, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(1, 3)).unwrap();
            symlink("/etc/passwd", format!("{shared}/link")).unwrap();
            let _ = symlink("/dev", guest.root().join("devices"));
            fs::write(guest.root().join("secret"), "secret").unwrap();
            let mut request = guest.request(&["stat", "-c", "%t:%T", "/secret"]);
            request.mounts = vec![bind(&shared, "/devices", &["rbind"])];
            request.masked_paths = vec!["/secret".parse().unwrap()];
            request
        },
        |volumes| exchange(&volumes.join("shared"), "null", "link"),
        |_, output| assert_eq!(output, "1:3\n"),
    );
}
