//! Creating, starting, executing in, signalling, measuring, removing.

use std::fs;

use executor::container::{CreateError, ExecError, RemoveError, SpawnError, StartContainerError, Step};
use policy_engine::request::{
    GetProperties, Maximum, Resources, ShutdownContainer, Signal, SignalContainerProcess,
};

use crate::guest::{Guest, chain, process};

pub(crate) const TESTS: &[crate::Test] = &[
    ("a_container_runs_and_is_gone", a_container_runs_and_is_gone),
    ("exit_codes_are_those_of_the_program_or_of_its_signal", exit_codes),
    ("a_created_container_does_not_run_before_it_is_started", gate),
    ("a_program_that_cannot_be_executed_is_reported_at_the_start", missing_program),
    ("processes_are_executed_in_the_containers_namespaces", exec),
    ("exec_is_refused_where_nothing_runs", exec_refused),
    ("a_failed_exec_leaves_its_id_free", failed_exec),
    ("signals_reach_one_or_all", signals),
    ("a_signal_for_another_container_is_not_sent", other_container),
    ("an_id_in_use_is_refused_and_its_owner_lives_on", id_in_use),
    ("a_failed_creation_is_undone", failed_creation),
    ("removal_kills_everything", removal),
    ("statistics_are_the_kernels", statistics),
    ("many_wait_for_one_end", many_waiters),
    ("orphans_are_collected_and_registered_children_are_not_taken", orphans),
    ("limits_of_missing_controllers_are_named", limits),
    ("descriptors_and_processes_do_not_accumulate", no_leaks),
];

fn a_container_runs_and_is_gone() {
    let guest = Guest::new();
    let (code, output, error) = guest.script("echo hello; hostname; echo $$ >&2");
    assert_eq!((code, output.as_str(), error.as_str()), (0, "hello\ninside\n", "1\n"));
}

fn exit_codes() {
    let guest = Guest::new();
    assert_eq!(guest.script("exit 42").0, 42);
    assert_eq!(guest.run(guest.request(&["false"])).0, 1);
    let container = guest.start(guest.request(&["sleep", "600"]));
    let exec = guest.exec(&container, "e1", process(&["sh", "-c", "kill -9 $$"])).unwrap();
    assert_eq!(guest.finish(&exec).0, 137);
    guest.remove(container);
}

fn gate() {
    let guest = Guest::new();
    let container = guest.create(guest.request(&["touch", "/ran"]));
    assert!(container.init().try_status().is_none());
    assert!(!guest.root().join("ran").exists());
    container.start().unwrap();
    assert!(matches!(container.start(), Err(StartContainerError::Started)));
    assert_eq!(guest.finish(container.init()).0, 0);
    assert!(guest.root().join("ran").exists());
    guest.remove(container);

    let never = guest.create(guest.request(&["touch", "/never"]));
    guest.remove(never);
    assert!(!guest.root().join("never").exists());
}

fn missing_program() {
    let guest = Guest::new();
    fs::write(guest.root().join("etc/plain"), "no program").unwrap();
    for (program, errno) in [("/bin/nothing", 2), ("nothing", 2), ("/etc/plain", 13), ("/etc", 13)] {
        let container = guest.create(guest.request(&[program]));
        match container.start() {
            Err(StartContainerError::Execute(SpawnError::Setup { step: Step::Execute, subject, source })) => {
                assert_eq!((subject.as_str(), source.raw_os_error()), (program, Some(errno)));
            }
            other => panic!("{program}: {other:?}"),
        }
        guest.remove(container);
    }
}

fn exec() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&["sleep", "600"]));
    let script = "for n in mnt pid ipc uts cgroup; do test $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) \
                  || exit 9; done; hostname; ps | head -3; cat /proc/self/cgroup; readlink /proc/self/root";
    let exec = guest.exec(&container, "e1", process(&["sh", "-c", script])).unwrap();
    let (code, output, error) = guest.finish(&exec);
    assert_eq!(code, 0, "{output}{error}");
    assert!(output.starts_with("inside\n"), "{output}");
    assert!(output.contains("sleep 600"), "{output}");
    assert!(output.contains("0::/\n"), "{output}");
    assert!(matches!(guest.exec(&container, "e1", process(&["true"])), Err(ExecError::Exists)));
    container.forget(&"e1".parse().unwrap());
    assert!(container.process(Some(&"e1".parse().unwrap())).is_none());
    guest.remove(container);
}

fn exec_refused() {
    let guest = Guest::new();
    let container = guest.create(guest.request(&["true"]));
    assert!(matches!(guest.exec(&container, "e1", process(&["true"])), Err(ExecError::NotRunning)));
    container.start().unwrap();
    guest.finish(container.init());
    assert!(matches!(guest.exec(&container, "e1", process(&["true"])), Err(ExecError::NotRunning)));
    guest.remove(container);
}

fn failed_exec() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&["sleep", "600"]));
    for _ in 0..2 {
        let failed = guest.exec(&container, "e1", process(&["/bin/nothing"]));
        assert!(
            matches!(failed, Err(ExecError::Spawn(SpawnError::Setup { step: Step::Execute, .. }))),
            "{failed:?}"
        );
        assert!(!guest.engine.is_poisoned());
    }
    assert!(guest.exec(&container, "e1", process(&["true"])).is_ok());
    guest.remove(container);
}

pub(crate) fn signal(guest: &Guest, container: &executor::container::Container, signal: u32, all: bool) {
    let request = SignalContainerProcess {
        container_id: container.id().clone(),
        exec_id: None,
        signal: Signal::new(signal).unwrap(),
        all,
        args: container.init().args().to_vec(),
    };
    container.signal(guest.engine.decide(request).unwrap()).unwrap();
}

fn signals() {
    let guest = Guest::new();
    let script = "trap 'exit 3' TERM; trap 'echo hup' HUP; echo up; while true; do sleep 1; done";
    let container = guest.start(guest.request(&["sh", "-c", script]));
    let init = container.init();
    assert_eq!(guest.runtime.block_on(init.read_stdout(3)).unwrap(), b"up\n");
    assert!(init.minds(Signal::TERM));
    assert!(!init.minds(Signal::new(10).unwrap()));
    signal(&guest, &container, 15, false);
    assert_eq!(guest.finish(init).0, 3);
    // After the end it changes nothing.
    signal(&guest, &container, 9, false);
    guest.remove(container);

    let script = "trap 'exit 7' TERM; sh -c \"trap 'echo child' TERM; echo up; sleep 600\" & while true; do wait; done";
    let container = guest.start(guest.request(&["sh", "-c", script]));
    assert_eq!(guest.runtime.block_on(container.init().read_stdout(3)).unwrap(), b"up\n");
    signal(&guest, &container, 15, true);
    assert_eq!(guest.finish(container.init()).0, 7);
    guest.remove(container);

    let container = guest.start(guest.request(&["sleep", "600"]));
    signal(&guest, &container, 9, true);
    assert_eq!(guest.finish(container.init()).0, 137);
    guest.remove(container);
}

fn other_container() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&["sleep", "600"]));
    let request = SignalContainerProcess {
        container_id: "another".parse().unwrap(),
        exec_id: None,
        signal: Signal::KILL,
        all: true,
        args: Vec::new(),
    };
    assert!(container.signal(guest.engine.decide(request).unwrap()).is_err());
    assert!(container.init().try_status().is_none());
    let permit = guest.engine.decide(ShutdownContainer { container_id: "another".parse().unwrap() }).unwrap();
    let Err(RemoveError::OtherContainer(container)) = container.remove(permit) else { panic!("removed") };
    assert!(container.init().try_status().is_none());
    assert!(!guest.engine.is_poisoned());
    guest.remove(*container);
}

fn id_in_use() {
    let guest = Guest::new();
    let request = guest.request(&["sleep", "600"]);
    let container = guest.start(request.clone());
    let second = guest.try_create(request);
    assert!(matches!(second, Err(CreateError::Cgroup(_))), "{second:?}");
    assert!(container.init().try_status().is_none());
    assert!(!guest.engine.is_poisoned());
    guest.remove(container);
}

fn failed_creation() {
    let guest = Guest::new();
    let mut request = guest.request(&["true"]);
    fs::write(guest.root().join("file"), "").unwrap();
    request.process.cwd = "/file".parse().unwrap();
    for _ in 0..2 {
        let failed = guest.try_create(request.clone());
        match failed {
            Err(CreateError::Spawn(SpawnError::Setup { step: Step::WorkingDirectory, subject, .. })) => {
                assert_eq!(subject, "/file");
            }
            other => panic!("{other:?}"),
        }
        // The id is free again: nothing is left of the first.
        assert!(!guest.engine.is_poisoned());
    }
    let mut request = guest.request(&["true"]);
    request.rootfs = "/".parse().unwrap();
    let failed = guest.try_create(request);
    assert!(matches!(failed, Err(CreateError::Rootfs(_))), "{failed:?}");
}

fn removal() {
    let guest = Guest::new();
    let script = "trap '' TERM; (trap '' TERM; sleep 601) & (sleep 602 &) ; echo up; sleep 603";
    let container = guest.start(guest.request(&["sh", "-c", script]));
    guest.exec(&container, "e1", process(&["sleep", "604"])).unwrap();
    assert_eq!(guest.runtime.block_on(container.init().read_stdout(3)).unwrap(), b"up\n");
    let init = container.init().clone();
    let id = container.id().to_string();
    guest.remove(container);
    assert_eq!(init.try_status().unwrap().get(), 137);
    let cgroups = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = cgroups.lines().find(|line| line.contains(" - cgroup2 ")).unwrap().split(' ').nth(4).unwrap();
    assert!(!std::path::Path::new(mount).join("cce").join(id).exists());
}

fn statistics() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&[
        "sh",
        "-c",
        "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 600",
    ]));
    let grant = guest.engine.inspect(GetProperties { container_id: container.id().clone() }).unwrap();
    let stats = container.stats(&grant).unwrap();
    assert!(stats.cpu.usage_us > 0);
    let other = guest.engine.inspect(GetProperties { container_id: "another".parse().unwrap() }).unwrap();
    assert!(container.stats(&other).is_err());
    guest.remove(container);
}

fn many_waiters() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&["sh", "-c", "read line; exit 5"]));
    let init = container.init();
    guest.runtime.block_on(async {
        let waiters: Vec<_> = (0..8)
            .map(|_| {
                let init = init.clone();
                tokio::spawn(async move { init.wait().await.get() })
            })
            .collect();
        init.close_stdin().unwrap();
        for waiter in waiters {
            assert_eq!(waiter.await.unwrap(), 5);
        }
        assert_eq!(init.wait().await.get(), 5);
    });
    guest.remove(container);
}

fn orphans() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&["sh", "-c", "exit 6"]));
    for _ in 0..100 {
        crate::guest::launcher().reap_orphans();
    }
    assert_eq!(guest.runtime.block_on(container.init().wait()).get(), 6);
    guest.remove(container);
}

fn limits() {
    let guest = Guest::new();
    let mut request = guest.request(&["true"]);
    request.resources =
        Resources { pids_limit: Some(Maximum::Limited(64)), ..crate::limits::memory(64 << 20) };
    let container = guest.start(request);
    let missing = container.unenforced_limits().len();
    let stats = container
        .stats(&guest.engine.inspect(GetProperties { container_id: container.id().clone() }).unwrap())
        .unwrap();
    let enforced =
        [stats.pids.and_then(|pids| pids.limit), stats.memory.and_then(|memory| memory.limit_bytes)];
    assert_eq!(missing + enforced.iter().flatten().count(), 2, "{enforced:?}");
    guest.remove(container);
}

fn no_leaks() {
    let guest = Guest::new();
    let count = |path: &str| fs::read_dir(path).unwrap().count();
    guest.script("true");
    let before = count("/proc/self/fd");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    for _ in 0..20 {
        let (code, _, error) = guest.script("true");
        assert_eq!(code, 0, "{error}");
        let _ = guest
            .try_create(guest.request(&[]))
            .map(|_| panic!("empty arguments"))
            .map_err(|error| chain(&error));
    }
    // Other tests open and close descriptors meanwhile; a leak of one per container would show.
    assert!(count("/proc/self/fd") < before + 20);
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), mounts);
}
