//! What a process is beyond its program: execution domain, CPUs, priorities, labels, capabilities.

use std::fs;

use executor::container::{CreateError, ExecError, SpawnError, Step};
use policy_engine::request::ProcessSpec;
use policy_engine::request::linux::{
    IoPriority, IoPriorityClass, Personality, SchedulerFlag, SchedulerPolicy, SchedulerSettings,
};

use crate::guest::{Guest, process};

pub(crate) const TESTS: &[crate::Test] = &[
    ("a_container_may_be_of_a_32_bit_domain", personality),
    ("processes_have_the_io_priority_that_was_asked_for", io_priority),
    ("processes_have_the_scheduler_that_was_asked_for", scheduler),
    ("processes_run_on_the_cpus_that_were_asked_for", affinity),
    ("labels_of_modules_that_the_kernel_does_not_have_are_refused", labels),
    ("ambient_capabilities_are_those_of_an_ordinary_user", ambient),
    ("additional_groups_are_taken", groups),
];

fn personality() {
    let guest = Guest::new();
    let uname = ["busybox", "uname", "-m"];
    let native = guest.run(guest.request(&uname)).1;
    let linux32 = |args: &[&str]| {
        let mut request = guest.request(args);
        request.linux.personality = Personality::Linux32;
        request
    };
    let container = guest.start(linux32(&["sleep", "600"]));
    let exec = guest.exec(&container, "e1", process(&uname)).unwrap();
    let inside = guest.finish(&exec).1;
    guest.remove(container);
    assert_eq!(guest.run(linux32(&uname)).1, inside);
    if native == "x86_64\n" {
        assert_eq!(inside, "i686\n");
    }
    assert_eq!(guest.run(guest.request(&uname)).1, native);
}

fn io_priority() {
    let guest = Guest::new();
    for (class, priority, text) in [
        (IoPriorityClass::BestEffort, 3, "best-effort: prio 3\n"),
        (IoPriorityClass::RealTime, 0, "realtime: prio 0\n"),
        (IoPriorityClass::Idle, 0, "idle\n"),
    ] {
        let mut request = guest.request(&["busybox", "ionice"]);
        request.process.user.uid = 33;
        request.process.settings.io_priority = Some(IoPriority { class, priority });
        assert_eq!(guest.run(request).1, text);
    }
}

/// Nice value, real-time priority and policy of a `/proc/<pid>/stat`, `proc_pid_stat(5)`.
fn scheduling(stat: &str) -> (i32, u32, u32) {
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (fields[16].parse().unwrap(), fields[37].parse().unwrap(), fields[38].parse().unwrap())
}

fn scheduler() {
    let guest = Guest::new();
    let settings = |policy, nice, priority, flags: &[SchedulerFlag]| SchedulerSettings {
        policy,
        nice,
        priority,
        flags: flags.to_vec(),
        runtime_ns: 0,
        deadline_ns: 0,
        period_ns: 0,
    };
    let run = |settings| {
        let mut request = guest.request(&["cat", "/proc/self/stat"]);
        request.process.user.uid = 33;
        request.process.settings.scheduler = Some(settings);
        scheduling(&guest.run(request).1)
    };
    assert_eq!(run(settings(SchedulerPolicy::Batch, 5, 0, &[])), (5, 0, 3));
    assert_eq!(run(settings(SchedulerPolicy::Other, -7, 0, &[])), (-7, 0, 0));
    assert_eq!(run(settings(SchedulerPolicy::Idle, 0, 0, &[])), (0, 0, 5));
    assert_eq!(run(settings(SchedulerPolicy::Other, 9, 0, &[SchedulerFlag::ResetOnFork])), (9, 0, 0));
    // Linux has no such policy.
    let mut request = guest.request(&["true"]);
    request.process.settings.scheduler = Some(settings(SchedulerPolicy::Iso, 0, 0, &[]));
    match guest.try_create(request) {
        Err(CreateError::Spawn(SpawnError::Setup { step: Step::Scheduler, source, .. })) => {
            assert_eq!(source.raw_os_error(), Some(22));
        }
        other => panic!("{other:?}"),
    }
    // Real time, where the kernel has any of it for cgroups.
    let mut request = guest.request(&["cat", "/proc/self/stat"]);
    request.process.settings.scheduler = Some(settings(SchedulerPolicy::Fifo, 0, 10, &[]));
    match guest.try_create(request) {
        Ok(container) => {
            container.start().unwrap();
            assert_eq!(scheduling(&guest.finish(container.init()).1), (0, 10, 1));
            guest.remove(container);
        }
        Err(CreateError::Spawn(
            SpawnError::Setup { step: Step::Scheduler, source, .. } | SpawnError::Prepare(source),
        )) => {
            // A cgroup of version 1 without such time takes no process, or none that is to have it.
            assert!([Some(1), Some(22)].contains(&source.raw_os_error()), "{source}");
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn affinity() {
    let guest = Guest::new();
    let script =
        "while read name value; do test $name = Cpus_allowed_list: && echo $value; done < /proc/self/status";
    let spec = |initial: Option<&str>, last: Option<&str>| {
        let mut spec: ProcessSpec = process(&["sh", "-c", script]);
        spec.settings.cpu_affinity.initial = initial.map(|list| list.parse().unwrap());
        spec.settings.cpu_affinity.last = last.map(|list| list.parse().unwrap());
        spec
    };
    let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    let last_cpu = online.trim().rsplit(['-', ',']).next().unwrap();
    let container = guest.start(guest.request(&["sleep", "600"]));
    let exec = |id, spec| guest.exec(&container, id, spec).map(|process| guest.finish(&process).1);
    assert_eq!(exec("e1", spec(Some("0"), None)).unwrap(), "0\n");
    assert_eq!(exec("e2", spec(Some("0"), Some(last_cpu))).unwrap(), format!("{last_cpu}\n"));
    let unbound = exec("e3", spec(None, None)).unwrap();
    // A CPU that the machine does not have: nowhere to begin is anywhere, nowhere to stay is an error.
    assert_eq!(exec("e4", spec(Some("1023"), None)).unwrap(), unbound);
    match exec("e5", spec(None, Some("1023"))) {
        Err(ExecError::Spawn(SpawnError::Setup { step: Step::CpuAffinity, source, .. })) => {
            assert_eq!(source.raw_os_error(), Some(22));
        }
        other => panic!("{other:?}"),
    }
    guest.remove(container);
    let mut request = guest.request(&[]);
    request.process = spec(None, Some("0"));
    assert_eq!(guest.run(request).1, "0\n");
}

fn labels() {
    let guest = Guest::new();
    let refused = |step: Step, change: fn(&mut ProcessSpec)| {
        let mut request = guest.request(&["true"]);
        change(&mut request.process);
        match guest.try_create(request) {
            Err(CreateError::Spawn(SpawnError::Setup { step: failed, source, .. })) => {
                assert_eq!((failed, source.raw_os_error()), (step, Some(nix::libc::EOPNOTSUPP)));
            }
            other => panic!("{other:?}"),
        }
    };
    if fs::read("/proc/self/attr/apparmor/current").is_err() {
        refused(Step::AppArmor, |spec| spec.settings.apparmor_profile = Some("docker-default".to_owned()));
    }
    if !fs::read_to_string("/proc/self/attr/current").is_ok_and(|own| own.contains(':')) {
        refused(Step::SeLinux, |spec| spec.settings.selinux_label = Some("u:r:container_t:s0".to_owned()));
    }
}

fn ambient() {
    let guest = Guest::new();
    let bind = vec!["CAP_NET_BIND_SERVICE".to_owned()];
    // One that is not inheritable is not given.
    for (inheritable, expected) in [(bind.clone(), "0000000000000400"), (Vec::new(), "0000000000000000")] {
        let mut request = guest.request(&["cat", "/proc/self/status"]);
        request.process.user.uid = 33;
        request.process.capabilities.inheritable = inheritable;
        request.process.capabilities.ambient.clone_from(&bind);
        let (_, output, _) = guest.run(request);
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert!(output.contains(&format!("{set}:\t{expected}\n")), "{output}");
        }
    }
}

fn groups() {
    let guest = Guest::new();
    let mut request = guest.request(&["id", "-G"]);
    request.process.user.gid = 5;
    request.process.user.additional_gids = vec![7, 4_000_000_000];
    assert_eq!(guest.run(request).1, "5 7 4000000000\n");
}
