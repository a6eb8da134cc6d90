//! Limits, devices and places of cgroups.

use std::fs;
use std::path::{Path, PathBuf};

use executor::cgroup::{CgroupError, Limit, Stats};
use executor::container::{Container, CreateError, UpdateError};
use policy_engine::request::linux::{DeviceAccess, DeviceKind, DeviceRule};
use policy_engine::request::{
    BlockIoResources, CpuResources, CreateContainer, DeviceNumber, DeviceRate, GetProperties, HugepageLimit,
    Maximum, MemoryResources, Resources, ThrottleKind, UnifiedSetting, UpdateContainer,
};

use crate::guest::{Guest, process};
use crate::lifecycle::signal;

pub(crate) const TESTS: &[crate::Test] = &[
    ("limits_are_lifted_while_a_container_runs", lifted),
    ("memory_and_swap_are_raised_and_lowered_together", memory_and_swap),
    ("every_limit_is_set_or_named", every_limit),
    ("a_limit_takes_in_every_process_that_runs_already", late_limit),
    ("an_unknown_file_of_version_2_is_refused", unknown_file),
    ("a_device_that_is_not_there_has_no_limit", missing_device),
    ("devices_are_allowed_by_rules", device_rules),
    ("a_cgroup_is_where_it_was_asked_for", place),
    ("a_cgroup_in_use_is_refused", place_in_use),
    ("the_cgroups_of_agents_are_out_of_reach", place_of_an_agent),
    ("nested_cgroups_are_signalled_paused_and_removed", nested),
    ("cgroups_are_not_nested_without_end", nested_deeply),
];

/// A limit of memory alone.
pub(crate) fn memory(limit_bytes: u64) -> Resources {
    let limit_bytes = Some(Maximum::Limited(limit_bytes));
    Resources {
        memory: MemoryResources { limit_bytes, ..MemoryResources::default() },
        ..Resources::default()
    }
}

pub(crate) fn change(
    guest: &Guest,
    container: &Container,
    resources: Resources,
) -> Result<Vec<Limit>, UpdateError> {
    let request = UpdateContainer { container_id: container.id().clone(), resources };
    container.update(guest.engine.decide(request).unwrap())
}

pub(crate) fn stats(guest: &Guest, container: &Container) -> Stats {
    let grant = guest.engine.inspect(GetProperties { container_id: container.id().clone() }).unwrap();
    container.stats(&grant).unwrap()
}

/// Where version 2 is mounted.
fn unified() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().find(|line| line.contains(" - cgroup2 ")).unwrap().split(' ').nth(4).unwrap().into()
}

/// The path of a process in a hierarchy: of version 2 for an empty name.
fn path_of(container: &Container, controller: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", container.init().pid())).unwrap();
    let fields = text.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
    let mut found = fields.filter(|fields| fields[1].split(',').any(|name| name == controller));
    found.next().unwrap_or_else(|| panic!("no {controller} in {text}"))[2].to_owned()
}

/// The directory of a container in version 2.
fn directory(container: &Container) -> PathBuf {
    unified().join(path_of(container, "").trim_start_matches('/'))
}

fn lifted() {
    let guest = Guest::new();
    let mut request = guest.request(&["sleep", "600"]);
    let cpu = CpuResources { quota_us: Some(Maximum::Limited(20_000)), ..CpuResources::default() };
    request.resources = Resources { pids_limit: Some(Maximum::Limited(9)), cpu, ..memory(64 << 20) };
    let container = guest.start(request);
    if !container.unenforced_limits().is_empty() {
        println!("skipped: this kernel has no controllers");
        return guest.remove(container);
    }
    let limits = |guest: &Guest, container: &Container| {
        let stats = stats(guest, container);
        (stats.memory.unwrap().limit_bytes, stats.pids.unwrap().limit)
    };
    assert_eq!(limits(&guest, &container), (Some(64 << 20), Some(9)));
    let mut resources = memory(1);
    resources.memory.limit_bytes = Some(Maximum::Unlimited);
    resources.pids_limit = Some(Maximum::Unlimited);
    resources.cpu.quota_us = Some(Maximum::Unlimited);
    assert_eq!(change(&guest, &container, resources).unwrap(), []);
    assert_eq!(limits(&guest, &container), (None, None));
    guest.remove(container);
}

fn memory_and_swap() {
    let guest = Guest::new();
    let both = |memory: u64, with_swap: u64| Resources {
        memory: MemoryResources {
            limit_bytes: Some(Maximum::Limited(memory << 20)),
            with_swap_bytes: Some(Maximum::Limited(with_swap << 20)),
            ..MemoryResources::default()
        },
        ..Resources::default()
    };
    let mut request = guest.request(&["sleep", "600"]);
    request.resources = both(64, 128);
    let container = guest.start(request);
    if !container.unenforced_limits().is_empty() {
        println!("skipped: this kernel has no controllers");
        return guest.remove(container);
    }
    // In version 1 each of the two may only be written while it contradicts the other not.
    for (memory, with_swap) in [(64, 128), (256, 512), (32, 40), (32, 32), (48, 300)] {
        assert_eq!(change(&guest, &container, both(memory, with_swap)).unwrap(), []);
        let now = stats(&guest, &container).memory.unwrap();
        let expected = (Some(memory << 20), Some((with_swap - memory) << 20));
        assert_eq!((now.limit_bytes, now.swap_limit_bytes), expected);
    }
    assert!(matches!(
        change(&guest, &container, both(64, 63)),
        Err(UpdateError::Limit { limit: Limit::Swap, .. })
    ));
    assert_eq!(stats(&guest, &container).memory.unwrap().limit_bytes, Some(48 << 20));
    guest.remove(container);
}

/// A block device, by its number.
fn disk() -> DeviceNumber {
    let partitions = fs::read_to_string("/proc/partitions").unwrap();
    let rows = partitions.lines().skip(2).map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let mut disks =
        rows.filter(|row| ["vd", "sd", "nvme", "loop"].iter().any(|kind| row[3].starts_with(kind)));
    let row = disks.next().expect("a block device");
    DeviceNumber { major: row[0].parse().unwrap(), minor: row[1].parse().unwrap() }
}

fn every_limit() {
    let guest = Guest::new();
    let mut request = guest.request(&["sleep", "600"]);
    let rate = |kind| DeviceRate { device: disk(), kind, rate: Maximum::Limited(1 << 20) };
    request.resources = Resources {
        memory: MemoryResources {
            reservation_bytes: Some(Maximum::Limited(16 << 20)),
            swappiness: Some(10),
            disable_oom_killer: Some(true),
            ..memory(64 << 20).memory
        },
        cpu: CpuResources {
            shares: Some(512),
            quota_us: Some(Maximum::Limited(50_000)),
            period_us: Some(20_000),
            burst_us: Some(10_000),
            memory_nodes: Some("0".parse().unwrap()),
            cpus: Some("0".parse().unwrap()),
            idle: Some(false),
            ..CpuResources::default()
        },
        pids_limit: Some(Maximum::Limited(64)),
        block_io: BlockIoResources {
            throttles: [
                ThrottleKind::ReadBytes,
                ThrottleKind::WrittenBytes,
                ThrottleKind::Reads,
                ThrottleKind::Writes,
            ]
            .map(rate)
            .into(),
            ..BlockIoResources::default()
        },
        hugepages: vec![HugepageLimit {
            page_size: "2MB".parse().unwrap(),
            limit_bytes: Maximum::Limited(4 << 20),
        }],
        ..Resources::default()
    };
    let container = guest.start(request);
    let unenforced = container.unenforced_limits().to_vec();
    println!("not enforced: {unenforced:?}");
    let now = stats(&guest, &container);
    let is_set = |limit: Limit, set: bool| assert!(set != unenforced.contains(&limit), "{limit}: {set}");
    is_set(Limit::Memory, now.memory.is_some_and(|memory| memory.limit_bytes == Some(64 << 20)));
    is_set(Limit::Pids, now.pids.is_some_and(|pids| pids.limit == Some(64)));
    let pages = now.hugepages.iter().find(|pages| pages.page_size == "2MB");
    is_set(Limit::Hugepages, pages.is_some_and(|pages| pages.limit_bytes == Some(4 << 20)));
    let status = fs::read_to_string(format!("/proc/{}/status", container.init().pid())).unwrap();
    is_set(Limit::Cpus, status.contains("Cpus_allowed_list:\t0\n"));
    guest.remove(container);
}

fn late_limit() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&["sh", "-c", "sleep 600 & sleep 600 & echo up; wait"]));
    guest.exec(&container, "e1", process(&["sleep", "600"])).unwrap();
    assert_eq!(guest.runtime.block_on(container.init().read_stdout(3)).unwrap(), b"up\n");
    let pids = Resources { pids_limit: Some(Maximum::Limited(6)), ..Resources::default() };
    if !change(&guest, &container, pids).unwrap().is_empty() {
        println!("skipped: this kernel has no controllers");
        return guest.remove(container);
    }
    assert_eq!(stats(&guest, &container).pids.unwrap().current, 4);
    let script = "for n in 1 2 3 4 5; do sleep 600 & done; echo forked";
    let exec = guest.exec(&container, "e2", process(&["sh", "-c", script])).unwrap();
    let (_, output, error) = guest.finish(&exec);
    assert!(output.is_empty() && error.contains("fork"), "{output}{error}");
    guest.remove(container);
}

fn unknown_file() {
    let guest = Guest::new();
    let unified = |file: &str, value: &str| {
        let setting = UnifiedSetting { file: file.parse().unwrap(), value: value.to_owned() };
        Resources { unified: vec![setting], ..Resources::default() }
    };
    let mut request = guest.request(&["sleep", "600"]);
    request.resources = unified("memory.no_such_file", "1");
    match guest.try_create(request) {
        Err(CreateError::Cgroup(CgroupError::Limit { limit, .. })) => {
            assert_eq!(limit.to_string(), "memory.no_such_file");
        }
        other => panic!("{other:?}"),
    }
    let mut request = guest.request(&["sleep", "600"]);
    request.resources = unified("cgroup.max.descendants", "3");
    let container = guest.start(request);
    let file = directory(&container).join("cgroup.max.descendants");
    assert_eq!(fs::read_to_string(&file).unwrap(), "3\n");
    change(&guest, &container, unified("cgroup.max.descendants", "max")).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "max\n");
    guest.remove(container);
}

fn missing_device() {
    let guest = Guest::new();
    let device = DeviceNumber { major: 240, minor: 250 };
    let rate = DeviceRate { device, kind: ThrottleKind::Reads, rate: Maximum::Limited(1) };
    let block_io = BlockIoResources { throttles: vec![rate], ..BlockIoResources::default() };
    let mut request = guest.request(&["true"]);
    request.resources = Resources { block_io, ..memory(64 << 20) };
    match guest.try_create(request) {
        Err(CreateError::Cgroup(CgroupError::Limit { limit: Limit::IoRate, .. })) => {}
        Ok(container) if container.unenforced_limits().contains(&Limit::IoRate) => {
            println!("skipped: this kernel has no controllers");
            guest.remove(container);
        }
        other => panic!("{other:?}"),
    }
    assert!(!guest.engine.is_poisoned());
}

fn device_rules() {
    const FULL: DeviceAccess = DeviceAccess { read: true, write: true, mknod: true };
    let guest = Guest::new();
    // File systems of programs, and what asks the platform for keys.
    let script = "cd /dev; mknod fuse c 10 229; mknod sev c 10 124; \
                  for n in fuse sev; do test -c $n && echo made $n; done; \
                  test -c fuse && (exec 3<fuse) && echo read; test -c fuse && (exec 3>fuse) && echo written; \
                  (echo > null) && echo null";
    let run = |rules: &[DeviceRule]| {
        let mut request = guest.request(&["sh", "-c", script]);
        request.linux.device_rules = rules.into();
        guest.run(request).1
    };
    let rule = |allow, minor, access| DeviceRule {
        allow,
        kind: Some(DeviceKind::Character),
        major: Some(10),
        minor,
        access,
    };
    assert_eq!(run(&[]), "null\n");
    assert_eq!(run(&[rule(true, Some(229), FULL)]), "made fuse\nread\nwritten\nnull\n");
    let read_only = DeviceAccess { write: false, ..FULL };
    assert_eq!(run(&[rule(true, Some(229), read_only)]), "made fuse\nread\nnull\n");
    // The last rule that fits decides, for each access.
    let write = DeviceAccess { write: true, ..DeviceAccess::default() };
    assert_eq!(
        run(&[rule(true, None, FULL), rule(false, Some(229), write)]),
        "made fuse\nmade sev\nread\nnull\n"
    );
    // What every container has stays.
    assert_eq!(run(&[DeviceRule { major: None, ..rule(false, None, FULL) }]), "null\n");
    let block = DeviceRule { kind: Some(DeviceKind::Block), ..rule(true, None, FULL) };
    assert_eq!(run(&[block]), "null\n");
}

/// Every directory of that name in every hierarchy.
fn everywhere(name: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts = mounts.lines().filter(|line| line.contains(" - cgroup"));
    mounts
        .map(|line| Path::new(line.split(' ').nth(4).unwrap()).join(name))
        .filter(|path| path.exists())
        .collect()
}

fn at(guest: &Guest, path: &str) -> CreateContainer {
    let mut request = guest.request(&["sleep", "600"]);
    request.linux.cgroups_path = Some(path.parse().unwrap());
    request.resources = memory(64 << 20);
    request
}

fn place() {
    let guest = Guest::new();
    let top = format!("test-{}-place", std::process::id());
    let first = guest.start(at(&guest, &format!("/{top}/between/first")));
    assert_eq!(path_of(&first, ""), format!("/{top}/between/first"));
    assert_eq!(path_of(&first, "memory"), format!("/{top}/between/first"));
    let second = guest.start(at(&guest, &format!("/{top}/between/second")));
    guest.remove(first);
    assert!(unified().join(&top).join("between").exists(), "another container is there");
    guest.remove(second);
    assert_eq!(everywhere(&top), [] as [PathBuf; 0]);

    // What somebody else has made stays.
    fs::create_dir(unified().join(&top)).unwrap();
    let container = guest.start(at(&guest, &format!("/{top}/between/third")));
    guest.remove(container);
    assert!(!unified().join(&top).join("between").exists());
    // A directory that is there and empty is taken, and goes.
    guest.remove(guest.start(at(&guest, &format!("/{top}"))));
    assert_eq!(everywhere(&top), [] as [PathBuf; 0]);

    let container = guest.start(at(&guest, &format!("{top}/relative")));
    let path = path_of(&container, "");
    assert!(path.starts_with("/cce-") && path.ends_with(&format!("/{top}/relative")), "{path}");
    let between = directory(&container).parent().unwrap().to_owned();
    guest.remove(container);
    assert!(!between.exists() && between.parent().unwrap().exists());
}

fn place_in_use() {
    let guest = Guest::new();
    let path = format!("/test-{}-in-use", std::process::id());
    let container = guest.start(at(&guest, &path));
    for path in [path.clone(), format!("/test-{}-in-use", std::process::id())] {
        let second = guest.try_create(at(&guest, &path));
        assert!(matches!(second, Err(CreateError::Cgroup(CgroupError::Create(_)))), "{second:?}");
    }
    assert!(container.init().try_status().is_none());
    assert!(!guest.engine.is_poisoned());
    guest.remove(container);
    assert_eq!(everywhere(path.trim_start_matches('/')), [] as [PathBuf; 0]);
}

fn place_of_an_agent() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&["sleep", "600"]));
    let path = path_of(&container, "");
    for path in [format!("{path}/nested"), path.clone(), "/cce-other".to_owned()] {
        let other = guest.try_create(at(&guest, &path));
        assert!(matches!(other, Err(CreateError::Cgroup(CgroupError::Create(_)))), "{path}: {other:?}");
    }
    assert!(directory(&container).join("cgroup.procs").exists());
    guest.remove(container);
}

/// A container that may write to its cgroup file system.
fn delegated(guest: &Guest, script: &str) -> Container {
    let mut request = guest.request(&["sh", "-c", script]);
    request.privileged = true;
    guest.start(request)
}

fn nested() {
    let guest = Guest::new();
    // The init stays where it was born. One child is in a cgroup of its own, and of another a thread alone.
    let script = "child() { trap \"echo $1; exit\" TERM; echo up; while true; do sleep 0.01; done; }; \
                  cd /sys/fs/cgroup; mkdir -p a/b t/c; echo threaded > t/c/cgroup.type; \
                  (sh -c 'echo $PPID' > a/b/cgroup.procs; child b) & \
                  (sh -c 'echo $PPID' > t/cgroup.procs; sh -c 'echo $PPID' > t/c/cgroup.threads; child c) & \
                  trap 'echo init' TERM; while true; do wait; done";
    let container = delegated(&guest, script);
    let read = |length| guest.runtime.block_on(container.init().read_stdout(length)).unwrap();
    let mut output = String::new();
    while output.matches("up\n").count() < 2 {
        output.push_str(std::str::from_utf8(&read(64)).unwrap());
    }
    let cgroup = directory(&container);
    let file = |name: &str| fs::read_to_string(cgroup.join(name));
    assert_ne!(file("a/b/cgroup.procs").unwrap(), "");
    assert_ne!(file("t/c/cgroup.threads").unwrap(), "");
    assert!(file("t/c/cgroup.procs").is_err(), "only threads are listed there");

    signal(&guest, &container, 15, true);
    while !["b\n", "c\n", "init\n"].iter().all(|line| output.contains(line)) {
        output.push_str(std::str::from_utf8(&read(64)).unwrap());
    }
    guest.remove(container);
    assert!(!cgroup.exists());
    killed_in_their_own_cgroups(&guest);
}

fn killed_in_their_own_cgroups(guest: &Guest) {
    // A thread alone, which makes the container's own cgroup one of threads.
    let script = "cd /sys/fs/cgroup; mkdir c; echo threaded > c/cgroup.type; \
                  (sh -c 'echo $PPID' > c/cgroup.threads; echo up; sleep 600) & sleep 600";
    let container = delegated(guest, script);
    assert_eq!(guest.runtime.block_on(container.init().read_stdout(3)).unwrap(), b"up\n");
    let cgroup = directory(&container);
    assert_ne!(fs::read_to_string(cgroup.join("c/cgroup.threads")).unwrap(), "");
    guest.remove(container);
    assert!(!cgroup.exists());

    // One that is frozen in its own cgroup is killed as well.
    let script = "cd /sys/fs/cgroup; mkdir a; sleep 600 & child=$!; \
                  echo $child > a/cgroup.procs; echo 1 > a/cgroup.freeze; echo up; sleep 600";
    let container = delegated(guest, script);
    assert_eq!(guest.runtime.block_on(container.init().read_stdout(3)).unwrap(), b"up\n");
    let cgroup = directory(&container);
    guest.remove(container);
    assert!(!cgroup.exists());
}

fn nested_deeply() {
    let guest = Guest::new();
    let script = "cd /sys/fs/cgroup; n=0; while mkdir x && cd x; do n=$((n+1)); done; echo $n; sleep 600";
    let container = delegated(&guest, script);
    let output = guest.runtime.block_on(container.init().read_stdout(16)).unwrap();
    let depth: u32 = std::str::from_utf8(&output).unwrap().trim().parse().unwrap();
    assert!((1..32).contains(&depth), "{depth}");
    let cgroup = directory(&container);
    guest.remove(container);
    assert!(!cgroup.exists());
}
