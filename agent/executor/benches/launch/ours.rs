//! Containers of our own.

use std::fs;
use std::os::fd::AsFd as _;
use std::time::Instant;

use executor::container::{Container, CreateOptions, create};
use policy_engine::request::{CreateContainer, ShutdownContainer};
use policy_engine::{Engine, Permit};

use crate::guest::{self, Guest, launcher, process};
use crate::memory;

/// Milliseconds of the phases of a run.
#[derive(Debug)]
pub(crate) struct Phases(pub(crate) [f64; 4]);

impl Phases {
    pub(crate) const NAMES: [&str; 4] = ["create", "start", "wait", "delete"];

    pub(crate) fn total_ms(&self) -> f64 {
        self.0.iter().sum()
    }
}

/// The guest that containers run in.
pub(crate) struct Ours {
    pub(crate) guest: Guest,
}

/// What policy has allowed before a run: what that takes is not measured.
struct Allowed {
    create: Permit<CreateContainer>,
    shutdown: Permit<ShutdownContainer>,
    /// Each permit has an engine of its own, since one makes no change before the last one is settled. The end of an
    /// engine takes time as well.
    engines: [Engine; 2],
}

impl Allowed {
    fn run(self, guest: &Guest) -> (Phases, [Engine; 2]) {
        let rootfs = fs::File::open(guest.root()).unwrap();
        let mut began = Instant::now();
        let mut lap = || {
            let ended = Instant::now();
            (ended - std::mem::replace(&mut began, ended)).as_secs_f64() * 1e3
        };
        let container = create(launcher(), self.create, rootfs.as_fd(), &CreateOptions::default()).unwrap();
        let created = lap();
        container.start().unwrap();
        let started = lap();
        let code = tokio::runtime::Handle::current().block_on(container.init().wait());
        let waited = lap();
        assert_eq!(code.get(), 0);
        container.remove(self.shutdown).unwrap();
        (Phases([created, started, waited, lap()]), self.engines)
    }
}

impl Ours {
    pub(crate) fn new() -> Self {
        Self { guest: Guest::new() }
    }

    fn allow(&self) -> Allowed {
        let engines =
            [(); 2].map(|()| Engine::load(guest::policy(true).as_bytes()).expect("the policy loads"));
        let create = engines[0].decide(self.guest.request(&["/bin/true"])).expect("allowed");
        let container_id = create.request().container_id.clone();
        let shutdown = engines[1].decide(ShutdownContainer { container_id }).expect("allowed");
        Allowed { create, shutdown, engines }
    }

    /// Runs one container.
    pub(crate) fn run(&self) -> Phases {
        let _context = self.guest.runtime.enter();
        self.allow().run(&self.guest).0
    }

    /// Runs `count` containers at once; the milliseconds until all are deleted.
    pub(crate) fn run_at_once(&self, count: usize) -> f64 {
        let allowed: Vec<_> = (0..count).map(|_| self.allow()).collect();
        let began = Instant::now();
        let run = |allowed: Allowed| {
            let _context = self.guest.runtime.enter();
            allowed.run(&self.guest)
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                allowed.into_iter().map(|allowed| scope.spawn(move || run(allowed))).collect();
            let _engines: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            began.elapsed().as_secs_f64() * 1e3
        })
    }

    /// Executes a process in a container; the milliseconds until it has ended.
    pub(crate) fn execute(&self, container: &Container) -> f64 {
        let began = Instant::now();
        let executed = self.guest.exec(container, "exec", process(&["/bin/true"])).unwrap();
        let code = self.guest.runtime.block_on(executed.wait());
        let time = began.elapsed().as_secs_f64() * 1e3;
        assert_eq!(code.get(), 0);
        container.forget(&"exec".parse().unwrap());
        time
    }

    /// The memory that this process and its launchers take for each of `count` running containers, in KiB. As many run
    /// before it is measured: they take what the allocator has kept from earlier.
    pub(crate) fn held_kib(&self, count: usize) -> f64 {
        let start = |_| self.guest.start(self.guest.request(&["sleep", "600"]));
        let first: Vec<_> = (0..count).map(start).collect();
        let before = memory::held_kib();
        let second: Vec<_> = (0..count).map(start).collect();
        let after = memory::held_kib();
        first.into_iter().chain(second).for_each(|container| self.guest.remove(container));
        (after - before) / count as f64
    }
}
