//! containerd, by its `ctr`.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{RUNTIME, call, image, ok, present};

/// How long anything may take before a test fails.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A containerd with nothing but one image.
struct Containerd {
    directory: TempDir,
    process: Child,
}

impl Containerd {
    fn new() -> Option<Self> {
        if !present(&["containerd", "ctr", "containerd-shim-runc-v2"]) {
            return None;
        }
        let directory = TempDir::new().unwrap();
        let path = |name: &str| directory.path().join(name);
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \
             \"io.containerd.internal.v1.opt\"]\n[grpc]\naddress = {:?}\n[ttrpc]\naddress = {:?}\n",
            path("root"),
            path("run"),
            path("socket"),
            path("ttrpc"),
        );
        fs::write(path("config.toml"), config).unwrap();
        let log = File::create(path("log")).unwrap();
        let process = Command::new("containerd")
            .arg("--config")
            .arg(path("config.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let archive = image::write(directory.path());
        let containerd = Self { directory, process };
        until("containerd serves", || containerd.ctr(&["version"]).output().unwrap().status.success());
        ok(containerd.ctr(&["image", "import", "--snapshotter", "native"]).arg(archive));
        Some(containerd)
    }

    /// Its own: cgroups are called by it and by the container.
    fn namespace(&self) -> String {
        let name = self.directory.path().file_name().unwrap().to_string_lossy().replace('.', "");
        format!("test-{name}")
    }

    fn ctr(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.directory.path().join("socket"));
        command.args(["--namespace", &self.namespace()]).args(args).stdin(Stdio::null());
        command
    }

    fn ok(&self, args: &[&str]) -> String {
        ok(&mut self.ctr(args))
    }

    /// `ctr run` with these options of a container.
    fn run(&self, options: &[&str], id: &str, args: &[&str]) -> Command {
        let state = self.directory.path().join("state");
        let fixed = ["run", "--snapshotter", "native", "--runc-binary", RUNTIME, "--runc-root"];
        let mut command = self.ctr(&fixed);
        command.arg(state).args(options).args([image::NAME, id]).args(args);
        command
    }

    fn status(&self, id: &str) -> Option<String> {
        let listed = self.ok(&["task", "ls"]);
        let line = listed.lines().find(|line| line.starts_with(id))?;
        line.split_whitespace().last().map(str::to_owned)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let listed = self.ctr(&["task", "ls", "--quiet"]).output().map(|output| output.stdout);
        for id in String::from_utf8_lossy(&listed.unwrap_or_default()).lines() {
            // Its shim ends with it.
            let _ = self.ctr(&["task", "rm", "--force", id]).output();
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < TIMEOUT, "{what}: it took too long");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn containerd_runs_containers() {
    let Some(containerd) = Containerd::new() else { return };
    let script = "echo out; echo err >&2; exit 5";
    let (code, output, error) = call(&mut containerd.run(&["--rm"], "c1", &["sh", "-c", script]));
    assert_eq!((code, output.as_str()), (5, "out\n"), "{error}");
    assert!(error.contains("err"));
    let (code, _, error) = call(&mut containerd.run(&["--rm"], "c2", &["nosuch"]));
    assert_ne!(code, 0);
    assert!(error.contains("executable file not found"), "{error}");
    let limits = ["--rm", "--memory-limit", "67108864", "--cwd", "/tmp", "--env", "A=b", "--read-only"];
    let (code, output, error) =
        call(&mut containerd.run(&limits, "c3", &["sh", "-c", "echo $A $PWD; touch /x"]));
    assert_eq!((code, output.as_str()), (1, "b /tmp\n"), "{error}");
    assert!(error.contains("Read-only"), "{error}");
}

#[test]
fn containerd_executes_kills_and_deletes() {
    let Some(containerd) = Containerd::new() else { return };
    ok(&mut containerd.run(&["--detach"], "c1", &["sleep", "1000"]));
    assert_eq!(containerd.status("c1").as_deref(), Some("RUNNING"));
    let exec = |id: &str, args: &[&str]| {
        call(&mut containerd.ctr(&[&["task", "exec", "--exec-id", id, "c1"], args].concat()))
    };
    let (code, output, error) = exec("e1", &["sh", "-c", "echo in; exit 7"]);
    assert_eq!((code, output.as_str()), (7, "in\n"), "{error}");
    let (code, _, error) = exec("e2", &["nosuch"]);
    assert!(code != 0 && error.contains("executable file not found"), "{error}");
    assert!(containerd.ok(&["task", "ps", "c1"]).lines().count() >= 2);
    containerd.ok(&["task", "pause", "c1"]);
    assert_eq!(containerd.status("c1").as_deref(), Some("PAUSED"));
    containerd.ok(&["task", "resume", "c1"]);
    assert_eq!(containerd.status("c1").as_deref(), Some("RUNNING"));
    assert!(containerd.ok(&["task", "metrics", "c1"]).contains("c1"));
    containerd.ok(&["task", "kill", "--signal", "SIGKILL", "c1"]);
    until("the task stops", || containerd.status("c1").as_deref() == Some("STOPPED"));
    containerd.ok(&["task", "delete", "c1"]);
    containerd.ok(&["container", "delete", "c1"]);
    assert_eq!(containerd.status("c1"), None);
    assert_eq!(containerd.ok(&["container", "ls", "--quiet"]), "");
}
