//! The end of the launcher, at any time. These tests run last and one by one: the others share the launcher.

use std::fs;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use executor::container::{Container, CreateError, ExecError, SpawnError};
use executor::launcher::LaunchError;
use nix::sys::ptrace;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::guest::{Guest, children, launcher, launchers, process};

pub(crate) const TESTS: &[crate::Test] = &[
    ("a_launcher_killed_at_any_system_call_leaves_nothing_of_a_container", killed_while_creating),
    ("a_launcher_killed_at_any_system_call_leaves_nothing_of_an_exec", killed_while_executing),
    ("a_container_is_removed_right_after_the_launcher_died_over_an_exec", removed_after_death),
    ("a_launcher_killed_at_random_leaves_nothing", killed_at_random),
];

/// After this there is no launcher any more.
pub(crate) const LAST: &[crate::Test] = &[("containers_outlive_the_launchers", all_launchers_die)];

/// How often the launcher is killed at random, unless `CCE_LAUNCHER_KILLS` says otherwise.
const KILLS: usize = 40;

/// How often the launcher is killed.
pub(crate) fn kills() -> usize {
    std::env::var("CCE_LAUNCHER_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS)
}

/// More system calls than the launcher makes for one order; entering and leaving one are two stops.
const STOPS_MAX: usize = 200;

/// The launchers, older first.
fn launcher_pids() -> Vec<i32> {
    let mut pids = launchers();
    pids.sort_by_key(|pid| start_time(*pid));
    pids
}

/// When a process began, in clock ticks; numbers of processes are used again.
fn start_time(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(19)?.parse().ok()).unwrap_or_default()
}

/// Kills a process that may be gone already, and waits for its end.
pub(crate) fn kill(pid: i32) {
    let Ok(process) = pidfd_open(rustix::process::Pid::from_raw(pid).unwrap(), PidfdFlags::empty()) else {
        return;
    };
    let _ = pidfd_send_signal(&process, Signal::KILL);
    assert_eq!(poll(&mut [PollFd::new(&process, PollFlags::IN)], None), Ok(1));
}

/// What exists of containers on this machine: processes, cgroups, mounts, descriptors.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    children: Vec<(i32, String)>,
    cgroups: Vec<PathBuf>,
    mounts: String,
    descriptors: usize,
}

impl Footprint {
    pub(crate) fn take() -> Self {
        launcher().reap_orphans();
        let mut children: Vec<_> = children().into_iter().filter(|(_, name)| name != "launcher").collect();
        children.sort();
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let mount =
            mounts.lines().find(|line| line.contains(" - cgroup2 ")).unwrap().split(' ').nth(4).unwrap();
        let own = format!("test-{}-", std::process::id());
        let agents = fs::read_dir(mount).unwrap().map(|entry| entry.unwrap().path());
        let agents = agents.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("cce-"));
        let mut cgroups: Vec<_> = agents
            .filter_map(|path| fs::read_dir(path).ok())
            .flat_map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())))
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&own))
            .collect();
        cgroups.sort();
        let descriptors = fs::read_dir("/proc/self/fd").unwrap().count();
        Self { children, cgroups, mounts, descriptors }
    }

    /// Waits until everything is as it was: what was killed takes a moment to go.
    pub(crate) fn assert_restored(&self, after: &str) {
        let mut now = Self::take();
        for _ in 0..300 {
            if now == *self && launcher_pids().len() == 2 {
                return;
            }
            thread::sleep(Duration::from_millis(10));
            now = Self::take();
        }
        panic!("after {after}: {:?}, launchers {:?}", (self, now), launcher_pids());
    }
}

/// Kills the launcher that worked first: from now on the one that stands by is the older one. Another test may have done
/// so before.
fn renew_launcher(before: &Footprint) {
    static RENEWED: std::sync::Once = std::sync::Once::new();
    RENEWED.call_once(|| {
        kill(launcher_pids()[0]);
        before.assert_restored("the first kill");
    });
}

/// Kills the launcher that works, the younger one, at the `stop`th time that it enters or leaves a system call. The result is whether it
/// got that far before it waited for another order.
fn kill_at(stop: usize) -> JoinHandle<bool> {
    let (attached, is_attached) = std::sync::mpsc::channel();
    let tracer = thread::spawn(move || {
        let pid = Pid::from_raw(launcher_pids()[1]);
        ptrace::attach(pid).unwrap();
        waitpid(pid, None).unwrap();
        attached.send(()).unwrap();
        let mut reached = true;
        for number in 0..stop {
            ptrace::syscall(pid, None).unwrap();
            if !matches!(waitpid(pid, None).unwrap(), WaitStatus::Stopped(..)) {
                panic!("the launcher ended by itself");
            }
            // The first two are the call that it was in.
            let call = ptrace::getregs(pid).unwrap().orig_rax;
            reached = number < 3 || call != u64::try_from(nix::libc::SYS_recvmsg).unwrap();
            if !reached {
                break;
            }
        }
        kill(pid.as_raw());
        reached
    });
    is_attached.recv().unwrap();
    tracer
}

fn is_gone(error: &SpawnError) -> bool {
    matches!(error, SpawnError::Launch(LaunchError::Gone(_)))
}

pub(crate) fn create(guest: &Guest) -> Option<Container> {
    match guest.try_create(guest.request(&["sleep", "600"])) {
        Ok(container) => Some(container),
        Err(CreateError::Spawn(error)) if is_gone(&error) => None,
        Err(error) => panic!("{}", crate::guest::chain(&error)),
    }
}

/// Executes `touch` in a container; the result is whether that was said to have happened.
pub(crate) fn execute(guest: &Guest, container: &Container, id: &str) -> bool {
    match guest.exec(container, id, process(&["touch", &format!("/{id}")])) {
        Ok(exec) => {
            assert_eq!(guest.finish(&exec).0, 0);
            container.forget(&id.parse().unwrap());
            true
        }
        Err(ExecError::Spawn(error)) if is_gone(&error) => false,
        Err(error) => panic!("{}", crate::guest::chain(&error)),
    }
}

fn killed_while_creating() {
    let guest = Guest::new();
    guest.script("true");
    let before = Footprint::take();
    renew_launcher(&before);
    let mut outcomes = (0, 0);
    for stop in 1..STOPS_MAX {
        let tracer = kill_at(stop);
        let created = create(&guest);
        let reached = tracer.join().unwrap();
        match created {
            Some(container) => {
                container.start().unwrap();
                guest.remove(container);
                outcomes.0 += 1;
            }
            None => outcomes.1 += 1,
        }
        assert!(!guest.engine.is_poisoned());
        before.assert_restored(&format!("stop {stop}"));
        assert_eq!(guest.script("exit 7").0, 7);
        if !reached {
            println!("killed at {stop} stops: created {}, failed {}", outcomes.0, outcomes.1);
            assert!(outcomes.0 > 1 && outcomes.1 > 10, "{outcomes:?}");
            return;
        }
    }
    panic!("the launcher makes more than {STOPS_MAX} stops for one order");
}

fn killed_while_executing() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&["sleep", "600"]));
    assert!(execute(&guest, &container, "first"));
    let before = Footprint::take();
    renew_launcher(&before);
    let mut outcomes = (0, 0);
    for stop in 1..STOPS_MAX {
        let id = format!("e{stop}");
        let tracer = kill_at(stop);
        let executed = execute(&guest, &container, &id);
        let reached = tracer.join().unwrap();
        if executed {
            outcomes.0 += 1;
        } else {
            outcomes.1 += 1;
        }
        assert!(!guest.engine.is_poisoned());
        before.assert_restored(&format!("stop {stop}"));
        // A program that the agent says did not run has not run.
        assert_eq!(guest.root().join(&id).exists(), executed, "stop {stop}");
        assert!(execute(&guest, &container, &format!("next{stop}")));
        if !reached {
            println!("killed at {stop} stops: executed {}, failed {}", outcomes.0, outcomes.1);
            assert!(outcomes.0 > 1 && outcomes.1 > 10, "{outcomes:?}");
            guest.remove(container);
            return;
        }
    }
    panic!("the launcher makes more than {STOPS_MAX} stops for one order");
}

/// A process that the launcher had made and not named is nobody's: until the agent collects it, the init of its
/// container cannot end.
fn removed_after_death() {
    let guest = Guest::new();
    guest.script("true");
    let before = Footprint::take();
    renew_launcher(&before);
    for stop in 1..STOPS_MAX {
        let container = guest.start(guest.request(&["sleep", "600"]));
        let tracer = kill_at(stop);
        execute(&guest, &container, "exec");
        let reached = tracer.join().unwrap();
        guest.remove(container);
        assert!(!guest.engine.is_poisoned());
        before.assert_restored(&format!("stop {stop}"));
        if !reached {
            return;
        }
    }
    panic!("the launcher makes more than {STOPS_MAX} stops for one order");
}

fn killed_at_random() {
    let kills = kills();
    let guest = Guest::new();
    let container = guest.start(guest.request(&["sleep", "600"]));
    assert!(execute(&guest, &container, "first"));
    guest.script("true");
    let before = Footprint::take();
    let mut failed = 0;
    for number in 0..kills {
        let random = getrandom::u64().unwrap();
        let (which, delay_us) = (usize::from(random & 4 == 4), (random >> 8) % 3000);
        let pid = launcher_pids()[which];
        let killer = thread::spawn(move || {
            thread::sleep(Duration::from_micros(delay_us));
            kill(pid);
        });
        let id = format!("e{number}");
        if random & 1 == 0 {
            let executed = execute(&guest, &container, &id);
            failed += usize::from(!executed);
            assert_eq!(guest.root().join(&id).exists(), executed, "{number}");
        } else if let Some(made) = create(&guest) {
            made.start().unwrap();
            execute(&guest, &made, &id);
            guest.remove(made);
        } else {
            failed += 1;
        }
        killer.join().unwrap();
        assert!(!guest.engine.is_poisoned());
        before.assert_restored(&format!("kill {number}"));
        assert!(execute(&guest, &container, &format!("next{number}")));
    }
    println!("killed {kills} times: {failed} operations failed");
    guest.remove(container);
}

fn all_launchers_die() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&["cat"]));
    let pids = launcher_pids();
    assert_eq!(pids.len(), 2);
    for pid in &pids {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status.contains("Threads:\t1\n"), "{status}");
        // Standard streams, its channel, its own namespaces of the five kinds that it leaves and comes back to.
        assert_eq!(fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(), 9, "{pid}");
        assert_eq!(fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap().lines().count(), 1);
    }
    for pid in pids {
        kill(pid);
    }
    for _ in 0..2 {
        match guest.try_create(guest.request(&["true"])) {
            Err(CreateError::Spawn(error)) if is_gone(&error) => {}
            other => panic!("{other:?}"),
        }
        // Nothing was made, and the guest is as it was.
        assert!(!guest.engine.is_poisoned());
    }
    guest.runtime.block_on(async {
        container.init().write_stdin(b"alive").await.unwrap();
        assert_eq!(container.init().read_stdout(9).await.unwrap(), b"alive");
        container.init().close_stdin().unwrap();
        assert_eq!(container.init().wait().await.get(), 0);
    });
    guest.remove(container);
}
