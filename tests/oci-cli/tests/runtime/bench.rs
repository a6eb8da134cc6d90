//! A bundle and a state directory for one test.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 12] =
    ["cat", "echo", "env", "id", "pwd", "sh", "sleep", "stat", "stty", "test", "touch", "true"];
/// How long anything may take before a test fails.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Why containers cannot be made here.
fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("this is not root".to_owned());
    }
    if !Path::new(BUSYBOX).exists() {
        return Some(format!("there is no {BUSYBOX}"));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    (!mounts.contains(" - cgroup2 ")).then(|| "no cgroup v2 file system is mounted".to_owned())
}

pub(crate) struct Bench {
    directory: TempDir,
    /// To be changed before the container is created.
    pub(crate) config: Json,
}

impl Bench {
    /// A bundle whose container executes `args`; `None`, and a word about it, where containers cannot be made.
    pub(crate) fn new(args: &[&str]) -> Option<Self> {
        if let Some(missing) = missing() {
            println!("skipped: {missing}");
            return None;
        }
        let directory = TempDir::new().unwrap();
        let root = directory.path().join("bundle/rootfs");
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::copy(BUSYBOX, root.join("bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        let config = json!({
            "ociVersion": "1.2.0",
            "root": {"path": "rootfs"},
            "hostname": "inside",
            "process": {
                "user": {"uid": 0, "gid": 0}, "args": args, "env": ["PATH=/bin"], "cwd": "/",
                "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]},
            },
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]},
            ],
            "linux": {
                "namespaces": [
                    {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"},
                ],
                "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            },
        });
        Some(Self { directory, config })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.path("bundle/rootfs")
    }

    /// The program with these arguments, to be started in the bundle.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let (file, text) = (self.path("bundle/config.json"), self.config.to_string());
        // A command that still runs may be about to read it.
        if fs::read_to_string(&file).ok().as_ref() != Some(&text) {
            fs::write(file, text).unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_cce-oci"));
        command.arg("--root").arg(self.path("state")).args(args);
        command.current_dir(self.path("bundle")).stdin(Stdio::null());
        command
    }

    pub(crate) fn output(&self, args: &[&str]) -> Output {
        // What a created container writes is not awaited: it outlives the command.
        let (out, err) = (self.path("out"), self.path("err"));
        let mut command = self.command(args);
        command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
        let status = command.status().unwrap();
        Output { status, stdout: fs::read(out).unwrap(), stderr: fs::read(err).unwrap() }
    }

    /// Calls the program, which succeeds. The result is what it wrote.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.output(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {}: {error}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Calls the program, which fails. The result is what it complains of.
    pub(crate) fn fails(&self, args: &[&str]) -> String {
        let output = self.output(args);
        // An exec's own code is one that programs rarely have.
        let expected = if args.contains(&"exec") { 255 } else { 1 };
        assert_eq!(output.status.code(), Some(expected), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    pub(crate) fn state(&self, id: &str) -> Json {
        serde_json::from_str(&self.ok(&["state", id])).unwrap()
    }

    pub(crate) fn await_status(&self, id: &str, status: &str) {
        until(|| self.state(id)["status"] == status);
    }

    /// What there is of containers.
    pub(crate) fn ids(&self) -> String {
        self.ok(&["list", "--quiet"])
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let listed = self.output(&["list", "--quiet"]).stdout;
        for id in String::from_utf8_lossy(&listed).lines() {
            let _ = self.output(&["delete", "--force", id]);
        }
    }
}

/// Waits until something is so.
pub(crate) fn until(mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < TIMEOUT, "it took too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}
