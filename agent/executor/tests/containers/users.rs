//! User namespaces, and clocks: containers whose root is nobody in the guest.

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use executor::container::{CreateError, DeviceError, ExecError, MappingError, NamespaceError, PlanError};
use policy_engine::request::linux::{
    DeviceKind, DeviceNode, IdMapping, IdMappings, Namespace, Namespaces, Sysctl, TimeOffset, TimeOffsets,
};
use policy_engine::request::{CreateContainer, Rlimit, TerminalSize, User};

use rustix::mount::{UnmountFlags, unmount};
use rustix::thread::{CapabilitySet, ThreadNameSpaceType, capabilities, move_into_thread_name_spaces};

use crate::guest::{Guest, bind, process};
use crate::namespaces::{KINDS, join, namespace_of, own, refusal, set};

pub(crate) const TESTS: &[crate::Test] = &[
    ("a_containers_root_is_a_user_of_no_consequence_in_the_guest", mapped_root),
    ("every_namespace_belongs_to_the_containers_user_namespace", ownership),
    ("nothing_of_the_guest_is_left_below_the_root", below_the_root),
    ("a_container_with_users_of_its_own_has_devices_and_a_terminal", devices),
    ("processes_are_executed_as_users_of_the_container", exec),
    ("limits_are_set_from_outside_of_the_user_namespace", limits),
    ("kernel_parameters_are_set_in_a_user_namespace", sysctls),
    ("a_user_namespace_can_share_the_guests_other_namespaces", shared),
    ("a_user_namespace_of_another_container_is_joined", joined),
    ("malformed_mappings_and_unmapped_users_are_refused", refused),
    ("clocks_of_a_container_differ_from_the_guests", clocks),
];

/// The guest's id of the container's root.
const ROOT: u32 = 100_000;

fn mappings() -> IdMappings {
    let range = IdMapping { container_id: 0, host_id: ROOT, size: 65_536 };
    IdMappings { uids: vec![range], gids: vec![range] }
}

fn give(path: &Path) {
    std::os::unix::fs::lchown(path, Some(ROOT), Some(ROOT)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path()));
    }
}

/// A request for a container with users and a network of its own, whose root owns its files.
pub(crate) fn request(guest: &Guest, args: &[&str]) -> CreateContainer {
    give(&guest.root());
    let mut request = guest.request(args);
    request.linux.namespaces = Namespaces {
        user: Namespace::New,
        network: Namespace::New,
        id_mappings: mappings(),
        ..Namespaces::default()
    };
    request
}

fn run(guest: &Guest, request: CreateContainer) -> String {
    let (code, output, error) = guest.run(request);
    assert_eq!(code, 0, "{output}{error}");
    output
}

fn mapped_root() {
    let guest = Guest::new();
    let volume = guest.volume("v");
    fs::write(Path::new(&volume).join("secret"), "of the guest").unwrap();
    fs::set_permissions(Path::new(&volume).join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let script = "id -u; id -g; touch /made; stat -c '%u %g' /made; stat -c %u /volume/secret; \
                  cat /volume/secret 2>&1; mknod /disk b 8 0 2>&1; cat /proc/self/uid_map";
    let mut request = request(&guest, &["sh", "-c", script]);
    request.mounts = vec![bind(&volume, "/volume", &["rbind"])];
    let output = run(&guest, request);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..4], ["0", "0", "0 0", "65534"]);
    assert_eq!(lines[4], "cat: can't open '/volume/secret': Permission denied");
    assert_eq!(lines[5], "mknod: /disk: Operation not permitted");
    assert_eq!(lines[6].split_whitespace().collect::<Vec<_>>(), ["0", "100000", "65536"]);
    let made = fs::metadata(guest.root().join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (ROOT, ROOT));
}

fn ownership() {
    let guest = Guest::new();
    // Each of these takes a right over the namespace that it changes.
    let script = "hostname other && hostname && mount -t tmpfs none /tmp && mount -t proc proc /home && \
                  mount -t mqueue none /root && mount -t sysfs none /etc && ls /etc/class/net";
    let mut request = request(&guest, &["sh", "-c", script]);
    for set in [
        &mut request.process.capabilities.bounding,
        &mut request.process.capabilities.effective,
        &mut request.process.capabilities.permitted,
    ] {
        set.push("CAP_SYS_ADMIN".to_owned());
    }
    request.privileged = true;
    assert_eq!(run(&guest, request.clone()), "other\nlo\n");
    // And none of it over the guest's.
    request.linux.namespaces.uts = Namespace::Guest;
    request.hostname = None;
    let (code, _, error) = guest.run(request);
    assert_ne!(code, 0);
    assert!(error.contains("Operation not permitted"), "{error}");
}

/// Somebody with all rights over the container's mounts takes them away until there is nothing more to take away.
fn below_the_root() {
    let guest = Guest::new();
    let container = guest.start(request(&guest, &["sleep", "600"]));
    let namespace = fs::File::open(format!("/proc/{}/ns/mnt", container.init().pid())).unwrap();
    let looked = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).unwrap();
        let mut roots = Vec::new();
        loop {
            // Entering a mount namespace leads to what is mounted last at its root.
            move_into_thread_name_spaces(namespace.as_fd(), ThreadNameSpaceType::MOUNT).unwrap();
            roots.push(fs::read_dir("/").unwrap().count());
            if unmount("/", UnmountFlags::DETACH).is_err() {
                return roots;
            }
        }
    });
    let roots = looked.join().unwrap();
    assert!(matches!(roots[..], [1..=100, 0]), "{roots:?}");
    guest.remove(container);
}

fn devices() {
    let guest = Guest::new();
    let script = "echo x >/dev/null && head -c 3 /dev/zero >/tmp/zeros && stat -c %s /tmp/zeros && \
                  head -c 1 /dev/urandom >/dev/null && stat -c '%a %t %T' /dev/full && ls /dev/pts /dev/fd/0 && \
                  (echo x >/dev/full) 2>&1; test ! -r /proc/kcore || head -c 1 /proc/kcore | stat -c %s -";
    let output = run(&guest, request(&guest, &["sh", "-c", script]));
    assert!(output.starts_with("3\n666 1 7\n/dev/fd/0\n"), "{output}");
    assert!(output.contains("No space left on device"), "{output}");

    let node = DeviceNode {
        path: "/dev/more/null".parse().unwrap(),
        kind: DeviceKind::Character,
        major: 1,
        minor: 3,
        file_mode: 0o640,
        uid: 5,
        gid: 6,
    };
    let script = "stat -c '%u %g %a' /dev/null /dev/more/null; echo x >/dev/more/null && echo written";
    let mut with_node = request(&guest, &["sh", "-c", script]);
    with_node.linux.devices = vec![node.clone()];
    assert_eq!(run(&guest, with_node.clone()), "0 0 666\n5 6 640\nwritten\n");
    with_node.linux.devices = vec![DeviceNode { gid: 70_000, ..node }];
    let expected = PlanError::Device { path: "more/null".to_owned(), source: DeviceError::Owner };
    assert_eq!(refusal(&guest, with_node), expected);

    let mut request = request(&guest, &["sh", "-c", "tty; stat -c %u $(tty); echo x >/dev/console; id -u"]);
    request.process.terminal = Some(TerminalSize { rows: 20, columns: 70 });
    request.process.user.uid = 33;
    let container = guest.start(request);
    let output = guest.finish(container.init()).1;
    assert!(output.starts_with("/dev/pts/0\r\n33\r\n") && output.ends_with("33\r\n"), "{output}");
    guest.remove(container);
}

fn exec() {
    let guest = Guest::new();
    let container = guest.start(request(&guest, &["sleep", "600"]));
    let script = "for n in mnt pid ipc uts cgroup net user time; do \
                  test $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) || exit 9; done";
    let exec = guest.exec(&container, "e0", process(&["sh", "-c", script])).unwrap();
    assert_eq!(guest.finish(&exec).0, 0);
    let script = "id -u; id -g; id -G; touch /tmp/made; stat -c %u /tmp/made; echo again >/proc/self/fd/1";
    let mut spec = process(&["sh", "-c", script]);
    spec.user = User { gid: 7, additional_gids: vec![8, 9], ..User::default() };
    let exec = guest.exec(&container, "e1", spec).unwrap();
    assert_eq!(guest.finish(&exec), (0, "0\n7\n7 8 9\n0\nagain\n".to_owned(), String::new()));
    let mut spec = process(&["sh", "-c", "id -u; echo again >/proc/self/fd/1; cat /proc/self/status"]);
    spec.user.uid = 33;
    let exec = guest.exec(&container, "e2", spec).unwrap();
    let (code, output, error) = guest.finish(&exec);
    assert_eq!(code, 0, "{output}{error}");
    assert!(output.starts_with("33\nagain\n"), "{output}");
    assert!(output.contains("CapEff:\t0000000000000000\n"), "{output}");
    let mut spec = process(&["tty"]);
    spec.terminal = Some(TerminalSize { rows: 20, columns: 70 });
    let exec = guest.exec(&container, "e3", spec).unwrap();
    assert_eq!(guest.finish(&exec).1, "/dev/pts/0\r\n");
    let mut spec = process(&["true"]);
    spec.user.uid = 65_536;
    let refused = guest.exec(&container, "e4", spec);
    let expected = NamespaceError::Mapping(MappingError::Process { id: 65_536 });
    assert!(matches!(refused, Err(ExecError::Plan(PlanError::Namespace(error))) if error == expected));
    assert_eq!(fs::metadata(guest.root().join("tmp/made")).unwrap().uid(), ROOT);
    guest.remove(container);
}

fn limits() {
    let guest = Guest::new();
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max msgqueue size")).unwrap();
    let held: u64 = line.split_whitespace().nth(4).unwrap().parse().unwrap();
    // Where this process itself cannot raise limits, nobody can.
    let can_raise = capabilities(None).unwrap().effective.contains(CapabilitySet::SYS_RESOURCE);
    let (hard, score) = if can_raise { (held + 5, -7) } else { (held - 5, 7) };
    let limits = vec![Rlimit { kind: "RLIMIT_MSGQUEUE".to_owned(), soft: hard - 1, hard }];
    let script = "grep() { while read line; do case $line in *msgqueue*) echo $line;; esac; done; }; \
                  grep </proc/self/limits; cat /proc/self/oom_score_adj";
    let mut request = request(&guest, &["sh", "-c", script]);
    request.process.rlimits = limits.clone();
    request.process.oom_score_adj = Some(score);
    let expected = format!("Max msgqueue size {} {hard} bytes\n{score}\n", hard - 1);
    assert_eq!(run(&guest, request), expected);
    let container = guest.start(self::request(&guest, &["sleep", "600"]));
    let mut spec = process(&["sh", "-c", script]);
    spec.rlimits = limits;
    spec.oom_score_adj = Some(score + 1);
    let exec = guest.exec(&container, "e1", spec).unwrap();
    assert_eq!(
        guest.finish(&exec).1,
        expected.replace(&format!("\n{score}\n"), &format!("\n{}\n", score + 1))
    );
    guest.remove(container);
}

fn sysctls() {
    let guest = Guest::new();
    let mut request = request(&guest, &["cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/shmmni"]);
    request.linux.sysctls = [("net.ipv4.ip_forward", "1"), ("kernel.shmmni", "77")]
        .map(|(name, value)| Sysctl { name: name.to_owned(), value: value.to_owned() })
        .to_vec();
    assert_eq!(run(&guest, request), "1\n77\n");
}

fn shared() {
    let guest = Guest::new();
    let script =
        "readlink /proc/self/ns/pid; ls /sys/kernel >/dev/null && ls /sys/fs/cgroup >/dev/null && echo seen";
    let mut request = request(&guest, &["sh", "-c", script]);
    let namespaces = &mut request.linux.namespaces;
    for kind in ["pid", "ipc", "net", "cgroup"] {
        set(namespaces, kind, Namespace::Guest);
    }
    assert_eq!(run(&guest, request), format!("{}\nseen\n", own("pid")));
}

fn joined() {
    let guest = Guest::new();
    let first = guest.start(request(&guest, &["sleep", "600"]));
    let pid = first.init().pid();
    let script = "id -u; touch /joined; stat -c %u /joined; ps; hostname; echo x >/dev/null; echo again >/proc/self/fd/1; \
                  sleep 600";
    for mappings in [IdMappings::default(), mappings()] {
        let mut second = request(&guest, &["sh", "-c", script]);
        second.linux.namespaces.id_mappings = mappings.clone();
        second.linux.namespaces.user = join(&first, "user");
        // As containers of a pod do.
        for kind in ["net", "ipc", "uts"] {
            set(&mut second.linux.namespaces, kind, join(&first, kind));
        }
        second.hostname = None;
        let second = guest.start(second);
        let output = guest.runtime.block_on(async {
            let mut output = Vec::new();
            // A stream can be opened again by its name where the guest was told whose it is.
            let last: &[u8] = if mappings.uids.is_empty() { b"inside\n" } else { b"inside\nagain\n" };
            while !output.ends_with(last) {
                let chunk = second.init().read_stdout(4096).await.unwrap();
                assert!(!chunk.is_empty(), "{:?}", String::from_utf8_lossy(&output));
                output.extend(chunk);
            }
            String::from_utf8(output).unwrap()
        });
        assert!(output.starts_with("0\n0\n"), "{output}");
        assert!(!output.contains("root     sleep 600"), "{output}");
        for kind in KINDS {
            let is_same = namespace_of(pid, kind) == namespace_of(second.init().pid(), kind);
            assert_eq!(is_same, ["net", "ipc", "uts", "user", "time"].contains(&kind), "{kind}");
        }
        let exec = guest.exec(&second, "e1", process(&["id", "-u"])).unwrap();
        assert_eq!(guest.finish(&exec).1, "0\n");
        guest.remove(second);
    }
    assert_eq!(fs::metadata(guest.root().join("joined")).unwrap().uid(), ROOT);
    guest.remove(first);
}

fn refused() {
    let guest = Guest::new();
    let base = request(&guest, &["true"]);
    let refused = |change: &dyn Fn(&mut CreateContainer)| {
        let mut request = guest.request(&["true"]);
        request.linux.namespaces = base.linux.namespaces.clone();
        change(&mut request);
        match refusal(&guest, request) {
            PlanError::Namespace(NamespaceError::Mapping(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let ids = |request: &mut CreateContainer, container_id, host_id, size| {
        request.linux.namespaces.id_mappings.uids.push(IdMapping { container_id, host_id, size });
    };
    let none = |request: &mut CreateContainer| request.linux.namespaces.id_mappings = IdMappings::default();
    assert_eq!(refused(&none), MappingError::Missing);
    assert_eq!(refused(&|request| ids(request, 1, 1, 1)), MappingError::Overlap);
    assert_eq!(refused(&|request| ids(request, 70_000, ROOT, 1)), MappingError::Overlap);
    assert_eq!(refused(&|request| ids(request, 70_000, 5, 0)), MappingError::Empty);
    assert_eq!(refused(&|request| ids(request, u32::MAX, 5, 1)), MappingError::Overflow);
    let guests = |request: &mut CreateContainer| request.linux.namespaces.user = Namespace::Guest;
    assert_eq!(refused(&guests), MappingError::NoNamespace);
    assert_eq!(refused(&|request| request.process.user.uid = 65_536), MappingError::Process { id: 65_536 });
    let group = |request: &mut CreateContainer| request.process.user.additional_gids = vec![70_000];
    assert_eq!(refused(&group), MappingError::Process { id: 70_000 });

    let first = guest.start(guest.request(&["sleep", "600"]));
    let mut request = request(&guest, &["true"]);
    request.linux.namespaces.mount = join(&first, "mnt");
    assert_eq!(refusal(&guest, request), PlanError::Namespace(NamespaceError::MountOfOthers));
    // The namespace that everybody is in already cannot be joined.
    let mut request = guest.request(&["true"]);
    request.linux.namespaces.user = join(&first, "user");
    assert!(matches!(guest.try_create(request), Err(CreateError::Spawn(_))));
    assert!(!guest.engine.is_poisoned());
    guest.remove(first);
    chown(guest.root(), Some(0), Some(0)).unwrap();
}

fn clocks() {
    let guest = Guest::new();
    let seconds = |uptime: &str| uptime.split('.').next().unwrap().parse::<i64>().unwrap();
    let offsets = TimeOffsets {
        monotonic: Some(TimeOffset { secs: 1_000, nanosecs: 5 }),
        boottime: Some(TimeOffset { secs: 1_000_000, nanosecs: 0 }),
    };
    let script = "cat /proc/uptime; cat /proc/self/timens_offsets";
    let plain = guest.request(&["sh", "-c", script]);
    for mut request in [plain, request(&guest, &["sh", "-c", script])] {
        request.linux.namespaces.time = Namespace::New;
        request.linux.namespaces.time_offsets = offsets;
        let before = seconds(&fs::read_to_string("/proc/uptime").unwrap());
        let output = run(&guest, request.clone());
        let after = seconds(&fs::read_to_string("/proc/uptime").unwrap());
        let lines: Vec<Vec<&str>> = output.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!((before..=after).contains(&(seconds(lines[0][0]) - 1_000_000)), "{output}");
        assert_eq!(lines[1..], [["monotonic", "1000", "5"], ["boottime", "1000000", "0"]]);

        request.linux.namespaces.time_offsets = TimeOffsets::default();
        request.process = process(&["readlink", "/proc/self/ns/time"]);
        assert_ne!(run(&guest, request.clone()).trim_end(), own("time"));
        request.linux.namespaces.time = Namespace::Guest;
        request.linux.namespaces.time_offsets = offsets;
        assert_eq!(refusal(&guest, request), PlanError::Namespace(NamespaceError::TimeOffsets));
    }
    // Exec and joining show the same clocks.
    let mut request = guest.request(&["sleep", "600"]);
    request.linux.namespaces.time = Namespace::New;
    request.linux.namespaces.time_offsets = offsets;
    let first = guest.start(request);
    let exec = guest.exec(&first, "e1", process(&["cat", "/proc/uptime"])).unwrap();
    assert!(seconds(&guest.finish(&exec).1) > 1_000_000);
    let mut request = guest.request(&["cat", "/proc/uptime"]);
    request.linux.namespaces.time = join(&first, "time");
    assert!(seconds(&run(&guest, request)) > 1_000_000);
    guest.remove(first);
    assert!(seconds(&guest.script("cat /proc/uptime").1) < 1_000_000);
    let mut request = guest.request(&["true"]);
    request.linux.namespaces.time = Namespace::New;
    request.linux.namespaces.time_offsets.boottime = Some(TimeOffset { secs: 1, nanosecs: 1_000_000_000 });
    assert_eq!(refusal(&guest, request), PlanError::Namespace(NamespaceError::Nanoseconds));
}
