//! A bundle of its own for each test, and the runtime's commands on it.

use std::{
    env,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// Programs of the image, all of them busybox.
const PROGRAMS: [&str; 14] = [
    "sh", "cat", "chmod", "dd", "echo", "env", "grep", "id", "kill", "mkdir", "sleep", "stty", "touch",
    "true",
];
const BUSYBOX: &str = "/bin/busybox";
/// The longest that a change of state may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A container of the runtime under test, or what is left of one.
pub(crate) struct Container {
    id: String,
    home: TempDir,
}

/// What containers need and this machine does not have.
pub(crate) fn missing() -> Option<&'static str> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if !rustix::process::geteuid().is_root() {
        Some("this is not root")
    } else if !Path::new(BUSYBOX).exists() {
        Some("there is no static busybox")
    } else if !mounts.contains(" - cgroup2 ") {
        Some("no cgroup v2 file system is mounted")
    } else {
        None
    }
}

/// Ours, or the one that this variable names: what is asked here is not ours alone.
fn runtime() -> PathBuf {
    env::var_os("CCE_OCI_RUNTIME").map_or_else(|| env!("CARGO_BIN_EXE_cce-oci").into(), PathBuf::from)
}

impl Container {
    /// A bundle whose process is `sh -c script`.
    pub(crate) fn of(script: &str) -> Self {
        Self::with(script, |_| ())
    }

    /// A bundle whose configuration `change` alters.
    pub(crate) fn with(script: &str, change: impl FnOnce(&mut Json)) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = format!("behaviour-{}-{number}", std::process::id());
        let container = Self { id, home: TempDir::new().unwrap() };
        let programs = container.rootfs().join("bin");
        fs::create_dir_all(&programs).unwrap();
        for folder in ["proc", "dev", "tmp"] {
            fs::create_dir(container.rootfs().join(folder)).unwrap();
        }
        fs::copy(BUSYBOX, programs.join("busybox")).unwrap();
        for program in PROGRAMS {
            symlink("busybox", programs.join(program)).unwrap();
        }
        let mut configuration = configuration(script);
        change(&mut configuration);
        fs::write(container.bundle().join("config.json"), configuration.to_string()).unwrap();
        container
    }

    /// A container that runs.
    pub(crate) fn running(script: &str) -> Self {
        let container = Self::of(script);
        container.start_new();
        container
    }

    /// Creates and starts it.
    pub(crate) fn start_new(&self) {
        self.create(&[]).succeeds();
        self.does("start", &[]).succeeds();
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// A directory that goes with the container.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.home().join("bundle")
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.bundle().join("rootfs")
    }

    /// What the container's process has written so far.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.home().join("output")).unwrap()
    }

    /// `create`, with further options.
    pub(crate) fn create(&self, options: &[&str]) -> Ended {
        // The process keeps the streams for its life: a pipe would not end with the command.
        let stream = |name| File::create(self.home().join(name)).unwrap();
        let mut command = self.command("create", &["--bundle", self.bundle().to_str().unwrap()]);
        command.args(options).arg(&self.id).stdin(Stdio::null());
        let status = command.stdout(stream("output")).stderr(stream("error")).status().unwrap();
        let stderr = fs::read_to_string(self.home().join("error")).unwrap();
        Ended { code: status.code(), stdout: String::new(), stderr }
    }

    /// `run`, in the foreground.
    pub(crate) fn run(&self, options: &[&str]) -> Ended {
        self.run_command(options).output().unwrap().into()
    }

    /// `run`, not yet started.
    pub(crate) fn run_command(&self, options: &[&str]) -> Command {
        let mut command = self.command("run", &["--bundle", self.bundle().to_str().unwrap()]);
        command.args(options).arg(&self.id);
        command
    }

    /// A command whose last argument is the container.
    pub(crate) fn does(&self, name: &str, options: &[&str]) -> Ended {
        self.command(name, options).arg(&self.id).output().unwrap().into()
    }

    /// `kill` with a signal.
    pub(crate) fn kill(&self, signal: &str) -> Ended {
        self.command("kill", &[&self.id, signal]).output().unwrap().into()
    }

    /// `exec`, in the foreground.
    pub(crate) fn exec(&self, options: &[&str], program: &[&str]) -> Ended {
        self.exec_command(options, program).output().unwrap().into()
    }

    /// `exec`, not yet started.
    pub(crate) fn exec_command(&self, options: &[&str], program: &[&str]) -> Command {
        let mut command = self.command("exec", options);
        command.arg(&self.id).args(program);
        command
    }

    /// A script of the host's whose arguments are a command.
    pub(crate) fn host_shell(&self, script: &str, command: &Command) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(command.get_program()).args(command.get_args());
        shell
    }

    /// A command of the runtime.
    pub(crate) fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(runtime());
        command.arg("--root").arg(self.home().join("state")).arg(name).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What `state` says.
    pub(crate) fn state(&self) -> Json {
        serde_json::from_str(&self.does("state", &[]).succeeds()).unwrap()
    }

    pub(crate) fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    pub(crate) fn pid(&self) -> i64 {
        self.state()["pid"].as_i64().unwrap()
    }

    /// Whether the runtime knows the container.
    pub(crate) fn is_known(&self) -> bool {
        self.does("state", &[]).code == Some(0)
    }

    /// That nothing of the container is left.
    #[track_caller]
    pub(crate) fn is_gone(&self) {
        assert!(!self.is_known());
        let cgroups = self.cgroups();
        assert!(cgroups.is_empty(), "{cgroups:?}");
    }

    /// Waits until the container has that status.
    pub(crate) fn comes_to_be(&self, status: &str) {
        wait_until(&format!("the container is {status}"), || self.status() == status);
    }

    /// Waits until the container has written this.
    pub(crate) fn says(&self, text: &str) {
        wait_until(&format!("the container says {text:?}"), || self.output().contains(text));
    }

    /// Sends a signal to a process of the host.
    pub(crate) fn signal(process: u32, name: &str) -> bool {
        Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap().success()
    }

    /// Its cgroups.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        find(Path::new("/sys/fs/cgroup"), &self.id, 4, &mut found);
        found
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        drop(self.command("delete", &["--force", &self.id]).output());
    }
}

/// What a command of the runtime did.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Its standard output, when it succeeded.
    #[track_caller]
    pub(crate) fn succeeds(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// Its standard error, when it refused and said why.
    #[track_caller]
    pub(crate) fn refuses(self) -> String {
        assert!(self.code.is_some_and(|code| code != 0), "{self:?}");
        assert!(!self.stderr.is_empty(), "{self:?}");
        self.stderr
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Writes to a child and waits for its end.
pub(crate) fn feed(mut child: Child, bytes: &[u8]) -> Output {
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).unwrap());
        child.wait_with_output().unwrap()
    })
}

#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not so in {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn find(folder: &Path, name: &str, depth: u32, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && entry.file_name().to_string_lossy().contains(name) {
            found.push(entry.path());
        } else if is_folder && depth > 0 {
            find(&entry.path(), name, depth - 1, found);
        }
    }
}

fn configuration(script: &str) -> Json {
    let capabilities = ["CAP_KILL", "CAP_SETUID", "CAP_SETGID"];
    let namespaces = ["pid", "ipc", "uts", "mount", "network"].map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh", "-c", script],
            "env": ["PATH=/bin", "PLACE=container"],
            "cwd": "/",
            "noNewPrivileges": true,
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
        },
        "root": { "path": "rootfs", "readonly": false },
        "hostname": "behaviour",
        "annotations": { "org.example.colour": "green" },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            {
                "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            },
        ],
        "linux": {
            "namespaces": namespaces,
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
        },
    })
}
