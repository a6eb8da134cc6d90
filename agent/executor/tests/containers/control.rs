//! Pausing, resuming, limiting, and what happens at a limit.

use std::fs;
use std::thread;
use std::time::Duration;

use executor::cgroup::Limit;
use executor::container::{Container, ExecError, PauseError, UpdateError};
use policy_engine::request::{
    CpuResources, Maximum, PauseContainer, Resources, ResumeContainer, UpdateContainer,
};

use crate::guest::{Guest, process};
use crate::lifecycle::signal;
use crate::limits::{change, memory, stats};

pub(crate) const TESTS: &[crate::Test] = &[
    ("a_paused_container_stands_still_until_it_is_resumed", pause_and_resume),
    ("a_container_is_paused_and_resumed_only_where_that_makes_sense", misplaced),
    ("signals_reach_a_paused_container", signals_while_paused),
    ("a_paused_container_is_removed", removed_while_paused),
    ("limits_change_while_a_container_runs", update),
    ("limits_change_all_or_none", failed_update),
    ("a_limit_of_processes_holds_for_an_exec_too", pids),
    ("a_process_killed_for_want_of_memory_is_told_of", oom),
];

fn pause(guest: &Guest, container: &Container) -> Result<(), PauseError> {
    container.pause(guest.engine.decide(PauseContainer { container_id: container.id().clone() }).unwrap())
}

fn resume(guest: &Guest, container: &Container) -> Result<(), PauseError> {
    container.resume(guest.engine.decide(ResumeContainer { container_id: container.id().clone() }).unwrap())
}

fn pause_and_resume() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&["sh", "-c", "while true; do :; done"]));
    for _ in 0..3 {
        pause(&guest, &container).unwrap();
        let stopped = stats(&guest, &container).cpu.usage_us;
        thread::sleep(Duration::from_millis(50));
        assert_eq!(stats(&guest, &container).cpu.usage_us, stopped);
        resume(&guest, &container).unwrap();
        while stats(&guest, &container).cpu.usage_us == stopped {
            thread::sleep(Duration::from_millis(1));
        }
    }
    guest.remove(container);
}

fn misplaced() {
    let guest = Guest::new();
    let container = guest.create(guest.request(&["sh", "-c", "read line"]));
    assert!(matches!(pause(&guest, &container), Err(PauseError::NotRunning)));
    container.start().unwrap();
    assert!(matches!(resume(&guest, &container), Err(PauseError::NotPaused)));
    pause(&guest, &container).unwrap();
    assert!(matches!(pause(&guest, &container), Err(PauseError::Paused)));
    assert!(matches!(guest.exec(&container, "e1", process(&["true"])), Err(ExecError::Paused)));
    assert!(container.start().is_err());
    resume(&guest, &container).unwrap();
    assert!(matches!(resume(&guest, &container), Err(PauseError::NotPaused)));
    assert_eq!(guest.finish(&guest.exec(&container, "e1", process(&["true"])).unwrap()).0, 0);

    let other = PauseContainer { container_id: "another".parse().unwrap() };
    assert!(matches!(container.pause(guest.engine.decide(other).unwrap()), Err(PauseError::OtherContainer)));
    let other = UpdateContainer { container_id: "another".parse().unwrap(), resources: Resources::default() };
    assert!(matches!(
        container.update(guest.engine.decide(other).unwrap()),
        Err(UpdateError::OtherContainer)
    ));
    container.init().close_stdin().unwrap();
    guest.finish(container.init());
    assert!(matches!(pause(&guest, &container), Err(PauseError::NotRunning)));
    assert!(!guest.engine.is_poisoned());
    guest.remove(container);
}

fn signals_while_paused() {
    let guest = Guest::new();
    for all in [false, true] {
        let script = "trap 'exit 3' TERM; echo up; while true; do sleep 0.01; done";
        let container = guest.start(guest.request(&["sh", "-c", script]));
        assert_eq!(guest.runtime.block_on(container.init().read_stdout(3)).unwrap(), b"up\n");
        pause(&guest, &container).unwrap();
        signal(&guest, &container, 15, all);
        // It is taken when the container goes on, not before.
        thread::sleep(Duration::from_millis(50));
        assert!(container.init().try_status().is_none());
        assert!(matches!(guest.exec(&container, "e1", process(&["true"])), Err(ExecError::Paused)));
        resume(&guest, &container).unwrap();
        assert_eq!(guest.finish(container.init()).0, 3);
        guest.remove(container);

        let container = guest.start(guest.request(&["sleep", "600"]));
        pause(&guest, &container).unwrap();
        signal(&guest, &container, 9, all);
        assert_eq!(guest.finish(container.init()).0, 137);
        guest.remove(container);
    }
}

fn removed_while_paused() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&["sh", "-c", "sleep 600 & sleep 600"]));
    guest.exec(&container, "e1", process(&["sleep", "600"])).unwrap();
    pause(&guest, &container).unwrap();
    let init = container.init().clone();
    guest.remove(container);
    assert_eq!(init.try_status().unwrap().get(), 137);
}

fn update() {
    let guest = Guest::new();
    let mut request = guest.request(&["sleep", "600"]);
    request.resources = memory(64 << 20);
    let container = guest.start(request);
    if !container.unenforced_limits().is_empty() {
        println!("skipped: this kernel has no controllers");
        return guest.remove(container);
    }
    assert_eq!(stats(&guest, &container).memory.unwrap().limit_bytes, Some(64 << 20));
    let resources = Resources { pids_limit: Some(Maximum::Limited(9)), ..memory(32 << 20) };
    assert_eq!(change(&guest, &container, resources).unwrap(), []);
    let now = stats(&guest, &container);
    assert_eq!(now.memory.unwrap().limit_bytes, Some(32 << 20));
    assert_eq!(now.pids.unwrap().limit, Some(9));
    // One alone, and the other stays.
    assert_eq!(
        change(
            &guest,
            &container,
            Resources { pids_limit: Some(Maximum::Limited(5)), ..Resources::default() }
        )
        .unwrap(),
        []
    );
    assert_eq!(stats(&guest, &container).memory.unwrap().limit_bytes, Some(32 << 20));
    let cpu = CpuResources {
        quota_us: Some(Maximum::Limited(20_000)),
        period_us: Some(50_000),
        shares: Some(512),
        cpus: Some("0".parse().unwrap()),
        ..CpuResources::default()
    };
    let cpu = Resources { cpu, ..Resources::default() };
    assert_eq!(change(&guest, &container, cpu).unwrap(), []);
    let allowed = fs::read_to_string(format!("/proc/{}/status", container.init().pid())).unwrap();
    assert!(allowed.contains("Cpus_allowed_list:\t0\n"), "{allowed}");
    guest.remove(container);
}

fn failed_update() {
    let guest = Guest::new();
    let mut request = guest.request(&["sleep", "600"]);
    request.resources = memory(64 << 20);
    let container = guest.start(request);
    let cpu = CpuResources { cpus: Some("60000".parse().unwrap()), ..CpuResources::default() };
    let resources = Resources { cpu, ..memory(32 << 20) };
    match change(&guest, &container, resources) {
        Err(UpdateError::Limit { limit: Limit::Cpus, .. }) => {
            assert_eq!(stats(&guest, &container).memory.unwrap().limit_bytes, Some(64 << 20));
        }
        Ok(unenforced) if unenforced.contains(&Limit::Cpus) => {
            println!("skipped: this kernel has no controllers");
        }
        other => panic!("{other:?}"),
    }
    assert!(!guest.engine.is_poisoned());
    guest.remove(container);
}

fn pids() {
    let guest = Guest::new();
    let mut request = guest.request(&["sleep", "600"]);
    request.resources = Resources { pids_limit: Some(Maximum::Limited(3)), ..Resources::default() };
    let container = guest.start(request);
    if !container.unenforced_limits().is_empty() {
        println!("skipped: this kernel has no controllers");
        return guest.remove(container);
    }
    let script = "for n in 1 2 3 4 5; do sleep 600 & done; echo forked";
    let exec = guest.exec(&container, "e1", process(&["sh", "-c", script])).unwrap();
    let (_, output, error) = guest.finish(&exec);
    assert!(output.is_empty() && error.contains("fork"), "{output}{error}");
    assert_eq!(stats(&guest, &container).pids.unwrap().current, 2);
    guest.remove(container);
}

fn oom() {
    let guest = Guest::new();
    let mut request = guest.request(&["sh", "-c", "read line; dd if=/dev/zero of=/dev/null bs=200M count=1"]);
    request.resources = memory(32 << 20);
    let container = guest.start(request);
    if !container.unenforced_limits().is_empty() {
        println!("skipped: this kernel has no controllers");
        return guest.remove(container);
    }
    let mut watch = {
        let _context = guest.runtime.enter();
        container.watch_oom().unwrap()
    };
    assert_eq!(stats(&guest, &container).memory.unwrap().oom_kills, 0);
    guest.runtime.block_on(async { container.init().write_stdin(b"\n").await.unwrap() });
    assert_eq!(guest.runtime.block_on(watch.next()), Some(()));
    assert_eq!(guest.finish(container.init()).0, 137);
    assert_eq!(stats(&guest, &container).memory.unwrap().oom_kills, 1);
    // Some kernels tell of one killing more than once; the removal ends it.
    let waiting = guest.runtime.spawn(async move { while watch.next().await.is_some() {} });
    guest.remove(container);
    guest.runtime.block_on(waiting).unwrap();
}
