//! podman.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::{RUNTIME, call, image, ok, present};

/// A podman with nothing but one image.
struct Podman {
    directory: TempDir,
}

impl Podman {
    fn new() -> Option<Self> {
        if !present(&["podman", "conmon"]) {
            return None;
        }
        let podman = Self { directory: TempDir::new().unwrap() };
        let path = |name: &str| podman.directory.path().join(name);
        // More than this process may have is not its to give.
        fs::write(
            path("containers.conf"),
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n",
        )
        .unwrap();
        let (graph, run) = (path("storage"), path("run"));
        let storage = format!("[storage]\ndriver = \"vfs\"\ngraphroot = {graph:?}\nrunroot = {run:?}\n");
        fs::write(path("storage.conf"), storage).unwrap();
        fs::write(path("policy.json"), r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).unwrap();
        fs::create_dir(path("tmp")).unwrap();
        // What podman calls when a container has ended does not know of flags for the runtime.
        let runtime = format!("#!/bin/sh\nexec {RUNTIME:?} --root {:?} \"$@\"\n", path("state"));
        fs::write(path("runtime"), runtime).unwrap();
        fs::set_permissions(path("runtime"), Permissions::from_mode(0o755)).unwrap();
        let archive = image::write(podman.directory.path());
        let policy = path("policy.json");
        ok(podman
            .command(&["pull", "--quiet", "--signature-policy"])
            .arg(policy)
            .arg(format!("oci-archive:{}", archive.display())));
        Some(podman)
    }

    fn command(&self, args: &[&str]) -> Command {
        let path = |name: &str| self.directory.path().join(name);
        let mut command = Command::new("podman");
        command
            .env("CONTAINERS_CONF", path("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", path("storage.conf"))
            .env("TMPDIR", path("tmp"))
            .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"])
            .arg("--root")
            .arg(path("storage"))
            .arg("--runroot")
            .arg(path("run"))
            .arg("--tmpdir")
            .arg(path("libpod"))
            .arg("--runtime")
            .arg(path("runtime"))
            .args(args)
            .stdin(Stdio::null());
        command
    }

    fn ok(&self, args: &[&str]) -> String {
        ok(&mut self.command(args))
    }

    /// Runs a container to its end.
    fn run(&self, options: &[&str], args: &[&str]) -> (i32, String, String) {
        let run = ["run", "--rm", "--network", "none"];
        call(&mut self.command(&[&run, options, &[image::NAME], args].concat()))
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Also what is mounted for containers goes with them.
        let _ = self.command(&["rm", "--all", "--force", "--time", "0"]).output();
        let _ = self.command(&["unmount", "--all"]).output();
        // Where every podman has its cgroups: it goes if nobody uses it.
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _ = fs::remove_dir(hierarchy.path().join("libpod_parent/conmon"));
            let _ = fs::remove_dir(hierarchy.path().join("libpod_parent"));
        }
    }
}

#[test]
fn podman_runs_containers() {
    let Some(podman) = Podman::new() else { return };
    let script = "echo out; echo err >&2; exit 5";
    assert_eq!(podman.run(&[], &["sh", "-c", script]), (5, "out\n".to_owned(), "err\n".to_owned()));
    assert_eq!(podman.run(&[], &["sh", "-c", "sh -c 'kill -9 $$'; exit $?"]).0, 137);
    // Its codes for a program that is missing or cannot be executed.
    assert_eq!(podman.run(&[], &["nosuch"]).0, 127);
    assert_eq!(podman.run(&[], &["/etc/passwd"]).0, 126);

    let mut command = podman.command(&["run", "--rm", "-i", "--network", "none", image::NAME, "cat"]);
    let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    running.stdin.take().unwrap().write_all(b"through").unwrap();
    assert_eq!(running.wait_with_output().unwrap().stdout, b"through");
    assert_eq!(podman.run(&["-t"], &["tty"]).1, "/dev/pts/0\r\n");
}

#[test]
fn podmans_options_are_carried_out() {
    let Some(podman) = Podman::new() else { return };
    let volume = podman.directory.path().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("file"), "shared\n").unwrap();
    let mount = format!("{}:/volume:ro", volume.display());
    let run = |options: &[&str], script: &str| {
        let (code, output, error) = podman.run(options, &["sh", "-c", script]);
        assert_eq!(code, 0, "{options:?}: {error}");
        output
    };
    assert_eq!(
        run(&["-v", &mount], "cat /volume/file; touch /volume/x 2>/dev/null || echo no"),
        "shared\nno\n"
    );
    assert_eq!(run(&["--user", "web", "--workdir", "/tmp"], "id -u; echo $PWD"), "33\n/tmp\n");
    assert_eq!(run(&["--hostname", "named"], "hostname"), "named\n");
    assert_eq!(run(&["--read-only"], "touch /x 2>/dev/null || echo no"), "no\n");
    assert_eq!(run(&["--tmpfs", "/scratch"], "touch /scratch/x && echo yes"), "yes\n");
    assert_eq!(
        run(
            &["--cap-drop", "all"],
            "ls -ld /proc/self >/dev/null; cat /proc/self/status | while read -r k v; do test $k = CapEff: && echo $v; done; true"
        ),
        "0000000000000000\n"
    );
    assert_eq!(run(&["--env", "A=b"], "echo $A"), "b\n");
    assert_eq!(run(&["--pid", "host"], "test $$ != 1 && echo yes"), "yes\n");
    assert_eq!(run(&["--memory", "64m", "--cpus", "0.5", "--pids-limit", "50"], "echo limited"), "limited\n");
    let listed = run(&["--security-opt", "seccomp=unconfined", "--privileged"], "ls /dev");
    assert!(listed.lines().any(|name| name == "null"));
}

#[test]
fn podman_executes_stops_and_removes() {
    let Some(podman) = Podman::new() else { return };
    podman.ok(&[
        "run",
        "-d",
        "--name",
        "c1",
        "--network",
        "none",
        image::NAME,
        "sh",
        "-c",
        "trap 'exit 3' TERM; echo up; while true; do sleep 0.1; done",
    ]);
    let inspect = |format: &str| podman.ok(&["inspect", "--format", format, "c1"]).trim().to_owned();
    assert_eq!(inspect("{{.State.Status}}"), "running");
    assert_eq!(
        call(&mut podman.command(&["exec", "c1", "sh", "-c", "echo in; exit 7"])),
        (7, "in\n".to_owned(), String::new())
    );
    assert_eq!(podman.ok(&["exec", "-t", "c1", "tty"]), "/dev/pts/0\r\n");
    assert_eq!(
        podman.ok(&["exec", "--user", "web", "--env", "A=b", "c1", "sh", "-c", "id -u; echo $A"]),
        "33\nb\n"
    );
    assert!(podman.ok(&["top", "c1", "pid", "args"]).contains("while true"));
    podman.ok(&["pause", "c1"]);
    assert_eq!(inspect("{{.State.Status}}"), "paused");
    podman.ok(&["unpause", "c1"]);
    let stats = podman.ok(&["stats", "--no-stream", "--format", "{{.PIDS}}", "c1"]);
    assert!(stats.trim().parse::<u32>().unwrap() >= 1);
    podman.ok(&["stop", "--time", "10", "c1"]);
    assert_eq!(inspect("{{.State.Status}} {{.State.ExitCode}}"), "exited 3");
    assert_eq!(podman.ok(&["logs", "c1"]), "up\n");
    podman.ok(&["start", "c1"]);
    assert_eq!(inspect("{{.State.Status}}"), "running");
    podman.ok(&["kill", "--signal", "KILL", "c1"]);
    assert_eq!(podman.ok(&["wait", "c1"]).trim(), "137");
    podman.ok(&["rm", "c1"]);
    assert_eq!(podman.ok(&["ps", "--all", "--quiet"]), "");
}
