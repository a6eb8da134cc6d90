//! Namespaces: new, shared, joined; their names, parameters and propagation.

use std::fs;

use executor::container::{Container, CreateError, NamespaceError, PlanError, SpawnError, Step, SysctlError};
use nix::sched::{CloneFlags, unshare};
use policy_engine::request::linux::{Namespace, Namespaces, Propagation, Sysctl};
use policy_engine::request::{CreateContainer, Maximum};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};

use crate::guest::{Guest, bind, process};

pub(crate) const TESTS: &[crate::Test] = &[
    ("the_guests_namespaces_can_be_shared_but_for_its_files", shared),
    ("in_the_guests_mount_namespace_a_container_has_its_own_files", guests_mounts),
    ("a_network_of_its_own_has_a_loopback_interface_that_is_up", network),
    ("namespaces_of_another_container_are_joined", || in_own_mounts(joined)),
    ("what_is_joined_is_a_namespace_of_its_kind", joined_wrongly),
    ("in_a_joined_mount_namespace_the_files_are_the_others", joined_mounts),
    ("a_launcher_comes_back_from_what_it_joins", comes_back),
    ("a_cgroup_namespace_begins_with_the_containers_cgroups", cgroups),
    ("names_are_set_in_the_containers_own_namespace", names),
    ("kernel_parameters_of_its_own_namespaces_are_set", sysctls),
    ("kernel_parameters_of_the_guest_are_out_of_reach", sysctls_denied),
    ("the_root_spreads_its_mounts_as_asked", propagation),
    ("what_the_guest_mounts_in_the_root_appears_in_a_slave_alone", || in_own_mounts(slave)),
];

/// The kinds as `/proc/<pid>/ns` names them.
pub(crate) const KINDS: [&str; 8] = ["pid", "ipc", "uts", "mnt", "cgroup", "net", "user", "time"];

/// Sets where a container has one kind of namespace from.
pub(crate) fn set(namespaces: &mut Namespaces, kind: &str, from: Namespace) {
    *match kind {
        "pid" => &mut namespaces.pid,
        "ipc" => &mut namespaces.ipc,
        "uts" => &mut namespaces.uts,
        "mnt" => &mut namespaces.mount,
        "cgroup" => &mut namespaces.cgroup,
        "net" => &mut namespaces.network,
        "user" => &mut namespaces.user,
        "time" => &mut namespaces.time,
        other => panic!("{other}"),
    } = from;
}

/// The namespace of a process, as the kernel names it.
pub(crate) fn namespace_of(pid: i32, kind: &str) -> String {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().into_os_string().into_string().unwrap()
}

pub(crate) fn own(kind: &str) -> String {
    namespace_of(std::process::id().try_into().unwrap(), kind)
}

/// Joins a namespace of a container.
pub(crate) fn join(container: &Container, kind: &str) -> Namespace {
    Namespace::Join(format!("/proc/{}/ns/{kind}", container.init().pid()).parse().unwrap())
}

pub(crate) fn refusal(guest: &Guest, request: CreateContainer) -> PlanError {
    match guest.try_create(request) {
        Err(CreateError::Plan(error)) => {
            assert!(!guest.engine.is_poisoned());
            error
        }
        other => panic!("{other:?}"),
    }
}

/// Runs a test that mounts something on a thread that nobody shares mounts with: others compare what there is.
fn in_own_mounts(test: fn()) {
    let tested = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC).unwrap();
        test();
    });
    if let Err(panic) = tested.join() {
        std::panic::resume_unwind(panic);
    }
}

fn shared() {
    let guest = Guest::new();
    for kind in ["pid", "ipc", "uts", "cgroup"] {
        let mut request = guest.request(&["sleep", "600"]);
        request.hostname = None;
        set(&mut request.linux.namespaces, kind, Namespace::Guest);
        let container = guest.start(request);
        for other in KINDS {
            let is_shared = [kind, "net", "user", "time"].contains(&other);
            assert_eq!(
                namespace_of(container.init().pid(), other) == own(other),
                is_shared,
                "{kind} {other}"
            );
        }
        let exec = guest.exec(&container, "e1", process(&["readlink", &format!("/proc/self/ns/{kind}")]));
        assert_eq!(guest.finish(&exec.unwrap()).1.trim_end(), own(kind));
        guest.remove(container);
    }
    // A name would be the guest's.
    let mut request = guest.request(&["true"]);
    request.linux.namespaces.uts = Namespace::Guest;
    let refused = PlanError::Namespace(NamespaceError::Guest { setting: "hostname" });
    assert_eq!(refusal(&guest, request.clone()), refused);
    request.hostname = None;
    request.linux.domainname = Some("example".to_owned());
    let refused = PlanError::Namespace(NamespaceError::Guest { setting: "domainname" });
    assert_eq!(refusal(&guest, request), refused);
}

/// In the guest's mount namespace a container has its own files, and no way to the guest's.
fn guests_mounts() {
    let guest = Guest::new();
    let mut request = guest.request(&["sleep", "600"]);
    request.linux.namespaces.mount = Namespace::Guest;
    request.masked_paths = vec!["/etc/passwd".parse().unwrap()];
    let container = guest.start(request.clone());
    assert_eq!(namespace_of(container.init().pid(), "mnt"), own("mnt"));
    let script = "readlink /proc/self/ns/mnt; cat /etc/passwd; test -c /dev/null && ls /; \
                  chroot /.. ls /; cd ../../..; pwd; ls .";
    let exec = guest.exec(&container, "e1", process(&["sh", "-c", script])).unwrap();
    let (code, seen, error) = guest.finish(&exec);
    assert_eq!(code, 0, "{error}");
    let tree = "bin\ndev\netc\nhome\nproc\nroot\nsys\ntmp\n";
    assert_eq!(seen, format!("{}\n{tree}{tree}/\n{tree}", own("mnt")));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(guest.root().to_str().unwrap()), "{mounts}");
    guest.remove(container);
    request.linux.rootfs_propagation = Propagation::Slave;
    let refused = NamespaceError::Guest { setting: "linux.rootfsPropagation" };
    assert_eq!(refusal(&guest, request), PlanError::Namespace(refused));
}

fn network() {
    let guest = Guest::new();
    let mut request = guest.request(&["sleep", "600"]);
    request.linux.namespaces.network = Namespace::New;
    let container = guest.start(request);
    assert_ne!(namespace_of(container.init().pid(), "net"), own("net"));
    // Flags of the interface: up, loopback.
    let script = "ls /sys/class/net; cat /sys/class/net/lo/flags; readlink /proc/self/ns/net";
    let exec = guest.exec(&container, "e1", process(&["sh", "-c", script])).unwrap();
    let inside = namespace_of(container.init().pid(), "net");
    assert_eq!(guest.finish(&exec).1, format!("lo\n0x9\n{inside}\n"));
    guest.remove(container);
}

fn joined() {
    let guest = Guest::new();
    let mut request = guest.request(&["sleep", "600"]);
    request.linux.namespaces.network = Namespace::New;
    let first = guest.start(request);
    for kind in ["pid", "ipc", "uts", "cgroup", "net"] {
        let mut request = guest.request(&["sleep", "600"]);
        request.hostname = None;
        set(&mut request.linux.namespaces, kind, join(&first, kind));
        let second = guest.start(request);
        for other in KINDS {
            let is_same = namespace_of(first.init().pid(), other) == namespace_of(second.init().pid(), other);
            assert_eq!(is_same, [kind, "user", "time"].contains(&other), "{kind} {other}");
        }
        let exec = guest.exec(&second, "e1", process(&["readlink", &format!("/proc/self/ns/{kind}")]));
        assert_eq!(guest.finish(&exec.unwrap()).1.trim_end(), namespace_of(first.init().pid(), kind));
        guest.remove(second);
        assert!(first.init().try_status().is_none(), "{kind}");
    }
    // All at once, and by a file that one is mounted on.
    let file = guest.directory.path().join("namespace");
    fs::write(&file, "").unwrap();
    let link = format!("/proc/{}/ns/net", first.init().pid());
    mount_bind(link, &file).unwrap();
    let mut request = guest.request(&["sh", "-c", "hostname; ps"]);
    request.hostname = None;
    for kind in ["pid", "ipc", "uts", "cgroup"] {
        set(&mut request.linux.namespaces, kind, join(&first, kind));
    }
    request.linux.namespaces.network = Namespace::Join(file.to_str().unwrap().parse().unwrap());
    let (code, output, error) = guest.run(request);
    unmount(&file, UnmountFlags::DETACH).unwrap();
    assert_eq!(code, 0, "{error}");
    assert!(output.starts_with("inside\n") && output.contains("sleep 600"), "{output}");
    guest.remove(first);
}

fn joined_wrongly() {
    let guest = Guest::new();
    let first = guest.start(guest.request(&["sleep", "600"]));
    let pid = first.init().pid();
    let symlink = guest.directory.path().join("link");
    std::os::unix::fs::symlink(format!("/proc/{pid}/ns/ipc"), &symlink).unwrap();
    let fifo = guest.directory.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        rustix::fs::makedev(0, 0),
    )
    .unwrap();
    let paths = [
        format!("/proc/{pid}/ns/net"),
        format!("/proc/{pid}/ns/none"),
        format!("/proc/{pid}/exe"),
        format!("/proc/{pid}/status"),
        "/proc/self/ns/ipc".to_owned(),
        symlink.to_str().unwrap().to_owned(),
        fifo.to_str().unwrap().to_owned(),
        "/dev/null".to_owned(),
        "/".to_owned(),
    ];
    for path in paths {
        let mut request = guest.request(&["true"]);
        request.linux.namespaces.ipc = Namespace::Join(path.parse().unwrap());
        let failed = guest.try_create(request);
        assert!(matches!(failed, Err(CreateError::Namespace { .. })), "{path}: {failed:?}");
        assert!(!guest.engine.is_poisoned());
    }
    guest.remove(first);
}

fn joined_mounts() {
    let guest = Guest::new();
    let mut request = guest.request(&["sleep", "600"]);
    fs::write(std::path::Path::new(&guest.volume("v")).join("file"), "of the first").unwrap();
    request.mounts = vec![bind(&guest.volume("v"), "/volume", &["rbind", "ro"])];
    let first = guest.start(request);
    let mut request =
        guest.request(&["sh", "-c", "cat /volume/file; cat /proc/1/cmdline; echo x >/dev/full"]);
    request.linux.namespaces.mount = join(&first, "mnt");
    let (code, output, _) = guest.run(request.clone());
    // Its procfs is that of the first.
    assert_eq!((code, output.as_str()), (1, "of the firstsleep\u{0}600\u{0}"));
    let refused = |setting| PlanError::Namespace(NamespaceError::JoinedMount { setting });
    let mut with_mounts = request.clone();
    with_mounts.mounts = vec![bind(&guest.volume("v"), "/other", &["rbind"])];
    assert_eq!(refusal(&guest, with_mounts), refused("mounts"));
    let mut with_masks = request.clone();
    with_masks.masked_paths = vec!["/etc".parse().unwrap()];
    assert_eq!(refusal(&guest, with_masks), refused("linux.maskedPaths"));
    let mut readonly = request;
    readonly.readonly_rootfs = true;
    assert_eq!(refusal(&guest, readonly), refused("root.readonly"));
    guest.remove(first);
}

fn comes_back() {
    let guest = Guest::new();
    let mut request = guest.request(&["sleep", "600"]);
    request.linux.namespaces.network = Namespace::New;
    let first = guest.start(request);
    let mut request = guest.request(&["true"]);
    request.hostname = None;
    for kind in ["pid", "ipc", "uts", "net"] {
        set(&mut request.linux.namespaces, kind, join(&first, kind));
    }
    // Also when the process does not come to be.
    let mut failing = request.clone();
    failing.process.cwd = "/bin/busybox".parse().unwrap();
    assert!(matches!(guest.try_create(failing), Err(CreateError::Spawn(_))));
    assert_eq!(guest.run(request).0, 0);
    let mut request = guest.request(&["sleep", "600"]);
    request.hostname = None;
    for kind in ["pid", "ipc", "uts", "net"] {
        set(&mut request.linux.namespaces, kind, Namespace::Guest);
    }
    let next = guest.start(request);
    for kind in ["pid", "ipc", "uts", "net"] {
        assert_eq!(namespace_of(next.init().pid(), kind), own(kind), "{kind}");
    }
    guest.remove(next);
    guest.remove(first);
}

fn cgroups() {
    let guest = Guest::new();
    for _ in 0..10 {
        let mut request = guest.request(&["cat", "/proc/self/cgroup"]);
        request.resources.pids_limit = Some(Maximum::Limited(64));
        let output = guest.run(request).1;
        assert!(output.lines().count() > 0 && output.lines().all(|line| line.ends_with(":/")), "{output}");
    }
}

fn names() {
    let guest = Guest::new();
    let mut request = guest.request(&["cat", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname"]);
    request.linux.domainname = Some("example".to_owned());
    assert_eq!(guest.run(request.clone()).1, "inside\nexample\n");
    assert_ne!(fs::read_to_string("/proc/sys/kernel/domainname").unwrap(), "example\n");
    request.linux.domainname = Some("x".repeat(65));
    assert_eq!(refusal(&guest, request), PlanError::Domainname);
}

fn sysctl(name: &str, value: &str) -> Sysctl {
    Sysctl { name: name.to_owned(), value: value.to_owned() }
}

fn sysctls() {
    let guest = Guest::new();
    let before = fs::read_to_string("/proc/sys/kernel/shmmni").unwrap();
    let mut request = guest.request(&[
        "cat",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/net/ipv4/conf/lo/forwarding",
        "/proc/sys/kernel/shmmni",
        "/proc/sys/fs/mqueue/msg_max",
        "/proc/sys/kernel/domainname",
    ]);
    request.linux.namespaces.network = Namespace::New;
    request.linux.sysctls = vec![
        sysctl("net.ipv4.ip_forward", "1"),
        sysctl("net/ipv4/conf/lo/forwarding", "0"),
        sysctl("kernel.shmmni", "77"),
        sysctl("fs.mqueue.msg_max", "11"),
        sysctl("kernel.domainname", "example"),
    ];
    // What the container's own `/proc` is does not matter, nor that it cannot write there.
    assert_eq!(guest.run(request).1, "1\n0\n77\n11\nexample\n");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/shmmni").unwrap(), before);

    let mut request = guest.request(&["true"]);
    request.linux.sysctls = vec![sysctl("kernel.shmmni", "nonsense")];
    match guest.try_create(request) {
        Err(CreateError::Spawn(SpawnError::Setup { step: Step::Sysctl, subject, .. })) => {
            assert_eq!(subject, "sys/kernel/shmmni");
        }
        other => panic!("{other:?}"),
    }
    assert!(!guest.engine.is_poisoned());
}

fn sysctls_denied() {
    let guest = Guest::new();
    for name in ["kernel.core_pattern", "net.ipv4.ip_forward", "vm.drop_caches", "net/../kernel/core_pattern"]
    {
        let mut request = guest.request(&["true"]);
        request.linux.sysctls = vec![sysctl(name, "1")];
        match refusal(&guest, request) {
            PlanError::Sysctl { name: named, source: SysctlError::NotOwn | SysctlError::Name } => {
                assert_eq!(named, name);
            }
            other => panic!("{other:?}"),
        }
    }
}

fn propagation() {
    let guest = Guest::new();
    for (propagation, expected) in [
        (Propagation::Private, None),
        (Propagation::Shared, Some("shared:")),
        (Propagation::Unbindable, Some("unbindable")),
    ] {
        let mut request = guest.request(&["cat", "/proc/self/mountinfo"]);
        request.linux.rootfs_propagation = propagation;
        let (code, output, error) = guest.run(request);
        assert_eq!(code, 0, "{error}");
        let root = output.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
        let fields: Vec<&str> = root.split(' ').skip(6).take_while(|field| *field != "-").collect();
        assert_eq!(fields.len(), usize::from(expected.is_some()), "{root}");
        assert!(expected.is_none_or(|expected| fields[0].starts_with(expected)), "{root}");
    }
}

fn slave() {
    let guest = Guest::new();
    let (root, home) = (guest.root(), guest.root().join("home"));
    mount_bind(&root, &root).unwrap();
    mount_change(&root, MountPropagationFlags::SHARED).unwrap();
    for (propagation, mounted) in
        [(Propagation::Slave, true), (Propagation::Private, false), (Propagation::Shared, false)]
    {
        let mut request = guest.request(&["sleep", "600"]);
        request.linux.rootfs_propagation = propagation;
        let container = guest.start(request);
        rustix::mount::mount("none", &home, "tmpfs", MountFlags::empty(), None::<&std::ffi::CStr>).unwrap();
        let exec = guest.exec(&container, "e1", process(&["cat", "/proc/self/mountinfo"])).unwrap();
        let mountinfo = guest.finish(&exec).1;
        let at = |place| mountinfo.lines().find(|line| line.split(' ').nth(4) == Some(place));
        assert_eq!(at("/home").is_some(), mounted, "{propagation:?} {mountinfo}");
        assert_eq!(at("/").unwrap().contains(" master:"), mounted, "{propagation:?} {mountinfo}");
        unmount(&home, UnmountFlags::DETACH).unwrap();
        guest.remove(container);
    }
    unmount(&root, UnmountFlags::DETACH).unwrap();
}
