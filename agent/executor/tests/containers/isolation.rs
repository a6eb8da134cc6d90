//! What a container must not reach, hold or be: one test for each class of known attack on launchers.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;

use executor::container::{CreateError, ExecError, SpawnError, StartContainerError, Step};
use policy_engine::request::{ProcessSpec, Rlimit};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::guest::{Guest, process};

pub(crate) const TESTS: &[crate::Test] = &[
    ("cve_2019_5736_the_agents_binary_is_out_of_reach", agents_binary),
    ("cve_2024_21626_no_descriptor_leaks", descriptors),
    ("cve_2024_21626_no_working_directory_outside", working_directory),
    ("cve_2022_36109_the_agents_groups_do_not_stay", groups),
    ("cve_2022_24769_inheritable_capabilities_are_empty", capability_sets),
    ("cve_2022_0492_no_cgroup_file_system_is_writable", cgroups),
    ("cve_2020_2023_a_guest_disk_cannot_be_opened_through_mknod", disk_nodes),
    ("cve_2026_24834_a_device_node_in_a_layer_cannot_be_opened", layer_nodes),
    ("cve_2025_52881_a_process_is_not_adjusted_through_its_own_files", oom_score),
    ("an_ordinary_user_has_no_rights", ordinary_user),
    ("no_mount_of_the_guest_is_there", guest_mounts),
    ("nothing_is_above_a_containers_root", above_root),
    ("the_environment_is_exactly_what_was_judged", environment),
    ("new_privileges_are_forbidden", no_new_privileges),
    ("limits_and_masks_are_set", limits),
    ("signals_have_their_defaults", signals),
    ("a_container_that_stops_what_joins_it_holds_nobody_up", stopped),
    ("namespaces_are_the_containers_own", namespaces),
];

fn stopped() {
    let guest = Guest::new();
    // The first process of a namespace sends to all but itself.
    let container = guest.start(guest.request(&["sh", "-c", "while :; do kill -STOP -1; done 2> /dev/null"]));
    let mut were_halted =
        (0..64).map(|number| match guest.exec(&container, &format!("e{number}"), process(&["true"])) {
            Ok(_) => false,
            Err(ExecError::Spawn(SpawnError::Halted)) => true,
            Err(error) => panic!("{error:?}"),
        });
    assert!(were_halted.any(|was_halted| was_halted), "none was stopped before its program ran");
    assert!(!guest.engine.is_poisoned());
    guest.remove(container);
}

fn agents_binary() {
    let guest = Guest::new();
    // Before its program, a process is the agent's image with the container's rights. Somebody who has at least these
    // rights, but not the one to trace any process, cannot look into it.
    let container = guest.create(guest.request(&["true"]));
    let exe = format!("/proc/{}/exe", container.init().pid());
    let looked = std::thread::spawn(move || {
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::SYS_PTRACE);
        set_capabilities(None, sets).unwrap();
        fs::read_link(exe)
    });
    assert_eq!(looked.join().unwrap().unwrap_err().kind(), ErrorKind::PermissionDenied);
    guest.remove(container);
    // As the program, `/proc/self/exe` is the agent's image once more: it is not executed, and nobody can write to it.
    symlink("/proc/self/exe", guest.root().join("program")).unwrap();
    for program in ["/proc/self/exe", "/program"] {
        let container = guest.create(guest.request(&[program]));
        match container.start() {
            Err(StartContainerError::Execute(SpawnError::Setup { source, .. })) => {
                assert_eq!(source.raw_os_error(), Some(Errno::LOOP.raw_os_error()));
            }
            other => panic!("{other:?}"),
        }
        guest.remove(container);
    }
    let written = fs::OpenOptions::new().write(true).open("/proc/self/exe");
    assert_eq!(written.unwrap_err().kind(), ErrorKind::ExecutableFileBusy);

    // A process that waits for an exec and tries to open the binary of whatever joins.
    let script = "echo up; while true; do for p in /proc/[0-9]*; do test $p = /proc/1 && continue; \
                  if (exec 3>>$p/exe) 2>/dev/null; then case $(readlink $p/exe) in /bin/busybox) ;; *) \
                  echo reached $(readlink $p/exe);; esac; fi; done; done";
    let container = guest.start(guest.request(&["sh", "-c", script]));
    assert_eq!(guest.runtime.block_on(container.init().read_stdout(3)).unwrap(), b"up\n");
    for number in 0..20 {
        let exec = guest.exec(&container, &format!("e{number}"), process(&["true"])).unwrap();
        assert_eq!(guest.finish(&exec).0, 0);
    }
    let init = container.init().clone();
    guest.remove(container);
    assert_eq!(guest.finish(&init).1, "");
}

fn descriptors() {
    let guest = Guest::new();
    // The agent had one without the mark to be closed on `execve` when it forked the launcher.
    let mark = rustix::io::fcntl_getfd(crate::guest::leaked()).unwrap();
    assert!(mark.is_empty());
    let (code, output, _) = guest.script("ls /proc/self/fd");
    // 3 is the directory that `ls` reads.
    assert_eq!((code, output.as_str()), (0, "0\n1\n2\n3\n"));
    let container = guest.start(guest.request(&["sleep", "600"]));
    let exec = guest.exec(&container, "e1", process(&["ls", "/proc/self/fd", "/proc/1/fd"])).unwrap();
    let output = guest.finish(&exec).1;
    assert_eq!(output, "/proc/1/fd:\n0\n1\n2\n\n/proc/self/fd:\n0\n1\n2\n3\n");
    guest.remove(container);
}

fn working_directory() {
    let guest = Guest::new();
    let mut errors = Vec::new();
    for number in 3..12 {
        let mut request = guest.request(&["pwd"]);
        request.process.cwd = format!("/proc/self/fd/{number}").parse().unwrap();
        match guest.try_create(request) {
            Err(CreateError::Spawn(SpawnError::Setup { step: Step::WorkingDirectory, source, .. })) => {
                errors.push(source.raw_os_error().unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
    // Refused for what they are, and not for where they lead.
    let (magic, missing) = (Errno::LOOP.raw_os_error(), Errno::NOENT.raw_os_error());
    assert!(
        errors.contains(&magic) && errors.iter().all(|error| [magic, missing].contains(error)),
        "{errors:?}"
    );
    symlink("/proc/self/fd/7/../../..", guest.root().join("link")).unwrap();
    symlink("/proc/self/root", guest.root().join("tmp/here")).unwrap();
    let container = guest.start(guest.request(&["sleep", "600"]));
    for cwd in ["/link", "/proc/self/fd/7", "/proc/1/cwd/.x", "/proc/self/root", "/tmp/here"] {
        let spec = ProcessSpec { cwd: cwd.parse().unwrap(), ..process(&["pwd"]) };
        match guest.exec(&container, "e1", spec) {
            Err(ExecError::Spawn(SpawnError::Setup { step: Step::WorkingDirectory, source, .. })) => {
                let error = source.raw_os_error();
                assert!(
                    error == Some(magic) || !cwd.ends_with("root") && !cwd.ends_with("here"),
                    "{cwd}: {error:?}"
                );
            }
            other => panic!("{cwd}: {other:?}"),
        }
    }
    guest.remove(container);
    let mut request = guest.request(&["pwd"]);
    request.process.cwd = "/made/here".parse().unwrap();
    assert_eq!(guest.run(request).1, "/made/here\n");
    assert!(guest.root().join("made/here").is_dir());
}

fn groups() {
    let guest = Guest::new();
    assert_eq!(guest.script("id -G").1, "0\n");
    assert!(guest.script("cat /proc/self/status").1.contains("Groups:\t \n"));
    let mut request = guest.request(&["id", "-G"]);
    request.process.user.gid = 7;
    request.process.user.additional_gids = vec![8, 9];
    assert_eq!(guest.run(request).1, "7 8 9\n");
}

/// The capability lines of `/proc/self/status`.
fn capability_lines(guest: &Guest, change: impl FnOnce(&mut ProcessSpec)) -> Vec<String> {
    let mut request = guest.request(&["cat", "/proc/self/status"]);
    change(&mut request.process);
    let output = guest.run(request).1;
    let lines = output.lines().filter(|line| line.starts_with("Cap"));
    lines.map(|line| line.split('\t').nth(1).unwrap().to_owned()).collect()
}

fn capability_sets() {
    let guest = Guest::new();
    let fourteen = "00000000a80425fb";
    let none = "0000000000000000";
    assert_eq!(capability_lines(&guest, |_| {}), [none, fourteen, fourteen, fourteen, none]);
    let nothing = capability_lines(&guest, |process| process.capabilities = Default::default());
    assert_eq!(nothing, [none; 5]);
    let ambient = capability_lines(&guest, |process| {
        process.user.uid = 33;
        let one = vec!["CAP_NET_BIND_SERVICE".to_owned()];
        process.capabilities.inheritable.clone_from(&one);
        process.capabilities.ambient = one;
    });
    let one = "0000000000000400";
    assert_eq!(ambient, [one, one, one, fourteen, one]);
}

fn cgroups() {
    let guest = Guest::new();
    let script = "cat /proc/self/cgroup | grep ^0:; cat /proc/mounts | grep cgroup; mkdir /sys/fs/cgroup/x && echo made; \
                  echo 1 > /sys/fs/cgroup/cgroup.procs && echo wrote; ls /sys/fs/cgroup/release_agent";
    let (_, output, _) = guest.script(script);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], "0::/");
    assert!(lines[1].contains("/sys/fs/cgroup cgroup2 ro,nosuid,nodev,noexec"), "{output}");
    assert_eq!(lines.len(), 2, "{output}");
}

fn disk_nodes() {
    let guest = Guest::new();
    // Where nodes work (`/dev`) and where the mount forbids them. Nodes of the listed devices can be made again.
    for directory in ["/dev", "/tmp", "/dev/shm"] {
        let script = format!(
            "cd {directory}; mknod disk b 254 0 && echo made; mknod loop b 7 0 && echo made; \
             mknod mem c 1 1 && echo made; mknod sev c 10 124 && echo made; mknod fuse c 10 229 && echo made; \
             for n in disk loop mem sev fuse; do test -e $n && (exec 3<$n) && echo opened $n; done; mknod null2 c 1 3"
        );
        let (code, output, _) = guest.script(&script);
        assert_eq!((code, output.as_str()), (0, ""), "{directory}");
    }
    assert_eq!(guest.script("head -c 4 /dev/zero > /dev/null && head -c 3 /dev/urandom > /dev/null").0, 0);
    assert_eq!(guest.script("cd /dev; mknod again c 1 3 && echo x > again").0, 0);
}

fn layer_nodes() {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let guest = Guest::new();
    let node = guest.root().join("tmp/null");
    mknodat(CWD, &node, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(1, 3)).unwrap();
    assert!(fs::File::open(&node).is_ok());
    // Allowed by the filter, refused by the mount.
    let (code, _, error) = guest.script("cat /tmp/null");
    assert_eq!(code, 1);
    assert!(error.contains("Permission denied"), "{error}");
}

fn oom_score() {
    let guest = Guest::new();
    let mut request = guest.request(&["cat", "/proc/self/oom_score_adj"]);
    request.process.oom_score_adj = Some(777);
    assert_eq!(guest.run(request).1, "777\n");
    let container = guest.start(guest.request(&["sleep", "600"]));
    let spec = ProcessSpec { oom_score_adj: Some(333), ..process(&["cat", "/proc/self/oom_score_adj"]) };
    let exec = guest.exec(&container, "e1", spec).unwrap();
    assert_eq!(guest.finish(&exec).1, "333\n");
    guest.remove(container);
}

fn ordinary_user() {
    let guest = Guest::new();
    let script = "id -u; id -g; touch /x; cat /proc/1/environ > /dev/null && echo own; echo $HOME";
    let mut request = guest.request(&["sh", "-c", script]);
    request.process.user.uid = 33;
    request.process.user.gid = 33;
    let (_, output, error) = guest.run(request);
    assert_eq!(output, "33\n33\nown\n/home\n");
    assert!(error.contains("Permission denied"), "{error}");
}

/// A process that has left its own root by `chroot` climbs as this one does, from a directory that its root is not above.
fn above_root() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&["sleep", "600"]));
    let root = format!("/proc/{}/root", container.init().pid());
    let identity = |path: &str| {
        let flags = StatxFlags::INO | StatxFlags::MNT_ID;
        let status = statx(CWD, path, AtFlags::empty(), flags).unwrap();
        (status.stx_mnt_id, status.stx_ino)
    };
    assert_ne!(identity(&root), identity("/"));
    for path in ["..", "../..", "../../..", "bin/../.."] {
        assert_eq!(identity(&format!("{root}/{path}")), identity(&root), "{path}");
    }
    // Who enters the mount namespace stands on the container's root.
    let entered = guest.exec(&container, "entered", process(&["ls", "/.."])).unwrap();
    assert!(guest.finish(&entered).1.contains("bin"));
    guest.remove(container);
}

fn guest_mounts() {
    let guest = Guest::new();
    let (_, output, _) = guest.script("cat /proc/self/mountinfo");
    let places: Vec<&str> = output.lines().map(|line| line.split(' ').nth(4).unwrap()).collect();
    let expected = ["/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"];
    assert!(places.starts_with(&expected), "{places:?}");
    for place in &places[expected.len()..] {
        assert!(place.starts_with("/proc/") || place.starts_with("/sys/"), "{place}");
    }
    for line in output.lines() {
        assert!(!line.contains("shared:") && !line.contains("master:"), "{line}");
    }
    // The way out of a `chroot`, with the right to it, leads nowhere: there is nothing outside.
    let (_, output, _) = guest.script("mkdir /jail; cd /; ls -d ../../../../etc/passwd; ls /");
    assert!(output.starts_with("../../../../etc/passwd\n"), "{output}");
    let (_, names, _) = guest.script("ls /../../");
    assert!(!names.contains("usr"), "{names}");
}

fn environment() {
    let guest = Guest::new();
    let mut request = guest.request(&["/bin/env"]);
    let env = ["A= padded ", "B=", "A=twice", "EMPTY", "TAB=\ta", "HOME=/elsewhere"];
    request.process.env = env.iter().map(|&entry| entry.to_owned()).collect();
    let output = guest.run(request).1;
    assert_eq!(output.lines().collect::<Vec<_>>(), env);
    assert_eq!(guest.run(guest.request(&["/bin/env"])).1, "PATH=/bin\nHOME=/root\n");
}

fn no_new_privileges() {
    let guest = Guest::new();
    assert!(guest.script("cat /proc/self/status").1.contains("NoNewPrivs:\t1"));
    let mut request = guest.request(&["cat", "/proc/self/status"]);
    request.process.no_new_privileges = false;
    assert!(guest.run(request).1.contains("NoNewPrivs:\t0"));
}

fn limits() {
    let guest = Guest::new();
    let mut request = guest.request(&["sh", "-c", "ulimit -n; ulimit -Hn; umask"]);
    request.process.rlimits = vec![Rlimit { kind: "RLIMIT_NOFILE".to_owned(), soft: 77, hard: 99 }];
    request.process.umask = 0o027;
    assert_eq!(guest.run(request).1, "77\n99\n0027\n");
}

fn signals() {
    let guest = Guest::new();
    let (_, output, _) = guest.run(guest.request(&["cat", "/proc/self/status"]));
    for mask in ["SigBlk", "SigIgn", "SigCgt"] {
        assert!(output.contains(&format!("{mask}:\t0000000000000000\n")), "{output}");
    }
}

fn namespaces() {
    let guest = Guest::new();
    let (_, output, _) =
        guest.script("for n in mnt pid ipc uts cgroup net; do readlink /proc/self/ns/$n; done");
    let inside: Vec<&str> = output.lines().collect();
    for (kind, inside) in ["mnt", "pid", "ipc", "uts", "cgroup", "net"].into_iter().zip(inside) {
        let outside = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_eq!(outside.to_str() == Some(inside), kind == "net", "{kind}");
    }
}
