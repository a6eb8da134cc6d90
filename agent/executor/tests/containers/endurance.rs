//! Thousands of containers, one after the other, and hundreds of killed launchers: what is left of them is nothing.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::death::{Footprint, create, execute, kill, kills};
use crate::guest::{Guest, launcher, launchers};

pub(crate) const TESTS: &[crate::Test] = &[
    ("many_containers_leave_nothing", many_containers),
    ("launchers_killed_under_load_leave_nothing", killed_under_load),
];

/// How many containers are run, unless `CCE_ENDURANCE_CYCLES` says otherwise.
const CYCLES: usize = 200;
/// Containers that are run before the first look: tables and the allocator grow to their size.
const WARM_UP: usize = 100;
/// How often it is looked at what there is.
const LOOKS: usize = 10;
/// Every so many containers have a second process.
const EXEC_EVERY: usize = 8;
/// What the allocator may take more after the first look, in KiB: less than a hundred bytes for each of 10,000
/// containers.
const GROWTH_KIB_MAX: u64 = 768;

/// What this process and its launchers have, and what the kernel has for them.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    /// Of each process.
    descriptors: Vec<usize>,
    mounts: Vec<usize>,
    anonymous_kib: Vec<u64>,
    /// Of this agent's directory of cgroups: those that exist, and those that are removed and still in use.
    cgroups: u64,
    dying_cgroups: u64,
}

impl Holdings {
    fn take() -> Self {
        let own = rustix::thread::gettid().as_raw_nonzero().get();
        let processes = || std::iter::once(own).chain(launchers());
        let entries = |pid: i32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        let lines = |pid: i32| fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap().lines().count();
        Self {
            descriptors: processes().map(entries).collect(),
            mounts: processes().map(lines).collect(),
            anonymous_kib: processes().map(anonymous_kib).collect(),
            cgroups: cgroup_count("nr_descendants "),
            dying_cgroups: cgroup_count("nr_dying_descendants "),
        }
    }

    fn total_kib(&self) -> u64 {
        self.anonymous_kib.iter().sum()
    }
}

fn anonymous_kib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A number of this agent's directory of cgroups.
fn cgroup_count(key: &str) -> u64 {
    // The agent holds a lock on it.
    let mut held =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let directory =
        |path: &PathBuf| path.join("cgroup.stat").exists() && path.to_string_lossy().contains("/cce-");
    let stat = fs::read_to_string(held.find(directory).unwrap().join("cgroup.stat")).unwrap();
    stat.lines().find_map(|line| line.strip_prefix(key)?.parse().ok()).unwrap()
}

/// Objects of the kernel on the whole machine, which others make and drop as well: told, not judged.
fn kernel_objects() -> String {
    let names = ["mnt_cache ", "pid ", "nsproxy ", "proc_inode_cache ", "task_struct "];
    let slabs = fs::read_to_string("/proc/slabinfo").unwrap_or_default();
    let found = slabs.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
    let counts = found.map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
    counts.collect::<Vec<_>>().join(", ")
}

fn many_containers() {
    let asked = std::env::var("CCE_ENDURANCE_CYCLES").ok().and_then(|text| text.parse().ok());
    let cycles: usize = asked.unwrap_or(CYCLES);
    let guest = Guest::new();
    (0..WARM_UP).for_each(|number| cycle(&guest, number));
    let (before, first) = (Footprint::take(), Holdings::take());
    println!("\n{:>6} {first:?}", 0);
    println!("       {}", kernel_objects());
    for look in 1..=LOOKS {
        (cycles * (look - 1) / LOOKS..cycles * look / LOOKS).for_each(|number| cycle(&guest, number));
        before.assert_restored(&format!("{} containers", cycles * look / LOOKS));
        let now = Holdings::take();
        if asked.is_some() || look == LOOKS {
            println!("{:>6} {now:?}", cycles * look / LOOKS);
        }
        assert_eq!((&now.descriptors, &now.mounts), (&first.descriptors, &first.mounts));
        assert_eq!(now.cgroups, first.cgroups);
        assert!(now.dying_cgroups <= first.dying_cgroups + 64, "{now:?}");
        assert!(now.total_kib() <= first.total_kib() + GROWTH_KIB_MAX, "{:?}", (first, now));
    }
    println!("       {}", kernel_objects());
}

/// Creates, starts, waits for and deletes a container.
fn cycle(guest: &Guest, number: usize) {
    if number.is_multiple_of(EXEC_EVERY) {
        let container = guest.start(guest.request(&["sleep", "600"]));
        assert!(execute(guest, &container, "exec"));
        guest.remove(container);
    } else {
        assert_eq!(guest.run(guest.request(&["echo", "done"])), (0, "done\n".to_owned(), String::new()));
    }
}

/// Those who give orders at the same time.
const WORKERS: usize = 4;

/// Operations of one kind.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    done: usize,
    /// Their launcher was gone. Any other failure fails the test.
    failed: usize,
}

impl Tally {
    fn count(&mut self, done: bool) {
        if done {
            self.done += 1;
        } else {
            self.failed += 1;
        }
    }
}

fn killed_under_load() {
    let kills = kills();
    let guest = Guest::new();
    guest.script("true");
    let before = Footprint::take();
    let over = AtomicBool::new(false);
    let (mut creates, mut execs) = (Tally::default(), Tally::default());
    thread::scope(|scope| {
        let over = &over;
        let workers: Vec<_> = (0..WORKERS).map(|number| scope.spawn(move || work(number, over))).collect();
        for _ in 0..kills {
            let random = getrandom::u64().unwrap();
            thread::sleep(Duration::from_micros(random % 10_000));
            // The one that works or the one that stands by.
            kill(launchers()[usize::from(random >> 63 == 1)]);
            // When both are dead at once none can be made, nor while one makes the other.
            assert!((0..10_000).any(|_| has_two_launchers()), "no launcher is left");
        }
        over.store(true, Ordering::Relaxed);
        for worker in workers {
            let (made, executed) = worker.join().unwrap();
            creates = Tally { done: creates.done + made.done, failed: creates.failed + made.failed };
            execs = Tally { done: execs.done + executed.done, failed: execs.failed + executed.failed };
        }
    });
    println!("\n{kills} launchers killed: creates {creates:?}, execs {execs:?}");
    before.assert_restored(&format!("{kills} kills"));
    assert_eq!(guest.script("exit 7").0, 7);
    assert!(creates.done > 0 && execs.done > 0);
}

/// Makes the missing one again, as on `SIGCHLD`, and says whether there are two, and the agent knows.
fn has_two_launchers() -> bool {
    thread::sleep(Duration::from_millis(1));
    launcher().reap_orphans();
    let there = launchers().len() == 2;
    launcher().reap_orphans();
    there
}

/// Creates and executes until it is over.
fn work(number: usize, over: &AtomicBool) -> (Tally, Tally) {
    let guest = Guest::new();
    let (mut creates, mut execs) = (Tally::default(), Tally::default());
    for cycle in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let made = create(&guest);
        creates.count(made.is_some());
        assert!(!guest.engine.is_poisoned());
        let Some(container) = made else { continue };
        container.start().unwrap();
        let id = format!("e{number}-{cycle}");
        let executed = execute(&guest, &container, &id);
        execs.count(executed);
        // A program that the agent says did not run has not run.
        assert_eq!(guest.root().join(&id).exists(), executed);
        guest.remove(container);
    }
    (creates, execs)
}
