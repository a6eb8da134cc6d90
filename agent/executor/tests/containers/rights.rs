//! Rights that a process must not have: of its makers, of lengths that overflow, of the guest's control groups.

use executor::container::Process;
use policy_engine::request::linux::Namespace;

use crate::guest::{Guest, grant, process};

pub(crate) const TESTS: &[crate::Test] = &[
    ("cve_2022_29162_an_exec_has_no_inheritable_capabilities", exec_capabilities),
    ("cve_2022_36109_an_exec_has_the_groups_that_were_judged", exec_groups),
    ("cve_2021_43784_long_values_arrive_whole_and_too_long_ones_not_at_all", long_values),
    ("cve_2023_25809_the_cgroups_of_the_guest_are_read_only", guests_cgroups),
    ("cve_2022_0492_no_release_agent_can_be_set", release_agent),
    ("what_lies_below_the_root_of_a_container_is_empty", below_the_root),
];

/// What a process of a container prints.
fn output(guest: &Guest, process: &Process) -> String {
    guest.finish(process).1
}

fn exec_capabilities() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&["sleep", "600"]));
    let spec = process(&["cat", "/proc/self/status"]);
    let root = output(&guest, &guest.exec(&container, "root", spec.clone()).unwrap());
    assert!(root.contains("CapInh:\t0000000000000000\n"), "{root}");
    assert!(root.contains("CapPrm:\t00000000a80425fb\n"), "{root}");
    assert!(root.contains("CapAmb:\t0000000000000000\n"), "{root}");
    let mut user = spec.clone();
    (user.user.uid, user.user.gid) = (33, 33);
    let user = output(&guest, &guest.exec(&container, "user", user).unwrap());
    assert!(user.contains("CapInh:\t0000000000000000\n"), "{user}");
    assert!(user.contains("CapPrm:\t0000000000000000\n"), "{user}");
    // They are there when they were judged.
    let mut asked = spec;
    asked.capabilities.inheritable = vec!["CAP_CHOWN".to_owned()];
    let asked = output(&guest, &guest.exec(&container, "asked", asked).unwrap());
    assert!(asked.contains("CapInh:\t0000000000000001\n"), "{asked}");
    guest.remove(container);
}

fn exec_groups() {
    let guest = Guest::new();
    let mut request = guest.request(&["sleep", "600"]);
    request.process.user.additional_gids = vec![8, 9];
    let container = guest.start(request);
    let none = guest.exec(&container, "none", process(&["cat", "/proc/self/status"])).unwrap();
    assert!(output(&guest, &none).contains("Groups:\t \n"));
    let mut spec = process(&["id", "-G"]);
    spec.user.additional_gids = vec![7];
    let other = guest.exec(&container, "other", spec).unwrap();
    assert_eq!(output(&guest, &other), "0 7\n");
    guest.remove(container);
}

/// Around the lengths at which a field of 16 bits starts anew.
fn long_values() {
    let guest = Guest::new();
    for length in [65_535, 65_536, 65_537, 65_540, 131_000] {
        let text = "x".repeat(length);
        let mut request = guest.request(&["sh", "-c", "echo ${#LONG} ${#1}", "sh", &text]);
        request.process.env.push(format!("LONG={text}"));
        let (code, output, error) = guest.run(request);
        assert_eq!((code, output), (0, format!("{length} {length}\n")), "{error}");
    }
    // More of them than 16 bits count, in more bytes than a packet of the launcher takes.
    let mut request = guest.request(&["sh", "-c", "echo $#", "sh"]);
    request.process.args.extend((0..65_537).map(|_| "x".to_owned()));
    assert_eq!(guest.run(request).1, "65537\n");
    let mut request = guest.request(&["id", "-G"]);
    request.process.user.additional_gids = (1..=65_536).collect();
    assert_eq!(guest.run(request).1.split_whitespace().count(), 65_537);
    // What the kernel does not take is an error, and nothing is cut off.
    let mut request = guest.request(&["true"]);
    request.process.user.additional_gids = (1..=65_537).collect();
    assert!(guest.try_create(request).is_err());
    let request = guest.request(&["echo", &"x".repeat(200_000)]);
    let container = guest.create(request);
    assert!(container.start().is_err());
    guest.remove(container);
    assert!(!guest.engine.is_poisoned());
}

/// Also for a container that sees all of them, and for one that owns its namespaces.
fn guests_cgroups() {
    let guest = Guest::new();
    let script = "grep ' /sys/fs/cgroup ' /proc/mounts; mkdir /sys/fs/cgroup/x && echo made; \
                  echo $$ > /sys/fs/cgroup/cgroup.procs && echo moved; mount -o remount,rw /sys/fs/cgroup && echo rw";
    let script = ["sh", "-c", script];
    for namespace in [Namespace::New, Namespace::Guest] {
        for mut request in [guest.request(&script), crate::users::request(&guest, &script)] {
            request.linux.namespaces.cgroup = namespace.clone();
            let (_, output, error) = guest.run(request);
            let lines: Vec<&str> = output.lines().collect();
            assert!(lines[0].contains("/sys/fs/cgroup cgroup2 ro,nosuid,nodev,noexec"), "{output}{error}");
            assert_eq!(lines.len(), 1, "{namespace:?}: {output}");
        }
    }
}

/// Users and mounts of its own make nobody the owner of the guest's control groups.
fn release_agent() {
    let guest = Guest::new();
    let script = "mkdir /c; for v in rdma memory pids freezer none,name=x; do \
                  unshare -r -m -C sh -c \"mount -t cgroup -o $v cgroup /c && \
                  { cat /c/release_agent; echo /x > /c/release_agent; }\" && echo set $v; done; \
                  find / -name release_agent -not -path '/c/*' 2>/dev/null; echo end";
    let (_, output, error) = guest.script(script);
    assert_eq!(output.trim_start(), "end\n", "{error}");
}

/// A container that may mount unmounts its root. Whoever enters its mount namespace then stands on what was below.
fn below_the_root() {
    let guest = Guest::new();
    let mut request = guest.request(&["sh", "-c", "read go; umount -l /; echo gone; read go"]);
    grant(&mut request.process, "CAP_SYS_ADMIN");
    let container = guest.start(request);
    let init = container.init();
    let listed = |namespace: std::fs::File| {
        let listing = move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).unwrap();
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
            let mut names: Vec<String> = std::fs::read_dir("/")
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        std::thread::spawn(listing).join().unwrap()
    };
    let open = || std::fs::File::open(format!("/proc/{}/ns/mnt", init.pid())).unwrap();
    assert!(listed(open()).contains(&"etc".to_owned()));
    let namespace = open();
    guest.runtime.block_on(async {
        init.write_stdin(b"go\n").await.unwrap();
        assert_eq!(init.read_stdout(5).await.unwrap(), b"gone\n");
    });
    let below = listed(namespace);
    assert!(below.is_empty(), "{below:?}");
    guest.remove(container);
}
